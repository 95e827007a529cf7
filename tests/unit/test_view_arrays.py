"""Arrays that a store hands out: read-only, aligned, equal, and from some size on not copied."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from fastmem import Archive, SegmentStore
from fastmem._core.keys import encode_key
from fastmem._core.sizing import deep_size
from fastmem.codecs import CodecId, ValueCodec, shown_arrays
from fastmem.codecs.values import FORM_PLAIN
from fastmem.errors import SerializationError
from fastmem.storage.viewing import LEAST_BYTES
from tests.crash.directories import open_segments
from tests.unit.test_codecs_arrays import ALIGNED, DTYPES, GAPPED, OVERLAID, TITLED, body_of
from tests.viewed import address, mapped_file

LARGE = 300_000


class Held:
    """An object whose arrays pickle puts beside the pickle."""

    def __init__(self, *arrays: Any) -> None:
        self.arrays = arrays


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SegmentStore]:
    path = tmp_path_factory.mktemp("arrays").resolve()
    path.chmod(0o700)
    with open_segments(path) as opened:
        yield opened


def assert_as_stored(one: np.ndarray[Any, Any], other: Any) -> None:
    assert type(other) is np.ndarray
    assert one.dtype == other.dtype
    assert one.dtype.isalignedstruct == other.dtype.isalignedstruct
    assert one.shape == other.shape
    assert one.tobytes() == other.tobytes()
    assert one.flags.c_contiguous <= other.flags.c_contiguous
    assert one.flags.f_contiguous <= other.flags.f_contiguous
    assert not other.flags.writeable
    if one.size == 0 or one.nbytes == 0:
        return  # there is nothing to write to
    with pytest.raises(ValueError, match="WRITEABLE"):
        other.flags.writeable = True
    with pytest.raises(ValueError, match=r"read-only|WRITEABLE"):
        other[...] = other


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    nps.arrays(DTYPES, nps.array_shapes(min_dims=0, min_side=0, max_side=3)),
    st.booleans(),
    st.sampled_from([1, LEAST_BYTES]),
)
def test_any_array_comes_back(
    store: SegmentStore, array: np.ndarray[Any, Any], fortran: bool, length: int
) -> None:
    if array.nbytes and array.ndim:
        array = np.concatenate([array] * -(-length // array.nbytes))
    if fortran:
        array = np.asfortranarray(array)
    store.put("k", array)
    for _ in range(2):  # also by a header that was met
        found = store.get("k")
        assert_as_stored(array, found)
        if array.nbytes >= LEAST_BYTES:
            assert mapped_file(found).startswith(("seg.", "val."))
            assert address(found) % 64 == 0
        assert bytes(store.get_view("k")) == array.tobytes("A")


@pytest.mark.parametrize("dtype", [GAPPED, OVERLAID, TITLED, ALIGNED], ids=str)
@pytest.mark.parametrize("count", [0, 1, 2_000, 40_000])
def test_structured_arrays_come_back(store: SegmentStore, dtype: np.dtype[Any], count: int) -> None:
    array = np.frombuffer(os.urandom(count * dtype.itemsize) if count else b"", "u1")
    array = array.view(dtype) if count else np.zeros(0, dtype)
    store.put("k", array)
    assert_as_stored(array, store.get("k"))


def test_names_set_on_one_are_not_those_of_the_next(store: SegmentStore) -> None:
    store.put("k", np.zeros(2, [("a", "u1")]))
    store.get("k").dtype.names = ("b",)
    assert store.get("k").dtype.names == ("a",)


def test_headers_met_are_bounded(store: SegmentStore) -> None:
    for length in range(600):
        store.put("k", np.zeros(length, "u1"))
        assert len(store.get("k")) == length
    assert len(shown_arrays) <= 256


@pytest.mark.parametrize("count", [4, LEAST_BYTES // 8, LARGE // 8])
def test_arrays_of_pickled_objects_come_back(store: SegmentStore, count: int) -> None:
    arrays = [
        np.random.default_rng(1).random(count),
        np.asfortranarray(np.arange(count * 2.0).reshape(2, count)),
        np.array([None, count], object),
        np.ma.masked_array(np.arange(count), np.arange(count) % 2 == 1),
    ]
    store.put("k", Held(*arrays))
    found = store.get("k")
    assert type(found) is Held
    for one, other in zip(arrays, found.arrays, strict=True):
        assert type(one) is type(other)
        assert one.tolist() == other.tolist()
        assert one.flags.f_contiguous == other.flags.f_contiguous
    for other in found.arrays[:2]:
        if other.nbytes >= 1024:
            assert not other.flags.writeable
        if other.nbytes >= LEAST_BYTES:
            assert mapped_file(other).startswith(("seg.", "val."))
            assert address(other) % 64 == 0


def test_arrays_of_objects_are_their_own(store: SegmentStore) -> None:
    store.put("k", np.array([[None, 1], ["a", (2,)]], object))
    found = store.get("k")
    assert found.tolist() == [[None, 1], ["a", (2,)]]
    found[0, 0] = 7
    assert store.get("k")[0, 0] is None


def test_a_pickle_without_buffers_is_copied(store: SegmentStore) -> None:
    """Nothing of what it makes would lie in the mapping."""
    value = Held(*[str(number) for number in range(10_000)])
    store.put("k", value)
    found = store._read(encode_key("k"))
    assert found is not None
    assert type(found[1]) is bytes
    assert store.get("k").arrays == value.arrays


@pytest.mark.parametrize("size", [64, LEAST_BYTES - 200, LEAST_BYTES, LARGE])
def test_where_they_lie_and_what_they_count(store: SegmentStore, size: int) -> None:
    array = np.zeros(size, np.uint8)
    store.put("k", array)
    found = store.get("k")
    assert mapped_file(found).startswith(("seg.", "val.")) == (size >= LEAST_BYTES)
    assert array.nbytes < deep_size(found) < array.nbytes + 600
    view = store.get_view("k")
    assert array.nbytes < deep_size(view) < array.nbytes + 600


def test_an_array_is_put_again_as_any_other(store: SegmentStore) -> None:
    store.put("k", np.arange(100_000))
    store.put("again", store.get("k"))
    store.put("k", store.get("k")[::2])
    assert_as_stored(np.arange(100_000), store.get("again"))
    assert_as_stored(np.arange(0, 100_000, 2), store.get("k"))


def test_other_verbs_hand_out_the_same(store: SegmentStore) -> None:
    array = np.arange(10_000.0)
    assert store.setdefault("new", array) is array
    for found in (
        store.setdefault("new"),
        store.peek("new"),
        store["new"],
        dict(store.items())["new"],
        store.pop("new"),
    ):
        assert_as_stored(array, found)
    assert "new" not in store


def test_the_archive_and_plain_containers_hand_out_copies(
    store: SegmentStore, private_tmp: Path
) -> None:
    array = np.random.default_rng(1).random(10_000)
    with Archive(private_tmp / "l3") as archive:
        archive.put("k", array)
        assert archive.get("k").flags.owndata
        assert archive.get("k").flags.writeable
    store.put("k", {"a": array})
    assert store.get("k")["a"].flags.owndata


@pytest.mark.parametrize(
    "body",
    [
        b"",
        bytes(64),
        body_of(["<f8", [2], "C"], bytes(8)),
        body_of(["<f8", [1], "C"], bytes(8)) + b"\0",
        body_of(["|O", [1], "C"], bytes(8)),
    ],
    ids=["nothing", "zeros", "cut", "too long", "objects"],
)
def test_bodies_of_no_array_are_refused(body: bytes) -> None:
    codec = ValueCodec(views=True)
    for _ in range(2):
        with pytest.raises(SerializationError):
            codec.decode(CodecId.ARRAY, body)
        with pytest.raises(SerializationError):
            codec.bytes_view(CodecId.ARRAY, body)


def test_padding_that_is_no_zeros_is_refused_by_a_known_header_too() -> None:
    codec = ValueCodec(views=True)
    codec_id, body = codec.encode(np.arange(3.0), FORM_PLAIN)
    assert codec.decode(codec_id, body) is not None
    with pytest.raises(SerializationError, match="not padded"):
        codec.decode(codec_id, body[:63] + b"\1" + body[64:])
