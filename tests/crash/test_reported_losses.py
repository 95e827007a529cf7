"""An opening reports what was lost, and nothing that was not."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastmem.storage.values import Pointer
from tests.crash.directories import contents, engine_of, open_archive, open_segments, open_tiers
from tests.crash.test_evicted import lose_index, restart_machine
from tests.demotion import archive_warm

LARGE = 300_000
Opener = Callable[[Path], Any]


def open_bounded(path: Path) -> Any:
    return open_tiers(path, l3_size_mb=16)


def large() -> bytes:
    return os.urandom(LARGE)


def losses(store: Any) -> int:
    """How many records the opening says it dropped: in stats, in errors, the same."""
    engine = engine_of(store)
    counted = sum(tier.errors["dropped"] for tier in engine.counters)
    assert counted == engine.files.dropped_records
    return int(counted)


@pytest.mark.parametrize("rebuild", [lose_index, restart_machine])
@pytest.mark.parametrize("opener", [open_segments, open_archive, open_tiers, open_bounded])
def test_value_files_that_went_rightly_are_no_loss(
    private_tmp: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    opener: Opener,
    rebuild: Callable[[Path, pytest.MonkeyPatch], None],
) -> None:
    """Replaced by large and small values, deleted, moved to the archive, evicted."""
    with opener(private_tmp) as store:
        for _ in range(20):
            store["replaced"] = large()
        store["replaced"] = "small now"
        store["deleted"] = large()
        del store["deleted"]
        store["twice"] = large()
        store["twice"] = large()
        store["moved"] = large()
        if opener in (open_tiers, open_bounded):
            archive_warm(store)
        for i in range(80):
            store["many", i] = large()
        store.check()
        left = contents(store)
    if opener is open_archive and rebuild is lose_index:
        (private_tmp / "l3" / "index").unlink()
    else:
        rebuild(private_tmp, monkeypatch)
    with opener(private_tmp) as store:
        assert engine_of(store).files.rebuilt
        assert contents(store) == left
        assert losses(store) == 0
        assert "lost" not in caplog.text
        assert "damaged" not in caplog.text


@pytest.mark.parametrize("opener", [open_segments, open_archive, open_tiers])
@pytest.mark.parametrize("damage", ["gone", "torn"])
def test_a_newest_value_without_its_file_is_a_loss(
    private_tmp: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    opener: Opener,
    damage: str,
) -> None:
    """Whatever older versions there are, it counts once; an older whole one is found again."""
    with opener(private_tmp) as store:
        store["whole"] = "older"
        for key in ("whole", "whole", "alone"):
            store[key] = large()
        store["kept"] = kept = large()
        read = engine_of(store).log.get
        numbers = [Pointer.unpack(read(key).body).number for key in (b"swhole", b"salone")]
    for number in numbers:
        file = next(private_tmp.glob(f"*/val.{number:016x}"))
        if damage == "gone":
            file.unlink()
        else:
            os.truncate(file, LARGE // 2)
    restart_machine(private_tmp, monkeypatch)
    with opener(private_tmp) as store:
        assert contents(store) == {"whole": "older", "kept": kept}
        assert losses(store) == 2
        assert "2 records lost with their value files" in caplog.text
        store.check()
