"""What a tier holds and has done, as the dict that ``stats()`` returns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastmem._core.layout import FORMAT
from fastmem._core.log import COLD

if TYPE_CHECKING:
    from fastmem.storage.engine import Engine


def tier_figures(engine: Engine, tier: int) -> dict[str, object]:
    """Entries, bytes of files, budget and counts of one tier."""
    segments, values = engine.files.segments(tier), engine.files.values(tier)
    return {
        "entries": engine.log.cold_entries if tier == COLD else engine.log.warm_entries,
        "bytes": engine.room.used(tier),
        "budget": engine.cold_budget_bytes if tier == COLD else engine.warm_budget_bytes,
        "files": len(segments.numbers) if segments else 0,
        "value_files": len(values.numbers()) if values else 0,
        "pinned_bytes": engine.views.pinned_bytes(tier),
        **(_archive_figures(engine) if tier == COLD else {}),
        **(_store_figures(engine) if tier == engine.files.first_tier else {}),
        **engine.counters[tier].as_dict(),
    }


def _archive_figures(engine: Engine) -> dict[str, object]:
    cold = engine.cold
    return {
        "dictionaries": list(cold.dictionaries.numbers) if cold else [],
        "raw_bytes": cold.raw_bytes if cold else 0,
        "stored_bytes": cold.stored_bytes if cold else 0,
    }


def _store_figures(engine: Engine) -> dict[str, object]:
    """What is true of the whole store, told with the tier that its first page lies in."""
    files = engine.files
    return {
        "format": FORMAT,
        "unsynced_bytes": engine.syncer.unsynced_bytes,
        "cold_reads": engine.log.cold_reads,
        "faults": engine.log.faults,
        "redone_records": files.redone_records,
        "dropped_records": files.dropped_records,
        "rebuilt": files.rebuilt,
        "processes": files.processes[0].count(),
        "lock_waits": engine.log.waits,
        "lock_steals": engine.log.steals,
    }
