"""A word of the index that damage has made lead to the record of another key."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fastmem import CorruptRecordError
from fastmem._core.keys import encode_key
from fastmem._core.layout import LOCATION_MASK
from tests.crash.directories import (
    contents,
    engine_of,
    open_archive,
    open_segments,
    open_tiers,
    patch,
)

OPENERS = pytest.mark.parametrize("opener", [open_segments, open_archive, open_tiers])


def lead_astray(store: Any, key: str, other: str) -> None:
    """Make the word of `key` lead to the record of `other`."""
    engine = engine_of(store)
    word, to = (engine.log.seek(encode_key(name)) for name in (key, other))
    path = engine.files.paths[0] / "index"
    offset = path.read_bytes().index(word.to_bytes(8, "little"))
    patch(path, offset, (word & ~LOCATION_MASK | to & LOCATION_MASK).to_bytes(8, "little"))


@OPENERS
def test_an_iteration_meets_no_key_twice(private_tmp: Path, opener: Any) -> None:
    with opener(private_tmp) as store:
        store.update({f"k{i}": i for i in range(100)})
        if opener is open_tiers:
            store.resize(1)  # L1 knows nothing
        lead_astray(store, "k7", "k8")
        assert store.get("k7") is None
        left = {f"k{i}": i for i in range(100) if i != 7}
        assert Counter(store) == Counter(left)
        assert Counter(store.values()) == Counter(left.values())
        assert Counter(store.items()) == Counter(left.items())
        assert store.get("none") is None  # a miss tells what was met before it
        stats = store.stats()
        assert stats.get("l2", stats)["errors"]["corrupt"] == 1


@OPENERS
def test_verify_tells_of_it(private_tmp: Path, opener: Any) -> None:
    with opener(private_tmp) as store:
        store.update({"a": 1, "b": 2})
        lead_astray(store, "a", "b")
        told: list[CorruptRecordError] = []
        assert store.verify(on_corrupt=told.append) == 2
        assert len(told) == 1
        assert "index leads to no sound record" in str(told[0])


@OPENERS
def test_clear_removes_it(private_tmp: Path, opener: Any) -> None:
    with opener(private_tmp) as store:
        store.update({"a": "older", "b": 1})
        store["a"] = "newer"
        lead_astray(store, "a", "b")
        store.clear()
        assert len(store) == 0
        assert list(store) == []
        store.check()
        store.put("after", 2)
    next(private_tmp.rglob("index")).unlink()
    with opener(private_tmp) as store:
        assert contents(store) == {"after": 2}
        store.check()
