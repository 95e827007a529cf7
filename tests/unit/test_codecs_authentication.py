"""MACs of records: every field counts, no two records share a message."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastmem.codecs import Authenticator

SECRET = bytes(range(32))
RECORDS = st.tuples(
    st.integers(0, 2**16 - 1),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-(2**63), 2**63 - 1),
    st.binary(max_size=6),
    st.binary(max_size=6),
)


@given(RECORDS, RECORDS)
def test_a_mac_is_valid_for_its_own_record_alone(one: Any, other: Any) -> None:
    authenticator = Authenticator(SECRET)
    mac = authenticator.sign(*one)
    assert len(mac) == 16
    assert authenticator.verify(memoryview(mac), *one)
    assert authenticator.verify(mac, *other) == (one == other)


@pytest.mark.parametrize(
    "other",
    [
        (2, 3, 4, b"key", b"body"),
        (1, 2, 4, b"key", b"body"),
        (1, 3, 5, b"key", b"body"),
        (1, 4, 3, b"key", b"body"),
        (1, 3, 4, b"keyb", b"ody"),
        (1, 3, 4, b"ke", b"ybody"),
        (1, 3, 4, b"Key", b"body"),
        (1, 3, 4, b"key", b"body\0"),
    ],
)
def test_every_field_is_signed(other: Any) -> None:
    authenticator = Authenticator(SECRET)
    assert not authenticator.verify(authenticator.sign(1, 3, 4, b"key", b"body"), *other)


def test_every_bit_of_the_mac_counts() -> None:
    authenticator = Authenticator(SECRET)
    record = (1, 3, 4, b"key", b"body")
    mac = authenticator.sign(*record)
    for bit in range(128):
        flipped = bytearray(mac)
        flipped[bit // 8] ^= 1 << bit % 8
        assert not authenticator.verify(bytes(flipped), *record)
    for cut in (b"", mac[:15], mac + b"\0"):
        assert not authenticator.verify(cut, *record)


def test_another_secret_key_signs_otherwise() -> None:
    record = (1, 3, 4, b"key", b"body")
    mac = Authenticator(SECRET).sign(*record)
    assert not Authenticator(bytes(32)).verify(mac, *record)
    assert not Authenticator(SECRET + b"\0").verify(mac, *record)


def test_the_mac_is_the_one_of_the_file_format() -> None:
    message = bytes.fromhex("0100 0300000000000000 0400000000000000 03000000 0400000000000000")
    expected = blake2b(
        message + b"keybody", digest_size=16, key=SECRET, person=b"fastmem record"
    ).digest()
    assert Authenticator(SECRET).sign(1, 3, 4, b"key", memoryview(b"body")) == expected


@pytest.mark.parametrize("size", [0, 15, 65])
def test_secret_keys_of_other_lengths_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"16 to 64 bytes, not {size}"):
        Authenticator(bytes(size))


def test_other_secrets_and_numbers_are_refused() -> None:
    with pytest.raises(TypeError, match="must be bytes, not str"):
        Authenticator("a" * 32)  # type: ignore[arg-type]
    for key_id in (0, 65536):
        with pytest.raises(ValueError, match="key_id"):
            Authenticator(SECRET, key_id)
    assert Authenticator(SECRET, 65535).key_id == 65535


def test_the_secret_does_not_show() -> None:
    assert repr(SECRET) not in repr(Authenticator(SECRET))
