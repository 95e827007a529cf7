"""The budgets of a store, held against the segments that its directories were made with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastmem.arguments import MIB

if TYPE_CHECKING:
    from fastmem.storage.opening import StoreFiles
    from fastmem.storage.segments import Segments

LEAST_SEGMENTS = 8  # fewer, and reclaim could not work


def fit_budgets(
    files: StoreFiles, warm_bytes: int, cold_bytes: int | None, *, widen: bool
) -> tuple[int, int | None]:
    """The budgets of both tiers. ValueError, with its name, for one of fewer than 8 segments.

    `widen`: the warm one is nobody's wish, and becomes as large as it must.
    """
    if files.read_only:
        return warm_bytes, cold_bytes
    warm, cold = files.warm, files.cold
    if warm is not None:
        if widen:
            warm_bytes = max(warm_bytes, LEAST_SEGMENTS * warm.segment_bytes)
        _refuse_small(warm, warm_bytes, "l2_size_mb" if cold else "budget_bytes")
    if cold is not None and cold_bytes is not None:
        _refuse_small(cold, cold_bytes, "l3_size_mb" if warm else "budget_bytes")
    return warm_bytes, cold_bytes


def _refuse_small(segments: Segments, budget_bytes: int, name: str) -> None:
    least = LEAST_SEGMENTS * segments.segment_bytes
    if budget_bytes >= least:
        return
    told = f"{least:,}, not {budget_bytes:,}"
    if name.endswith("_mb"):
        told = f"{least / MIB:g} ({least:,} bytes), not {budget_bytes / MIB:g}"
    raise ValueError(
        f"{name} must be at least {told}: {segments.directory.path} was made with segments of "
        f"{segments.segment_bytes:,} bytes"
    )
