"""Whoever opens a store whose log must be read hears how far that is, and may stop it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from fastmem import Archive, SegmentStore, TieredMemorySystem
from fastmem.storage import opening
from tests.crash.directories import contents, open_archive, open_segments, open_tiers
from tests.demotion import archive_warm

OPENERS = [open_segments, open_archive, open_tiers]
Calls = list[tuple[int, int]]


class GivenUpError(Exception):
    """What a callback raised."""


def fill(at: Path, opener: Any) -> dict[Any, Any]:
    with opener(at) as store:
        for i in range(30):
            store.put(i, os.urandom(100_000))
        store.put("large", os.urandom(300_000))
        if opener is open_tiers:
            archive_warm(store)
            store.put("warm", os.urandom(300_000))
        return contents(store)


def hears(calls: Calls) -> Any:
    return lambda done, total: calls.append((done, total))


def other_boot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "boot_id", lambda: b"another boot id!")


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("opener", OPENERS)
def test_a_rebuild_is_told_from_nothing_to_all(
    private_tmp: Path, opener: Any, read_only: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = fill(private_tmp, opener)
    other_boot(monkeypatch)
    calls: Calls = []
    with opener(private_tmp, read_only=read_only, progress=hears(calls)) as store:
        assert contents(store) == state
    dones, totals = zip(*calls, strict=True)
    segments = [path for path in private_tmp.rglob("*") if path.name[:4] in ("seg.", "cold")]
    assert len(set(totals)) == 1
    assert totals[0] >= sum(path.stat().st_size for path in segments) + 300_000
    assert (dones[0], dones[-1]) == (0, totals[0])
    assert list(dones) == sorted(dones)
    assert len(set(dones)) > len(segments)  # not only by segment: value files are read too


@pytest.mark.parametrize("opener", OPENERS)
def test_nothing_is_told_where_nothing_is_rebuilt(private_tmp: Path, opener: Any) -> None:
    calls: Calls = []
    opener(private_tmp, progress=hears(calls)).close()
    opener(private_tmp, progress=hears(calls)).close()
    fill(private_tmp, opener)
    opener(private_tmp, progress=hears(calls)).close()
    assert calls == []


@pytest.mark.parametrize("opener", OPENERS)
def test_what_the_callback_raises_stops_the_opening_and_loses_nothing(
    private_tmp: Path, opener: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = fill(private_tmp, opener)
    other_boot(monkeypatch)
    calls: Calls = []
    opener(private_tmp, read_only=True, progress=hears(calls)).close()

    def stop_at(nth: int) -> Any:
        def told(_done: int, _total: int) -> None:
            nonlocal nth
            nth -= 1
            if nth < 0:
                raise GivenUpError

        return told

    for nth in range(len(calls)):
        with pytest.raises(GivenUpError):
            opener(private_tmp, progress=stop_at(nth))
    with opener(private_tmp) as store:
        assert store.stats().get("l2", store.stats())["rebuilt"]
        store.check()
        assert contents(store) == state


def test_it_must_be_callable(private_tmp: Path) -> None:
    wrong: Any = 7
    for build in (
        lambda: SegmentStore(private_tmp / "s", budget_bytes=16 << 20, progress=wrong),
        lambda: Archive(private_tmp / "a", progress=wrong),
        lambda: TieredMemorySystem(1, private_tmp / "w", private_tmp / "c", progress=wrong),
    ):
        with pytest.raises(TypeError, match=r"progress must be callable, not 7 \(int\)"):
            build()
    assert list(private_tmp.iterdir()) == []
