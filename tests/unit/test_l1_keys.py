"""Which keys match which: as in a dict, whatever their type, and however their hashes fall."""

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from fastmem._core.l1 import L1Cache


@pytest.fixture
def cache() -> L1Cache:
    return L1Cache(50_000_000)


def as_dict_does(keys: Sequence[Any]) -> None:
    """Puts the keys into a dict and a cache and expects the same answers from both."""
    expected, cache = {}, L1Cache(50_000_000)
    for number, key in enumerate(keys):
        expected[key] = number
        cache[key] = number
    assert dict(cache.items()) == expected
    for key in keys:
        assert cache[key] == expected[key]
    cache._check()


def test_numbers_of_all_types_match_as_in_a_dict() -> None:
    as_dict_does(
        [1, True, 1.0, 1 + 0j, 0, False, -0.0, -1, -2, 2**61 - 1, 0, 2**61, 2**64, -(2**64)]
    )


def test_integers_of_every_length() -> None:
    as_dict_does(
        [sign * (2**bits + d) for bits in range(130) for d in (-1, 0, 1) for sign in (1, -1)]
    )


def test_text_and_bytes_of_equal_content_differ() -> None:
    as_dict_does(["a", b"a", "", b"", "é", "é".encode(), "日", "日".encode(), "a\0", "a"])


def test_text_matches_by_content_and_not_by_identity(cache: L1Cache) -> None:
    for text in ["plain", "é", "日本", "\U0001f600", "\ud800", ""]:
        cache["x" + text] = text
        assert cache["".join(["x", text])] is text  # noqa: FLY002 - not a constant
        assert cache.get("y" + text) is None


def test_subclasses_match_what_they_equal() -> None:
    class Text(str):
        __slots__ = ()

    class Number(int):
        pass

    as_dict_does(["a", Text("a"), Text("b"), "b", 5, Number(5), (1, "a"), (True, Text("a"))])


def test_nan_matches_by_identity_alone(cache: L1Cache) -> None:
    nan = float("nan")
    cache[nan] = 1
    assert cache[nan] == 1
    assert float("nan") not in cache


def test_unhashable_keys_are_type_errors_and_change_nothing(cache: L1Cache) -> None:
    for use in (
        lambda: cache.put([], 1),
        lambda: cache.get([]),
        lambda: [] in cache,
        lambda: cache.pop({}, None),
        lambda: cache.delete(([],)),
    ):
        with pytest.raises(TypeError, match="unhashable"):
            use()
    assert len(cache) == 0
    cache._check()


class Constant:
    def __init__(self, name: int) -> None:
        self.name = name

    def __hash__(self) -> int:
        return 42

    def __eq__(self, other: object) -> bool:
        return self is other


def test_one_hash_for_every_key_is_slow_but_right(cache: L1Cache) -> None:
    keys = [Constant(i) for i in range(600)]
    for key in keys:
        cache[key] = key.name
    cache._check()
    for key in keys[::2]:
        assert cache.pop(key) == key.name
    cache._check()
    assert [cache.get(key) for key in keys] == [
        key.name if i % 2 else None for i, key in enumerate(keys)
    ]


# Keys whose products with the multiplier are small, equal in their upper or lower halves, or evenly
# spaced: what piles up in a table that only multiplies.
GOLDEN_INVERSE = pow(0x9E3779B97F4A7C15, -1, 2**64)
CRAFTED = {
    "consecutive": lambda i: i,
    "shifted by 16": lambda i: i << 16,
    "shifted by 32": lambda i: i << 32,
    "shifted by 20": lambda i: i << 20,
    "shifted by 45": lambda i: i << 45,
    "shifted by 61": lambda i: i << 61,
    "inverse, low": lambda i: i * GOLDEN_INVERSE % 2**64 % (2**61 - 1),
    "inverse, high": lambda i: (i << 32) * GOLDEN_INVERSE % 2**64 % (2**61 - 1),
    "negative": lambda i: -i * 3,
    "multiples of a prime": lambda i: i * 1_000_003,
}


@pytest.mark.parametrize("pattern", CRAFTED)
def test_crafted_integers_do_not_pile_up(cache: L1Cache, pattern: str) -> None:
    for i in range(20_000):
        cache[CRAFTED[pattern](i)] = i
    cache._check()
    assert cache._longest_probe() < 100


def test_no_bytes_warning_from_keys_that_collide() -> None:
    """Under -bb, comparing str with bytes is an error; the cache never does."""
    script = (
        "from fastmem._core.l1 import L1Cache\n"
        "c = L1Cache(10**8)\n"
        "for i in range(20000): c[str(i)] = i; c[b'%d' % i] = -i\n"
        "assert all(c[b'%d' % i] == -i and c[str(i)] == i for i in range(20000))\n"
        "c['']=1; c[b'']=2; assert c[''] == 1 and c[b''] == 2\n"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "0"}  # then hash('') == hash(b'') == 0
    subprocess.run([sys.executable, "-bb", "-c", script], check=True, env=environment)
