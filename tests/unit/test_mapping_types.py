"""Every memory is a MutableMapping: to ``isinstance``, and to type checkers: the linters run mypy
over this file.
"""

from __future__ import annotations

from collections.abc import ItemsView, Mapping, MutableMapping
from pathlib import Path
from typing import assert_type

import pytest

from fastmem import KeyTypeError, L1Cache
from tests.crash.directories import Opener, open_archive, open_segments, open_tiers


def fill(mapping: MutableMapping[str, int]) -> None:
    mapping["a"] = 1
    mapping.update({"b": 2}, c=3)
    mapping.update([("d", 4)])
    assert mapping.setdefault("e", 5) == 5
    assert mapping.pop("e") == 5
    assert mapping.pop("e", None) is None


def total(mapping: Mapping[str, int]) -> int:
    return sum(mapping.values()) + len([key for key in mapping if key not in mapping])


def test_a_cache_is_a_mapping_of_its_types() -> None:
    cache: L1Cache[str, int] = L1Cache(10_000)
    fill(cache)
    assert total(cache) == 10
    assert_type(cache.get("a"), int | None)
    assert_type(cache.get("a", ""), int | str)
    assert_type(cache["a"], int)
    assert_type(cache.pop("d"), int)
    assert_type(cache.popitem(), tuple[str, int])
    assert_type(cache.items(), ItemsView[str, int])
    numbers: L1Cache[int, str] = L1Cache(10_000)
    numbers.update({1: "one"})
    assert numbers == {1: "one"}
    assert isinstance(numbers, MutableMapping)
    fill(numbers)  # type: ignore[arg-type]  # keys of another type


@pytest.mark.parametrize("opener", [open_tiers, open_segments, open_archive])
def test_a_store_is_a_mapping(private_tmp: Path, opener: Opener) -> None:
    with opener(private_tmp) as store:
        assert isinstance(store, MutableMapping)


def test_each_store_goes_where_a_mapping_is_asked_for(private_tmp: Path) -> None:
    with open_tiers(private_tmp / "tiers") as memory:
        fill(memory)
        assert total(memory) == 10
    with open_segments(private_tmp / "segments") as segments:
        fill(segments)
        assert total(segments) == 10
        with pytest.raises(KeyTypeError):
            segments.put(1.5, "no key")  # type: ignore[arg-type]
    with open_archive(private_tmp / "archive") as archive:
        fill(archive)
        assert total(archive) == 10
