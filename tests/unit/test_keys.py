"""Tier keys: equal keys, and only those, have equal bytes."""

from __future__ import annotations

import enum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastmem._core.keys import KEY_BYTES_LIMIT, KEY_DEPTH_LIMIT, decode_key, encode_key
from fastmem.errors import KeyTypeError, ValueTooLargeError

TEXTS = st.text() | st.text(st.characters(categories=["Cs", "L"]), max_size=6)
SCALARS = TEXTS | st.binary() | st.integers() | st.integers(-(2**80), 2**80)
KEYS = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4).map(tuple), max_leaves=12)


class Name(str):
    __slots__ = ()


class Colour(enum.IntEnum):
    RED = 1


class Pair(tuple[object, ...]):
    __slots__ = ()


def exact(key: object) -> object:
    """The key with its types, so that True and 1 are told apart."""
    if type(key) is tuple:
        return tuple, tuple(exact(item) for item in key)
    return type(key), key


@given(KEYS)
def test_a_key_comes_back_as_it_was(key: object) -> None:
    assert exact(decode_key(encode_key(key))) == exact(key)
    assert decode_key(memoryview(encode_key(key))) == key


@given(KEYS, KEYS)
def test_equal_keys_and_only_those_have_equal_bytes(one: object, other: object) -> None:
    assert (encode_key(one) == encode_key(other)) == (exact(one) == exact(other))


@given(TEXTS, TEXTS)
def test_the_encoding_of_a_prefix_is_a_prefix_of_the_encoding(start: str, rest: str) -> None:
    assert encode_key(start + rest).startswith(encode_key(start))


@pytest.mark.parametrize(
    ("key", "encoded"),
    [
        ("", b"s"),
        ("a\x00\N{SNOWMAN}", b"sa\x00\xe2\x98\x83"),
        ("\ud800", b"s\xed\xa0\x80"),
        (b"\x00s", b"b\x00s"),
        (0, b"i\x00"),
        (127, b"i\x7f"),
        (128, b"i\x00\x80"),
        (-128, b"i\x80"),
        (-129, b"i\xff\x7f"),
        (2**63 - 1, b"i\x7f" + b"\xff" * 7),
        (-(2**63), b"i\x80" + bytes(7)),
        (2**63, b"i\x00\x80" + bytes(7)),
        (-(2**63) - 1, b"i\xff\x7f" + b"\xff" * 7),
        ((), b"t\x00\x00"),
        (("a", (1,)), b"t\x00\x02\x00\x02sa\x00\x07t\x00\x01\x00\x02i\x01"),
    ],
)
def test_the_bytes_are_these(key: object, encoded: bytes) -> None:
    assert encode_key(key) == encoded
    assert decode_key(encoded) == key


@pytest.mark.parametrize(
    ("key", "place", "name"),
    [
        (True, "key", "bool"),
        (1.0, "key", "float"),
        (None, "key", "NoneType"),
        (bytearray(b"a"), "key", "bytearray"),
        (Name("a"), "key", "Name"),
        (Colour.RED, "key", "Colour"),
        (Pair(("a",)), "key", "Pair"),
        (("a", 1.0), "key[1]", "float"),
        (("a", ("b", (), ("c", False))), "key[1][2][1]", "bool"),
        ((Name("a"),), "key[0]", "Name"),
        (("a", Pair()), "key[1]", "Pair"),
    ],
)
def test_other_types_are_refused_with_their_place(key: object, place: str, name: str) -> None:
    with pytest.raises(KeyTypeError) as refused:
        encode_key(key)
    where = f" at {place}" if place != "key" else ""
    assert str(refused.value) == f"keys are str, bytes, int or tuples of these, not {name}{where}"
    assert isinstance(refused.value, TypeError)


def nested(depth: int) -> tuple[object, ...]:
    key: tuple[object, ...] = ()
    for _ in range(depth - 1):
        key = (key,)
    return key


def test_tuples_nest_to_the_limit_and_not_further() -> None:
    assert decode_key(encode_key(nested(KEY_DEPTH_LIMIT))) == nested(KEY_DEPTH_LIMIT)
    with pytest.raises(KeyTypeError, match="more than 100 deep"):
        encode_key(nested(KEY_DEPTH_LIMIT + 1))


def test_a_tuple_shared_at_each_level_is_refused_at_once() -> None:
    key: tuple[object, ...] = ("a",)
    for _ in range(KEY_DEPTH_LIMIT - 1):
        key = (key, key)
    with pytest.raises(ValueTooLargeError):
        encode_key(key)


@pytest.mark.parametrize(
    ("fits", "too_long"),
    [
        ("a" * (KEY_BYTES_LIMIT - 1), "a" * KEY_BYTES_LIMIT),
        ("\xe9" * (KEY_BYTES_LIMIT // 2 - 1) + "a", "\xe9" * (KEY_BYTES_LIMIT // 2)),
        (bytes(KEY_BYTES_LIMIT - 1), bytes(KEY_BYTES_LIMIT)),
        (2 ** (8 * (KEY_BYTES_LIMIT - 1) - 1) - 1, 2 ** (8 * (KEY_BYTES_LIMIT - 1) - 1)),
        (-(2 ** (8 * (KEY_BYTES_LIMIT - 1) - 1)), -(2 ** (8 * (KEY_BYTES_LIMIT - 1) - 1)) - 1),
        ((bytes(KEY_BYTES_LIMIT - 6),), (bytes(KEY_BYTES_LIMIT - 5),)),
        (((), ("a" * (KEY_BYTES_LIMIT - 16),)), ((), ("a" * (KEY_BYTES_LIMIT - 15),))),
        ((b"",) * 21844, (b"",) * 21845),
    ],
    ids=["ascii", "utf-8", "bytes", "int", "negative", "tuple", "nested", "many"],
)
def test_the_limit_is_exact(fits: object, too_long: object) -> None:
    encoded = encode_key(fits)
    assert len(encoded) <= KEY_BYTES_LIMIT
    assert len(encoded) > KEY_BYTES_LIMIT - 3
    assert decode_key(encoded) == fits
    with pytest.raises(ValueTooLargeError) as refused:
        encode_key(too_long)
    assert refused.value.size > refused.value.limit == KEY_BYTES_LIMIT


def test_a_text_keeps_no_copy_of_its_encoding() -> None:
    text = "\xe9" * 1000
    before = text.__sizeof__()
    encode_key(text)
    encode_key((text,))
    assert text.__sizeof__() == before
