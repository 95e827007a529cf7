"""Views of a store pass over what cannot be read; what was readable stays readable."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from fastmem._core import scan
from tests.crash.directories import engine_of, open_archive, open_segments, open_tiers, patch

OPENERS = [open_segments, open_archive, open_tiers]
VALUES = {f"k{i}": f"VALUE-{i}-" for i in range(500)}
HOUR_NS = 3_600 * 10**9


def damage(folder: Path, text: bytes) -> None:
    """Flip a bit of the stored text, wherever it lies."""
    for path in folder.rglob("*"):
        at = path.read_bytes().find(text) if path.is_file() else -1
        if at >= 0:
            patch(path, at, bytes([text[0] ^ 1]))
            return
    raise AssertionError(f"{text!r} is nowhere")


@pytest.mark.parametrize("opener", OPENERS)
def test_views_and_comparison_pass_over_a_damaged_record(private_tmp: Path, opener: Any) -> None:
    with opener(private_tmp) as store:
        store.update(VALUES)
    damage(private_tmp, b"VALUE-7-")
    readable = {key: value for key, value in VALUES.items() if key != "k7"}
    with opener(private_tmp) as store:
        assert dict(store.items()) == readable
        assert sorted(store.values()) == sorted(readable.values())
        assert store == readable
        assert store != VALUES
        assert "VALUE-8-" in store.values()
        assert "VALUE-7-" not in store.values()
        assert ("k8", "VALUE-8-") in store.items()
        assert ("k8", "VALUE-7-") not in store.items()
        assert ("k7", "VALUE-7-") not in store.items()
        assert "k8" not in store.items()
        assert set(store.keys()) == set(VALUES)  # a key is there until its record is read
        assert len(store.items()) == len(store)


@pytest.mark.parametrize("opener", OPENERS)
def test_views_pass_over_what_expires_meanwhile(private_tmp: Path, opener: Any) -> None:
    with opener(private_tmp) as store:
        for key, value in VALUES.items():
            store.put(key, value, 1_800)
        if opener is open_tiers:
            store.resize(1)  # deadlines of L1 are by another clock
        met = []
        for pair in store.items():
            met.append(pair)
            if len(met) == 1:
                engine_of(store).log.wall_offset_ns += HOUR_NS
        assert len(met) == 1


@pytest.mark.parametrize("opener", OPENERS)
@pytest.mark.parametrize("view", ["items", "values"])
def test_views_pass_over_what_is_deleted_meanwhile(
    private_tmp: Path, opener: Any, view: str
) -> None:
    with opener(private_tmp) as store:
        store.update(VALUES)
        met = 0
        for _ in getattr(store, view)():
            met += 1
            if met == 1:
                store.clear()
        assert met == 1


def test_the_view_of_l1_passes_over_what_is_evicted_meanwhile(private_tmp: Path) -> None:
    with open_tiers(private_tmp) as memory:
        memory.update(VALUES)
        assert {key: entry.value for key, entry in memory.l1.items()} == VALUES
        # As when another thread comes between the key and its entry.
        with mock.patch.object(memory, "_held", return_value=None):
            assert list(memory.l1.items()) == []
            assert list(memory.l1.values()) == []
            assert memory.l1 == {}


@pytest.mark.parametrize("opener", [open_segments, open_archive])
def test_a_look_is_no_hit_no_miss_and_no_read(private_tmp: Path, opener: Any) -> None:
    with opener(private_tmp) as store:
        store.put("k", 1)
        assert store.peek("k") == 1
        assert store.peek("none") is None
        assert store.peek("none", 2) == 2
        assert list(store.items()) == [("k", 1)]
        assert (store.stats()["hits"], store.stats()["misses"]) == (0, 0)
        log = engine_of(store).log
        (record,) = scan.heads(log)
        assert not log.was_touched(record.key)
        store.get("k")
        assert log.was_touched(record.key)


@pytest.mark.parametrize("look", ["peek", "entry"])
def test_looks_at_a_memory_mark_nothing_as_read(private_tmp: Path, look: str) -> None:
    with open_tiers(private_tmp) as memory:
        memory.put("k", 1)
        memory.resize(1)
        log = engine_of(memory).log
        (record,) = scan.heads(log)
        log.was_touched(record.key)  # it was in L1, which counts
        getattr(memory, look)("k")
        assert list(memory.items()) == [("k", 1)]
        assert not log.was_touched(record.key)
        memory.get("k")
        assert log.was_touched(record.key)
