"""Equal keys are one key, whichever of them brings its own hash and for which it is worked out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastmem import L1Cache


class Same(tuple):  # type: ignore[type-arg]
    """Equal to the tuple, with the hash that the interpreter makes."""

    __slots__ = ()


parts = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: st.tuples(inner) | st.tuples(inner, inner) | st.frozensets(inner, max_size=3),
    max_leaves=20,  # or their text is too long for a report, which is a warning
)


@given(st.lists(parts, max_size=6))
def test_any_tuple_is_found_by_what_equals_it(found: list[Any]) -> None:
    cache: L1Cache[Any, int] = L1Cache(100_000)
    cache[tuple(found)] = 1
    assert cache[Same(found)] == 1
    cache.clear()
    cache[Same(found)] = 2
    assert cache[tuple(found)] == 2


@pytest.mark.parametrize("key", [(), (-1,), (-1, -2), ("",), ("a", "a"), ((), ((),)), (0.0, 0)])
def test_odd_ones(key: tuple[Any, ...]) -> None:
    cache: L1Cache[Any, int] = L1Cache(100_000)
    cache[Same(key)] = 1
    assert cache[key] == 1
    assert key in cache


class Plain:
    """Hashed by its address."""


class Hashed:
    def __hash__(self) -> int:
        return 7


@pytest.mark.parametrize("part", [object, Plain, Hashed, lambda: Plain, lambda: len])
def test_parts_that_are_hashed_by_their_addresses(part: Any) -> None:
    cache: L1Cache[Any, int] = L1Cache(100_000)
    keys = [(part(), i, part()) for i in range(50)]
    for i, key in enumerate(keys):
        cache[Same(key)] = i
    assert [cache[key] for key in keys] == list(range(50))


def test_a_str_that_was_never_asked_for_its_hash() -> None:
    cache: L1Cache[Any, int] = L1Cache(100_000)
    cache[Same(("ab", 1))] = 1
    fresh = "abc"[: len(cache) + 1], 1
    assert cache[fresh] == cache[fresh] == 1


def test_a_part_that_has_no_hash() -> None:
    cache: L1Cache[Any, int] = L1Cache(100_000)
    keys: list[Any] = [("a", []), ("a", ("b", {})), ([],)]
    for key in keys:
        with pytest.raises(TypeError, match="unhashable type"):
            cache[key]
        with pytest.raises(TypeError, match="unhashable type"):
            cache[key] = 1
    assert len(cache) == 0
