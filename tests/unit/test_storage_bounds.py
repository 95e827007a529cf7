"""Bounds of a tier that is not there: damage in them is mended, as no tier would notice it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.crash.directories import (
    COLD_HEAD_AT,
    COLD_TAIL_AT,
    HEAD_AT,
    SYNCED_AT,
    TAIL_AT,
    contents,
    open_archive,
    open_segments,
    open_tiers,
    set_word,
)


@pytest.mark.parametrize(
    ("opener", "folder", "field_at"),
    [
        (open_segments, "l2", COLD_TAIL_AT),
        (open_segments, "l2", COLD_HEAD_AT),
        (open_archive, "l3", HEAD_AT),
        (open_archive, "l3", SYNCED_AT),
    ],
)
@pytest.mark.parametrize("read_only", [False, True])
def test_damaged_bounds_of_an_absent_tier(
    private_tmp: Path, opener: Any, folder: str, field_at: int, read_only: bool
) -> None:
    with opener(private_tmp) as store:
        store.put("k", "v" * 1000)
        store.flush()
    set_word(private_tmp / folder / "super", field_at, (1 << 63) + 12345)
    with opener(private_tmp, read_only=read_only) as store:
        store.check()
        assert contents(store) == {"k": "v" * 1000}
        assert 0 <= store.stats()["unsynced_bytes"] < 4096


@pytest.mark.parametrize("opener", [open_segments, open_tiers])
def test_no_head_beyond_the_segments_is_believed(private_tmp: Path, opener: Any) -> None:
    """Tail and head damaged at once, so that neither tells of the other: all counts."""
    values = {number: f"{number} " * 500 for number in range(100)}
    with opener(private_tmp) as store:
        store.update(values)
    set_word(private_tmp / "l2" / "super", TAIL_AT, 14842720311843360126)
    set_word(private_tmp / "l2" / "super", HEAD_AT, 6494683606388434444)
    with opener(private_tmp) as store:
        store.check()
        assert contents(store) == values
