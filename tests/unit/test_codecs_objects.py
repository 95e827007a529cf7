"""Objects of any class: pickled while allowed, refused or explained by their place otherwise."""

from __future__ import annotations

import decimal
import sys
import threading
import types
import uuid
from collections import Counter, OrderedDict, defaultdict, namedtuple
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
import pytest

from fastmem.codecs import CodecId, ValueCodec, pickles
from fastmem.codecs.values import FORM_DIRECT, FORM_OPAQUE, FORM_PLAIN
from fastmem.errors import PickleRefusedError, SerializationError

CODEC = ValueCodec()
STRICT = ValueCodec(allow_pickle=False)
FORMS = [FORM_OPAQUE, FORM_PLAIN]  # MessagePack would take an enum for its value


@dataclass
class Session:
    user: str
    rows: list[Any] = field(default_factory=list)
    socket: Any = None


class Slotted:
    __slots__ = ("inner", "other")

    def __init__(self, inner: object) -> None:
        self.inner = inner


class Raising:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __reduce__(self) -> Any:
        raise self.error


class Loud:
    """Fails when it is loaded."""

    def __init__(self, error: type[BaseException]) -> None:
        self.error = error

    def __reduce__(self) -> Any:
        return raise_it, (self.error,)


def raise_it(error: type[BaseException]) -> None:
    raise error("while loading")


class Level(Enum):
    HOT = 1


Point = namedtuple("Point", "x y")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "value",
    [
        Session("ada", [1, (2, 3)]),
        {"level": Level.HOT, "id": uuid.UUID(int=7), "price": decimal.Decimal("1.10")},
        [OrderedDict(a=1), defaultdict(list, a=[1]), Counter("aab")],
        range(3),
        Session,
    ],
    ids=repr,
)
def test_objects_come_back(value: object, form: int) -> None:
    codec_id, body = CODEC.encode(value, form)
    assert codec_id == CodecId.PICKLE
    decoded = CODEC.decode(codec_id, memoryview(body))
    assert decoded == value
    assert type(decoded) is type(value)


def test_subclasses_of_plain_types_keep_their_class() -> None:
    point = CODEC.decode(*CODEC.encode([Point(1, 2)], FORM_PLAIN))[0]  # type: ignore[index]
    assert type(point) is Point


@pytest.mark.parametrize(
    "array",
    [
        np.arange(1000.0),
        np.asfortranarray(np.arange(1000.0).reshape(10, 100)),
        np.arange(1000.0)[::3],
        np.zeros((0, 5)),
        np.array(1.0),
        np.arange(500, dtype=">i4"),
        np.zeros(200, [("a", "<i4"), ("b", "<f8")]),
        np.arange(300).astype("<M8[ns]"),
        np.array([Level.HOT, None], object),
    ],
    ids=lambda array: f"{array.dtype.str}{array.shape}",
)
def test_arrays_inside_objects_come_back_fresh_and_writable(array: np.ndarray[Any, Any]) -> None:
    codec_id, body = CODEC.encode(Session("ada", [array, array]), FORM_OPAQUE)
    one: Any = CODEC.decode(codec_id, body)
    assert one.rows[0] is one.rows[1]
    assert one.rows[0].dtype == array.dtype
    assert one.rows[0].flags.f_contiguous >= array.flags.f_contiguous
    np.testing.assert_array_equal(one.rows[0], array)
    one.rows[0].fill(0)
    np.testing.assert_array_equal(CODEC.decode(codec_id, body).rows[0], array)  # type: ignore[attr-defined]


def test_buffers_lie_64_byte_aligned_after_the_pickle() -> None:
    arrays = [np.full(2000 + i, i + 1, np.uint8) for i in range(3)]
    _, body = CODEC.encode(Session("ada", arrays), FORM_OPAQUE)
    assert int.from_bytes(body[:4], "little") == 3
    for array in arrays:
        assert body.index(array.tobytes()) % 64 == 0


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("value", "place", "name"),
    [
        (Session("ada"), "value", "Session"),
        ({"rows": [1, 2, (3, {"x": Level.HOT})]}, "value['rows'][2][1]['x']", "Level"),
        ({("a", Level.HOT): 1}, "value<key <tuple>>[1]", "Level"),
        ({"a": {decimal.Decimal(1)}}, "value['a']{<Decimal>}", "Decimal"),
        ([[], {"k" * 60: object()}], f"value[1]['{'k' * 40}'...]", "object"),
        ({10**5000: object()}, "value[<int>]", "object"),
        ([Point(1, 2)], "value[0]", "Point"),
    ],
    ids=lambda value: value if type(value) is str else "value",
)
def test_refused_objects_are_named_by_their_place(
    value: object, place: str, name: str, form: int
) -> None:
    with pytest.raises(PickleRefusedError) as refused:
        STRICT.encode(value, form)
    assert refused.value.path == place
    assert refused.value.message.startswith(f"{name} needs pickle")


def test_a_refusal_deep_down_shortens_its_path() -> None:
    value: object = object()
    for _ in range(100_000):
        value = [value]
    with pytest.raises(PickleRefusedError, match=r"\(99,984 levels\)") as refused:
        STRICT.encode(value, FORM_OPAQUE)
    assert len(refused.value.path) < 100


@pytest.mark.parametrize(
    ("value", "place", "name"),
    [
        (threading.Lock(), "value", "lock"),
        ({"rows": [1, Session("ada", [lambda: 1])]}, "value['rows'][1].rows[0]", "function"),
        (Session("ada", socket=threading.Lock()), "value.socket", "lock"),
        (Slotted((1, threading.Lock())), "value.inner[1]", "lock"),
        ([OrderedDict(a=[sys])], "value[0]['a'][0]", "module"),
        (defaultdict(lambda: 1), "value.__reduce__()[1][0]", "function"),
        ({"a": Raising(ZeroDivisionError("no"))}, "value['a']", "Raising"),
        (
            Session("ada", [iter(())], types.SimpleNamespace(lock=threading.Lock())),
            "value.socket.lock",
            "lock",
        ),
    ],
    ids=lambda value: value if type(value) is str else "value",
)
def test_unpicklable_objects_are_named_by_their_place(value: object, place: str, name: str) -> None:
    with pytest.raises(SerializationError) as failed:
        CODEC.encode(value, FORM_OPAQUE)
    assert not isinstance(failed.value, PickleRefusedError)
    assert failed.value.path == place
    assert failed.value.message.startswith(f"{name} cannot be pickled")
    assert failed.value.__cause__ is not None


def test_the_search_for_the_culprit_ends_in_a_cycle_and_among_many() -> None:
    loop = Session("ada", socket=threading.Lock())
    loop.rows = [loop, *([i] for i in range(100))]
    with pytest.raises(SerializationError) as failed:
        CODEC.encode([loop], FORM_OPAQUE)
    assert failed.value.path == "value[0].socket"
    many = [*[[i] for i in range(10_001)], threading.Lock()]
    with pytest.raises(SerializationError, match="cannot be pickled") as failed:
        CODEC.encode(many, FORM_OPAQUE)
    assert failed.value.path == "value"


def test_objects_too_deep_for_pickle_are_an_error() -> None:
    value: object = Level.HOT
    for _ in range(100_000):
        value = [value]
    with pytest.raises(SerializationError, match="RecursionError") as failed:
        CODEC.encode(value, FORM_OPAQUE)
    assert failed.value.path.startswith("value[0]")


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, SystemExit])
def test_interrupts_pass_through_both_ways(error: type[BaseException]) -> None:
    with pytest.raises(error):
        CODEC.encode([Raising(error())], FORM_OPAQUE)
    codec_id, body = CODEC.encode(Loud(error), FORM_OPAQUE)
    with pytest.raises(error):
        CODEC.decode(codec_id, body)


def test_what_a_value_raises_while_it_is_loaded_is_the_cause() -> None:
    codec_id, body = CODEC.encode(Loud(ZeroDivisionError), FORM_OPAQUE)
    with pytest.raises(SerializationError, match="ZeroDivisionError: while loading") as failed:
        CODEC.decode(codec_id, body)
    assert type(failed.value.__cause__) is ZeroDivisionError


def test_a_pickle_is_refused_untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    codec_id, body = CODEC.encode(Session("ada"), FORM_OPAQUE)

    def refuse(*_: object) -> None:
        raise AssertionError("the pickle was read")

    monkeypatch.setattr(pickles, "decode", refuse)
    with pytest.raises(PickleRefusedError, match="allow_pickle=False refuses to load"):
        STRICT.decode(codec_id, body)


def test_a_class_or_module_that_is_gone_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("passing_module")
    exec("class Kept: pass\nclass Outer:\n    class Gone: pass", module.__dict__)
    monkeypatch.setitem(sys.modules, "passing_module", module)
    codec_id, body = CODEC.encode([module.Kept(), module.Kept(), module.Outer.Gone()], FORM_OPAQUE)
    del module.Outer.Gone
    with pytest.raises(SerializationError, match=r"passing_module\.Outer\.Gone no longer exists"):
        CODEC.decode(codec_id, body)
    monkeypatch.delitem(sys.modules, "passing_module")
    with pytest.raises(SerializationError, match=r"passing_module\.Kept no longer exists"):
        CODEC.decode(codec_id, body)


class Reversing:
    def dumps(self, value: object, /) -> bytes:
        return repr(value).encode()[::-1]

    def loads(self, data: bytes, /) -> object:
        assert type(data) is bytes
        return data[::-1].decode()


def test_a_serializer_takes_every_value_and_others_bodies_stay_readable() -> None:
    codec = ValueCodec(Reversing())
    for form in (*FORMS, FORM_DIRECT):
        codec_id, body = codec.encode(b"ab", form)
        assert codec_id == CodecId.CUSTOM
        assert codec.decode(codec_id, memoryview(body)) == "b'ab'"
    assert codec.decode(*CODEC.encode({"a": 1}, FORM_DIRECT)) == {"a": 1}
    with pytest.raises(SerializationError, match="none was given"):
        CODEC.decode(codec_id, body)


class Failing:
    def __init__(self, error: BaseException | None) -> None:
        self.error = error

    def dumps(self, _value: object, /) -> Any:
        if self.error is None:
            return "text"
        raise self.error

    loads = dumps


def test_a_serializer_that_fails_is_an_error() -> None:
    for error in (KeyError("a"), RecursionError()):
        codec = ValueCodec(Failing(error))
        with pytest.raises(SerializationError, match="the serializer failed") as failed:
            codec.encode(1, FORM_DIRECT)
        assert failed.value.__cause__ is error
        with pytest.raises(SerializationError, match="CUSTOM body") as failed:
            codec.decode(CodecId.CUSTOM, b"")
        assert failed.value.__cause__ is error
    with pytest.raises(KeyboardInterrupt):
        ValueCodec(Failing(KeyboardInterrupt())).encode(1, FORM_DIRECT)
    with pytest.raises(SerializationError, match="returned str, not bytes"):
        ValueCodec(Failing(None)).encode(1, FORM_DIRECT)


@pytest.mark.parametrize(
    ("serializer", "error"), [("pickle", ValueError), (object(), TypeError), (None, TypeError)]
)
def test_other_serializers_are_refused(serializer: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        ValueCodec(serializer)


def test_a_value_changed_by_another_thread_is_a_value_or_an_error() -> None:
    value: dict[Any, Any] = {i: (i, [i]) for i in range(50)}
    stop = threading.Event()

    def change() -> None:
        i = 0
        while not stop.is_set():
            i += 1
            value[i % 97] = (i, [i], {"a": (i,)})
            value.pop((i * 31) % 97, None)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for form in (FORM_PLAIN, FORM_OPAQUE) * 150:
            try:
                decoded: Any = CODEC.decode(*CODEC.encode(value, form))
            except SerializationError:
                continue
            assert all(type(item) is tuple and item[1] == [item[0]] for item in decoded.values())
    finally:
        stop.set()
        thread.join()
