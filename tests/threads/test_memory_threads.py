"""Threads on few keys in tiny budgets: what was put is seen, and nothing older ever comes back.

Every value is its key and a number that only grows, so that each read can be judged. The budgets
make every put evict, and the switch interval makes threads change places inside operations.
"""

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Never

import pytest

from fastmem import ClosedError, TieredMemorySystem
from fastmem._core.log import WARM, LogNeeds
from fastmem.memory import Durability
from tests.crowd import together
from tests.demotion import reclaim

pytestmark = pytest.mark.usefixtures("eager_switches")

MIB = 1 << 20
THREADS = 4
SECONDS = 1.5  # of each hammering; what is checked does not depend on it
KEYS = ["a", b"b", 3, ("d", 4), "e", "f"]
Going = Callable[[], bool]
Work = Callable[[int, Going], None]


def opened(places: tuple[Path, Path], **options: Any) -> TieredMemorySystem:
    options = {"l2_size_mb": 16, "l1_size_mb": 0.002} | options
    return TieredMemorySystem(l2_path=places[0], l3_path=places[1], **options)


def hammer(work: Work, threads: int = THREADS, seconds: float = SECONDS) -> None:
    """Run `work(number, going)` in threads; raise the first error of any."""
    failed = threading.Event()
    end = time.monotonic() + seconds

    def run(number: int) -> None:
        try:
            work(number, lambda: not failed.is_set() and time.monotonic() < end)
        except BaseException:
            failed.set()
            raise

    for error in together(partial(run, number) for number in range(threads)):
        raise error


def value_of(key: Any, number: int, size: int) -> list[Any]:
    return [key, number, "x" * size]


SIZES = {"small": (0, 30), "with files": (0, 300_000, 30), "larger than L1": (3000, 20)}


@pytest.mark.parametrize("durability", ["process", "cache", "disk"])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_newest_wins_between_threads(
    places: tuple[Path, Path], durability: Durability, sizes: tuple[int, ...]
) -> None:
    """Each key has one writer; everybody reads it and never sees it go back."""
    memory = opened(places, durability=durability)
    done = dict.fromkeys(KEYS, 0)  # the last number whose put has returned

    def work(me: int, going: Going) -> None:
        rng = random.Random(me)
        mine = KEYS[me::THREADS]
        seen = dict.fromkeys(KEYS, 0)
        number = 0
        while going():
            key = rng.choice(KEYS)
            act = rng.random()
            if act < 0.4:
                key = rng.choice(mine)
                number += 1
                memory.put(key, value_of(key, number, rng.choice(sizes)))
                done[key] = number
                seen[key] = number
            elif act < 0.5:
                memory.touch(key, rng.choice([None, 3600, float("inf")]))
            else:
                least = max(done[key], seen[key])
                read = memory.get if act < 0.9 else memory.peek
                found = read(key)
                if found is None:
                    assert least == 0, f"{key!r} vanished, {least} was put"
                    continue
                assert found[0] == key
                assert found[1] >= least, f"{key!r}: {found[1]} after {least}"
                seen[key] = found[1]

    hammer(work)
    memory.check()
    assert memory._limbo == {}
    final = dict(memory.items())
    assert {key: value[1] for key, value in final.items()} == {k: n for k, n in done.items() if n}
    for key, entry in memory.l1.items():
        assert entry.value == final[key]
    stats = memory.get_stats()
    assert not [
        name for name in stats if stats[name] and name.endswith(("corrupt", "spill_failed"))
    ]
    memory.close()
    with opened(places) as memory:
        assert dict(memory.items()) == final
        assert memory.get_stats()["l2_value_files"] + memory.get_stats()["l3_value_files"] == sum(
            len(value[2]) > 256_000 for value in final.values()
        )


@pytest.mark.parametrize("durability", ["process", "cache"])
def test_puts_deletes_pops_and_reclaim(places: tuple[Path, Path], durability: Durability) -> None:
    """Deleted by its owner, a key stays away until its owner puts it again."""
    memory = opened(places, durability=durability)

    def work(me: int, going: Going) -> None:
        rng = random.Random(me)
        key = KEYS[me]
        number, there = 0, False
        while going():
            act = rng.random()
            if act < 0.35:
                number += 1
                there = True
                memory[key] = value_of(key, number, rng.choice((0, 200, 5000)))
            elif act < 0.45:
                assert memory.delete(key) is there
                there = False
            elif act < 0.55:
                found = memory.pop(key, None)
                assert (found is not None) is there
                assert not there or (found and found[1]) == number
                there = False
            elif act < 0.6 and me == 0:
                engine = memory._engine
                with engine.lock:
                    try:
                        engine.log.roll(WARM)
                    except LogNeeds as missing:
                        engine.room.provide(missing.what)
                    reclaim(engine, MIB, forward=rng.random() < 0.5)
            else:
                found = memory.get(key)
                assert (found is not None) is there
                assert not there or (found and found[1]) == number
                assert (key in memory) is there
                assert (memory.entry(key) is not None) is there
                assert (key in list(memory)) is there
        final[key] = number if there else None

    final: dict[Any, Any] = {}
    hammer(work)
    memory.check()
    expected = {key: number for key, number in final.items() if number is not None}
    assert {key: value[1] for key, value in memory.items()} == expected
    memory.close()
    (places[0] / "index").unlink()
    with opened(places) as memory:
        assert {key: value[1] for key, value in memory.items()} == expected


@pytest.mark.parametrize("durability", ["process", "cache"])
def test_what_one_thread_takes_no_other_gets(
    places: tuple[Path, Path], durability: Durability
) -> None:
    """pop, popitem and setdefault each decide for one."""
    memory = opened(places, durability=durability)
    taken: list[Any] = []
    given: list[Any] = []
    lock = threading.Lock()

    def work(me: int, going: Going) -> None:
        mine, number = [], 0
        while going():
            number += 1
            if me == 0:
                key = number % 7
                token = [me, number]
                if memory.setdefault(key, token) == token:
                    mine.append((key, tuple(token)))
            elif me == 1 and number % 3 == 0:
                try:
                    key, value = memory.popitem()
                except KeyError:
                    continue
                mine.append((key, tuple(value)))
            else:
                value = memory.pop(number % 7, None)
                if value is not None:
                    mine.append((number % 7, tuple(value)))
        with lock:
            (given if me == 0 else taken).extend(mine)

    hammer(work)
    taken += [(key, tuple(value)) for key, value in memory.items()]
    assert len(taken) == len(set(taken))
    assert sorted(taken) == sorted(given)
    memory.close()


def test_setdefault_gives_all_threads_the_same(places: tuple[Path, Path]) -> None:
    with opened(places) as memory:
        answers: list[list[int]] = [[] for _ in range(THREADS)]

        def work(me: int, going: Going) -> None:
            for number in range(300):
                answers[me].append(memory.setdefault(number, [me])[0])

        hammer(work)
        assert answers[0] == answers[1] == answers[2] == answers[3]


@pytest.mark.parametrize("durability", ["process", "cache"])
def test_large_values_of_many_threads_stay_within_the_budgets(
    places: tuple[Path, Path], durability: Durability
) -> None:
    memory = opened(places, durability=durability, l3_size_mb=16)
    worst = {"l2": 0, "l3": 0}

    def work(me: int, going: Going) -> None:
        number = 0
        while going():
            number += 1
            memory[me, number % 9] = os.urandom(1_200_000)
            for tier in ("l2", "l3"):
                worst[tier] = max(worst[tier], memory.stats()[tier]["bytes"])

    hammer(work)
    # The puts of the others are under way: each may hold its value and a segment beyond the budget.
    for tier in ("l2", "l3"):
        assert worst[tier] <= 16 * MIB + (THREADS - 1) * (1_200_000 + 8192 + MIB)
    stats = memory.stats()
    for tier in ("l2", "l3"):
        assert stats[tier]["bytes"] <= 16 * MIB
    for tier, place in zip(("l2", "l3"), places, strict=True):
        real = sum(path.stat().st_blocks * 512 for path in place.iterdir())
        assert stats[tier]["bytes"] + 4096 >= real
        assert stats[tier]["value_files"] == len(list(place.glob("val.*")))
    memory.check()
    memory.close()


def test_closing_under_way(places: tuple[Path, Path]) -> None:
    """Whatever a put returned for is there at the next opening; later calls are ClosedError."""
    for durability in ("process", "cache"):
        memory = opened(places, durability=durability)
        done: dict[Any, int] = {}

        def work(
            me: int, going: Going, memory: TieredMemorySystem = memory, done: dict[Any, int] = done
        ) -> None:
            number = 0
            try:
                while True:
                    number += 1
                    memory[me] = [number, "x" * (number % 100)]
                    done[me] = number
                    memory.get((me + 1) % THREADS)
                    if me == 0 and number == 500:
                        memory.close()
            except ClosedError:
                pass

        hammer(work)
        with opened(places) as memory:
            memory.check()
            for me, number in done.items():
                assert memory[me][0] >= number


class Interrupted(BaseException):
    pass


# A file object whose `with` was not reached yet is closed by its destructor, which warns.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("durability", ["process", "cache"])
@pytest.mark.parametrize("serializer", ["auto", "python"])
def test_interrupts_at_any_point(
    places: tuple[Path, Path], durability: Durability, serializer: str
) -> None:
    """Each operation is done or not done; what is held stays whole, above and below."""

    class Python:
        def dumps(self, value: Any) -> bytes:
            return repr(value).encode()

        def loads(self, data: Any) -> object:
            return eval(data)

    options = {} if serializer == "auto" else {"serializer": Python()}
    memory = opened(places, durability=durability, **options)
    rng = random.Random(5)
    possible: dict[Any, set[int | None]] = {key: {None} for key in KEYS}  # what the key may hold

    def interrupt(*_: object) -> Never:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    interrupts = 0
    try:
        for number in range(3000):
            key = rng.choice(KEYS)
            size = rng.choice((0, 500, 3000, 270_000 if number % 7 == 0 else 9))
            value = value_of(key, number, size)
            act = rng.choice(("put", "put", "get", "delete", "pop", "touch", "flush"))
            changes: dict[str, set[int | None]]
            changes = {"put": {number}, "delete": {None}, "pop": {None}}
            after = changes.get(act, possible[key])
            try:
                try:
                    signal.setitimer(signal.ITIMER_REAL, rng.random() * 3e-4)
                    if act == "put":
                        memory.put(key, value)
                    elif act == "get":
                        found = memory.get(key)
                        assert (found and found[1]) in possible[key]
                    elif act == "delete":
                        memory.delete(key)
                    elif act == "pop":
                        found = memory.pop(key, None)
                        assert (found and found[1]) in possible[key]
                    elif act == "touch":
                        memory.touch(key, 3600)
                    else:
                        memory.flush()
                    possible[key] = after
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0)
            except Interrupted:
                interrupts += 1
                possible[key] = possible[key] | after
            memory.check()
            found = memory.peek(key)
            held = memory.l1.get(key)
            assert (found and found[1]) in possible[key]
            assert held is None or held.value == found
            possible[key] = {found and found[1]}
    finally:
        signal.signal(signal.SIGALRM, before)
    assert interrupts > 100
    final = {key: value[1] for key, value in memory.items()}
    assert all(final.get(key) in possible[key] for key in KEYS)
    memory.close()
    with opened(places, **options) as memory:
        assert {key: value[1] for key, value in memory.items()} == final
        memory.check()
