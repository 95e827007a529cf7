"""What FORMAT.md says suffices: a reader that knows nothing else finds what the store finds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.crash.directories import contents, engine_of, open_archive, open_segments, open_tiers
from tests.golden.decoder import read
from tests.golden.samples import KEYS, alike, values

OPENERS = pytest.mark.parametrize(
    ("opener", "warm", "cold"),
    [(open_segments, "l2", None), (open_archive, None, "l3"), (open_tiers, "l2", "l3")],
)


def decoded(at: Path, warm: str | None, cold: str | None) -> dict[Any, Any]:
    return read(at / warm if warm else None, at / cold if cold else None)


@OPENERS
def test_every_kind_of_key_and_value(
    private_tmp: Path, opener: Any, warm: str | None, cold: str | None
) -> None:
    wanted = {**values(), **{key: str(key) for key in KEYS}}
    with opener(private_tmp) as store:
        store.update(wanted)
        found = contents(store)
        store.put("expired", 1, ttl_seconds=1e-9)
    assert alike(found, wanted)
    assert alike(decoded(private_tmp, warm, cold), wanted)


@OPENERS
def test_what_was_replaced_deleted_and_reclaimed(
    private_tmp: Path, opener: Any, warm: str | None, cold: str | None
) -> None:
    options = {"budget_bytes": 16 << 20} if opener is open_archive else {}
    with opener(private_tmp, **options) as store:
        for i in range(60_000):
            store.put(i % 7000, os.urandom(300 if i % 97 else 30_000))
            if i % 11 == 0:
                store.delete(i % 1000)
        wanted = contents(store)
    assert not (private_tmp / (f"{warm}/seg.0" if warm else f"{cold}/cold.0")).exists()
    assert decoded(private_tmp, warm, cold) == wanted


def test_frames_made_with_a_dictionary(private_tmp: Path) -> None:
    rows = {i: {f"name {n}": f"user {i * n}" for n in range(12)} for i in range(12_000)}
    with open_archive(private_tmp) as store:
        for i, row in rows.items():
            store.put(i, row)
            if i % 1000 == 0 and (training := engine_of(store).cold.dictionaries._training):
                training.join()
        assert engine_of(store).cold.dictionaries.current == 1
    assert decoded(private_tmp, None, "l3") == rows
