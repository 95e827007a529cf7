"""Threads of one process at everything at once: puts, reads, reclaim, growth, flush, close."""

from __future__ import annotations

import random
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fastmem import ClosedError
from tests.crash.directories import BUDGET, engine_of, open_archive, open_segments, open_tiers
from tests.crowd import together

pytestmark = pytest.mark.usefixtures("eager_switches")


@pytest.mark.parametrize("opener", [open_segments, open_tiers, open_archive])
@pytest.mark.parametrize("durability", ["process", "disk"])
def test_each_thread_finds_what_it_put(private_tmp: Path, opener: Any, durability: str) -> None:
    count = 60 if durability == "disk" else 350
    with opener(private_tmp, durability=durability) as store:

        def work(thread: int) -> None:
            draw = random.Random(thread)
            mine: dict[Any, Any] = {}
            for i in range(count):
                key = (thread, draw.randrange(25))
                size = draw.choice([20, 5_000, 100_000, 300_000])
                if draw.random() < 0.2:
                    store.delete(key)
                    mine[key] = None
                else:
                    mine[key] = bytes([thread]) * size
                    store.put(key, mine[key])
                key = draw.choice(list(mine))
                found = store.get(key)
                if opener is open_segments:  # may have been evicted
                    assert found is None or found == mine[key]
                else:
                    assert found == mine[key]
                if i % 50 == 0:
                    store.flush()

        assert together([partial(work, n) for n in range(4)]) == []
        store.check()
        if opener is not open_archive:
            assert engine_of(store).warm_bytes <= BUDGET


@pytest.mark.parametrize("opener", [open_segments, open_tiers, open_archive])
def test_close_under_traffic(private_tmp: Path, opener: Any) -> None:
    for attempt in range(12):
        store = opener(private_tmp)
        begun = threading.Barrier(4)

        def work(thread: int, store: Any = store, begun: Any = begun) -> None:
            draw = random.Random(thread)
            begun.wait()
            try:
                while True:
                    size = draw.choice([10, 9_000, 300_000])
                    store.put((thread, draw.randrange(50)), b"x" * size)
                    store.get((thread, draw.randrange(50)))
                    list(zip(store, range(3), strict=False))
                    store.flush()
            except ClosedError:
                pass

        def close(store: Any = store, begun: Any = begun, attempt: int = attempt) -> None:
            begun.wait()
            for _ in range(1500 * attempt):
                pass
            store.close()

        failures = together([*(partial(work, n) for n in range(3)), close])
        assert [error for error in failures if not isinstance(error, ClosedError)] == []
        with opener(private_tmp) as again:
            again.check()


def test_iteration_while_others_write(private_tmp: Path) -> None:
    with open_tiers(private_tmp) as memory:
        memory.update({("kept", i): i for i in range(500)})

        def write() -> None:
            for i in range(2500):
                memory.put(("new", i), b"x" * 3000)

        def iterate() -> None:
            for _ in range(12):
                met = list(memory)
                assert len(met) == len(set(met))
                assert {("kept", i) for i in range(500)} <= set(met)

        assert together([write, iterate, iterate]) == []
        memory.check()
