"""Hostile key bytes: one spelling for each key, a ValueError with the offset for all others."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastmem._core.keys import KEY_BYTES_LIMIT, decode_key, encode_key

SEEDS = ["user:7", "\ud800\xe9", b"\x00\xff", 0, -129, 2**70, (), ("user", 7, (b"", ((),)))]


def assert_canonical_or_refused(data: bytes) -> None:
    try:
        key = decode_key(data)
    except ValueError as error:
        assert "offset" in str(error)  # noqa: PT017 - or it is a key after all
    else:
        assert encode_key(key) == data


@given(st.binary(max_size=64))
@example(b"")
@example(b"t\xff\xff")
@example(b"t\x00\x01\xff\xff")
def test_random_bytes(data: bytes) -> None:
    assert_canonical_or_refused(data)


@given(st.sampled_from("sbit"), st.binary(max_size=64))
def test_random_content_of_each_tag(tag: str, content: bytes) -> None:
    assert_canonical_or_refused(tag.encode() + content)


@given(st.sampled_from(SEEDS), st.data())
def test_flipped_bits(key: object, data: st.DataObject) -> None:
    encoded = bytearray(encode_key(key))
    for _ in range(data.draw(st.integers(1, 3))):
        bit = data.draw(st.integers(0, 8 * len(encoded) - 1))
        encoded[bit // 8] ^= 1 << bit % 8
    assert_canonical_or_refused(bytes(encoded))


@pytest.mark.parametrize("key", [key for key in SEEDS if type(key) is tuple])
def test_a_cut_or_extended_tuple_is_refused(key: tuple[object, ...]) -> None:
    encoded = encode_key(key)
    for size in range(len(encoded)):
        with pytest.raises(ValueError, match="offset"):
            decode_key(encoded[:size])
    with pytest.raises(ValueError, match="left over at offset"):
        decode_key(encoded + b"\x00")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "nothing at offset 0"),
        (b"x", "unknown tag 0x78 at offset 0"),
        (b"i", "not minimal at offset 0"),
        (b"i\x00\x7f", "not minimal at offset 0"),
        (b"i\xff\x80", "not minimal at offset 0"),
        (b"s\xc0\x80", "invalid start byte at offset 1"),
        (b"sab\xff", "invalid start byte at offset 3"),
        (b"t\x00\x01\x00\x02sab", "left over at offset 7"),
        (b"t\x00\x01\x00\x04sab", "longer than its tuple at offset 3"),
        (b"t\x00\x01\x00\x00", "cut tuple at offset 3"),
        (b"b" + bytes(KEY_BYTES_LIMIT), "more than 65536, at offset 65536"),
    ],
)
def test_the_reason_and_the_offset_are_named(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        decode_key(data)


def test_deep_nesting_is_refused() -> None:
    data = b"t\x00\x00"
    for _ in range(100):
        data = b"t\x00\x01" + len(data).to_bytes(2, "big") + data
    with pytest.raises(ValueError, match="more than 100 deep"):
        decode_key(data)


@pytest.mark.parametrize("data", ["suser", 7, None])
def test_only_buffers_are_decoded(data: object) -> None:
    with pytest.raises(TypeError):
        decode_key(data)  # type: ignore[arg-type]
