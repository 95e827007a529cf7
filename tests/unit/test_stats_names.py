"""The names in `stats()` and `get_stats()` are always the same, whatever has happened."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastmem import TieredMemorySystem
from tests.crash.directories import open_archive, open_segments, open_tiers
from tests.demotion import archive_warm, empty_l1
from tests.house.tree import ROOT

TIERS = ("l1", "l2", "l3")
EVERY_TIER = (
    "entries", "bytes", "budget", "hits", "misses", "promotions", "demotions", "expirations",
    "evictions", "errors",
)  # fmt: skip
ERRORS = {"corrupt", "undecodable", "dropped", "dictionary", "no_space", "io", "memory"}


def test_every_tier_has_what_was_asked_for(private_tmp: Path) -> None:
    with open_tiers(private_tmp) as memory:
        nested, flat = memory.stats(), memory.get_stats()
    for tier in TIERS:
        assert set(EVERY_TIER) <= set(nested[tier])
        assert {f"{tier}_{name}" for name in EVERY_TIER} <= set(flat)
        for name in ("evictions", "errors"):
            counts = nested[tier][name]
            assert counts
            assert all(count == 0 for count in counts.values())
            assert flat[f"{tier}_{name}"] == 0
            assert {key for key in flat if key.startswith(f"{tier}_{name}_")} == {
                f"{tier}_{name}_{kind}" for kind in counts
            }
    assert set(nested["l1"]["evictions"]) == {"spill_failed"}
    assert set(nested["l1"]["errors"]) == {"listener", "sizer", "too_large"}
    for tier in ("l2", "l3"):
        assert set(nested[tier]["evictions"]) == {"size"}
        assert set(nested[tier]["errors"]) == ERRORS


def test_what_l1_has_no_room_for_is_not_promoted(private_tmp: Path) -> None:
    with open_tiers(private_tmp) as memory:
        memory.put("large", bytes(memory.budget_bytes + 1))
        memory.put("small", bytes(100))
        empty_l1(memory)
        assert memory.get("large") is not None
        assert memory.get("small") is not None
        stats = memory.stats()["l2"]
        assert (stats["hits"], stats["promotions"]) == (2, 1)


@pytest.mark.parametrize("opener", [open_segments, open_archive])
def test_a_store_has_every_kind(private_tmp: Path, opener: Any) -> None:
    with opener(private_tmp) as store:
        assert store.stats()["errors"] == dict.fromkeys(ERRORS, 0)
        assert store.stats()["evictions"] == {"size": 0}


def test_what_happens_adds_no_name(
    opened: Callable[..., TieredMemorySystem], places: tuple[Path, Path]
) -> None:
    memory = opened()
    names = set(memory.get_stats())
    memory.put("large", os.urandom(300_000))
    empty_l1(memory)
    (path,) = places[0].glob("val.*")
    path.unlink()
    assert memory.get("large") is None
    stats = memory.get_stats()
    assert stats["l2_errors"] == stats["l2_errors_corrupt"] == 1
    assert set(stats) == names

    memory = opened(0.01, durability="cache")
    memory.put("unpicklable", lambda: 0)
    empty_l1(memory)
    stats = memory.get_stats()
    assert stats["l1_evictions_spill_failed"] == 1
    assert stats["l1_evictions"] == 1
    assert set(stats) == names


@pytest.mark.parametrize(
    ("code", "kind"),
    [(errno.ENOSPC, "no_space"), (errno.EDQUOT, "no_space"), (errno.EIO, "io"), (0, "io")],
)
def test_what_the_system_refuses_is_counted_by_kind(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch, code: int, kind: str
) -> None:
    with open_tiers(private_tmp) as memory:
        memory.put("k", 1)
        archive_warm(memory)
        engine = memory._engine

        def refuse(*_: object, **__: object) -> int:
            raise OSError(code, "refused")

        empty_l1(memory)
        memory.get("k")
        empty_l1(memory)
        with monkeypatch.context() as patch:
            patch.setattr(engine, "provided", refuse)
            assert memory.get("k") == 1  # the second time it would move up
        assert memory.get_stats()[f"l3_errors_{kind}"] == memory.get_stats()["l3_errors"] == 1


def test_the_page_about_them_names_them_all(private_tmp: Path) -> None:
    page = (ROOT / "docs" / "stats.md").read_text()
    told = set(re.findall(r"`(?:errors\.)?([a-z0-9_]+)`", page))
    with open_tiers(private_tmp) as memory:
        stats, flat = memory.stats(), memory.get_stats()
    names = {name for tier in stats.values() for name in tier}
    names |= {kind for tier in stats.values() for kind in tier["errors"] | tier["evictions"]}
    names |= {name for name in flat if name.endswith("_mb")}
    assert names <= told
    rows = set(re.findall(r"^\| (.*?) \|", page, re.MULTILINE)) - {"name", "---"}
    in_rows = {name for row in rows for name in re.findall(r"`(?:errors\.)?([a-z0-9_]+)`", row)}
    assert in_rows <= names
