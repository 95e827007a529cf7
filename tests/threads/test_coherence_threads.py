"""Threads that read through L1 while others change the log behind it."""

from __future__ import annotations

import random
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fastmem import TieredMemorySystem
from tests.crowd import together
from tests.demotion import reclaim
from tests.elsewhere import Elsewhere

pytestmark = pytest.mark.usefixtures("eager_switches")

ROUNDS = 10_000
KEYS = ["a", b"b", 3, ("d", 4), "e", "f"]


def opened(places: tuple[Path, Path], **options: Any) -> TieredMemorySystem:
    return TieredMemorySystem(l2_path=places[0], l3_path=places[1], l2_size_mb=16, **options)


@pytest.mark.parametrize("l1_size_mb", [0.001, 1])
@pytest.mark.parametrize("coherent", [True, False])
def test_what_was_put_elsewhere_is_never_older_afterwards(
    places: tuple[Path, Path], coherent: bool, l1_size_mb: float
) -> None:
    """Each key has one writer, here or elsewhere. Nobody sees a value older than one whose put had
    returned before (coherent), or than one that a thread saw before.
    """
    memory = opened(places, coherent=coherent, max_stale_s=1e-9, l1_size_mb=l1_size_mb)
    elsewhere = Elsewhere(memory)
    done = dict.fromkeys(KEYS, 0)
    for key in KEYS:
        memory.put(key, (key, 0, ""))
    over = threading.Event()

    def write(keys: list[Any], put: Any) -> None:
        rng = random.Random(repr(keys))
        try:
            for number in range(1, ROUNDS):
                key = rng.choice(keys)
                put(key, (key, number, "x" * rng.choice([0, 40, 600])))
                done[key] = number
        finally:
            over.set()

    def read(seed: int) -> None:
        rng = random.Random(seed)
        seen = dict.fromkeys(KEYS, 0)
        while not over.is_set():
            key = rng.choice(KEYS)
            least = max(seen[key], done[key]) if coherent else seen[key]
            how: Any = rng.choice(
                [memory.get, memory.__getitem__, lambda k: memory.get_many([k])[k]]
            )
            name, number, _ = how(key)
            assert name == key
            assert number >= least, f"{key!r}: {number} after {least}"
            seen[key] = number
            least = done[key]
            name, number, _ = memory.peek(key)
            assert (name, number >= least) == (key, True)
            seen[key] = max(seen[key], number)

    def move() -> None:
        while not over.is_set():
            reclaim(memory._engine, 1 << 14)

    failures = together(
        [
            partial(write, KEYS[:3], elsewhere.put),
            partial(write, KEYS[3:], memory.put),
            partial(read, 1),
            partial(read, 2),
            move,
        ]
    )
    for error in failures:
        raise error
    memory.check()
    memory.close()


@pytest.mark.parametrize("coherent", [True, False])
def test_no_increment_is_lost(places: tuple[Path, Path], coherent: bool) -> None:
    memory = opened(places, coherent=coherent, max_stale_s=3600, l1_size_mb=1)
    elsewhere = Elsewhere(memory)
    memory.put("k", 0)

    def here() -> None:
        for _ in range(ROUNDS):
            memory.incr("k")

    def there() -> None:
        for _ in range(ROUNDS):
            elsewhere.increment("k")

    for error in together([here, there, here]):
        raise error
    assert memory.peek("k") == 3 * ROUNDS
    memory.close()


def test_what_is_popped_is_popped_once(places: tuple[Path, Path]) -> None:
    memory = opened(places, coherent=True, l1_size_mb=1)
    elsewhere = Elsewhere(memory)
    numbers = list(range(ROUNDS))
    for number in numbers:
        memory.put(number, number)
    taken: list[int] = []

    def here(order: list[int]) -> None:
        taken.extend(number for number in order if memory.pop(number, None) is not None)

    def there() -> None:
        taken.extend(number for number in numbers if elsewhere.delete(number))

    for error in together([partial(here, numbers), there, partial(here, numbers[::-1])]):
        raise error
    assert sorted(taken) == numbers
    memory.close()
