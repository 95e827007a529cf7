"""Threads that look at values while others replace, delete and reclaim them."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastmem import SegmentStore
from fastmem.storage import value_maps
from tests.crash.directories import BUDGET, engine_of
from tests.crowd import together

ROUNDS = 400
SIZES = (3_000, 20_000, 300_000)


def sound(view: Any) -> bool:
    """Every byte of a value is the same."""
    array = np.frombuffer(view, np.uint8)
    return len(array) in SIZES and bool((array == array[0]).all())


@pytest.mark.usefixtures("eager_switches")
def test_views_among_writers(private_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(value_maps, "MOST_FILES", 3)
    with SegmentStore(private_tmp / "l2", budget_bytes=BUDGET) as store:

        def write(me: int) -> None:
            choice = random.Random(me)
            for number in range(ROUNDS):
                key, size = choice.randrange(12), choice.choice(SIZES)
                value = np.full(size, (me + number) % 251, np.uint8)
                if choice.random() < 0.1:
                    store.delete(key)
                store.put(key, value if key % 2 else value.tobytes())

        def look(me: int) -> None:
            choice = random.Random(me)
            kept: list[Any] = []
            for _ in range(ROUNDS):
                key = choice.randrange(12)
                found = store.get(key) if key % 2 and choice.random() < 0.5 else store.get_view(key)
                if found is not None:
                    assert sound(found)
                    kept.append(found)
                if len(kept) > 20:
                    assert all(map(sound, kept))
                    del kept[choice.randrange(20) :]

        bodies = [partial(write, me) for me in range(2)] + [partial(look, me) for me in range(3)]
        assert together(bodies) == []
        store.put("settles", 1)
        store.check()
        assert store.stats()["pinned_bytes"] == 0
        assert len(engine_of(store).views._maps[0].mapped) <= 3


@pytest.mark.usefixtures("eager_switches")
def test_views_and_close(private_tmp: Path) -> None:
    for number in range(20):
        store = SegmentStore(private_tmp / f"{number}", budget_bytes=BUDGET)
        for key, size in enumerate(SIZES):
            store.put(key, bytes([7]) * size)
        kept: list[Any] = []

        def look(store: SegmentStore, kept: list[Any]) -> None:
            try:
                while True:
                    kept += [store.get_view(key) for key in range(3)]
            except ValueError:  # closed
                return

        bodies = [partial(look, store, kept)] * 2 + [store.close]
        assert together(bodies) == []
        assert all(map(sound, kept))
        kept.clear()
        maps = Path("/proc/self/maps").read_text()
        assert f"{private_tmp}/{number}/" not in maps
