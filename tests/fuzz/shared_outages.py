"""Several processes on one directory, and a machine that loses its power in the middle of their
calls.

    python -m tests.fuzz.shared_outages SEED GENERATIONS KIND      KIND: one of `OPENERS`

Each is a store of its own, with locks, descriptors and mappings of its own, all in one thread:
where one is about to change something on the device, it may be stopped for others to take some
steps. So a life is repeated by its seed. Each has keys that it alone changes.
"""

from __future__ import annotations

import logging
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastmem import Archive, SegmentStore, StoreTimeoutError, TieredMemorySystem
from tests.crash.device import Device
from tests.crash.directories import engine_of
from tests.fuzz.outages import BUDGET, Life
from tests.fuzz.possible import Model

PROCESSES = 3
KEYS_EACH = 6
SIZES = (30, 900, 60_000, 200_000, 300_000)
DEEPEST = 3  # so many are in the middle of a call
PATIENCE_S = 0.0005  # who is stopped does not go on before that anyway

OPENERS: dict[str, Callable[[Path, Any], Any]] = {
    "memory": lambda at, durability: TieredMemorySystem(
        0.2, at / "l2", at / "l3", l2_size_mb=16, durability=durability, timeout_s=PATIENCE_S
    ),
    "segments": lambda at, durability: SegmentStore(
        at / "l2", budget_bytes=BUDGET, durability=durability, timeout_s=PATIENCE_S
    ),
    "archive": lambda at, durability: Archive(
        at / "l3", durability=durability, timeout_s=PATIENCE_S
    ),
}


class Shared(Model):
    """What was written before a call began is what its sync promises."""

    def __init__(self) -> None:
        super().__init__()
        self.forgotten: Counter[str] = Counter()  # numbers of a key that it cannot be found with
        self.in_flight: set[str] = set()

    def marks(self) -> dict[str, int]:
        """For each key how many numbers lie before the one that it has."""
        return {
            key: self.forgotten[key] + len(numbers) - 1 - (key in self.in_flight)
            for key, numbers in self.possible.items()
        }

    def settle_to(self, marks: dict[str, int]) -> None:
        for key, mark in marks.items():
            count = max(mark - self.forgotten[key], 0)
            del self.possible[key][:count]
            self.forgotten[key] += count

    def begin_anew(self) -> None:
        self.forgotten.clear()
        self.in_flight.clear()


class Process:
    """One store that has the directory open."""

    def __init__(self, name: int, store: Any, durability: str) -> None:
        self.name, self.store, self.durability = name, store, durability
        self.keys = [f"p{name}-{i}" for i in range(KEYS_EACH)]
        self.busy = False


class SharedLife(Life):
    """One directory from its making to its end, over many outages."""

    model: Shared

    def __init__(self, seed: int, kind: str, root: Path) -> None:
        super().__init__(seed, kind, root)
        self.opener = OPENERS[kind]
        self.model = Shared()
        self.crowd: list[Process] = []
        self.met = Counter[str]()  # what lives came by, so that a test can ask for it

    def between_outages(self) -> None:
        draw = self.draw
        self.sizes = SIZES
        self.moments = int(10 ** draw.uniform(0.5, 3.3))
        self.device = Device(self.at, draw, self.moment)
        with self.device.watched():
            self.crowd = [self.join(name) for name in range(PROCESSES)]
            steps = draw.randrange(20, 300)
            while self.lost is None and steps:
                process = draw.choice(self.crowd)
                if draw.random() < 0.02:
                    self.leave(process)
                    self.crowd[process.name] = self.join(process.name)
                else:
                    self.act(process)
                steps -= 1
            if self.lost is None:
                self.lose_power()
            self.moments = 0
            for process in self.crowd:
                process.busy = True  # nobody takes a step in the middle of this
            for process in self.crowd:
                engine_of(process.store).files.close(clean=False)
            self.crowd = []
        self.go_on()
        self.model.begin_anew()
        self.learn()

    def moment(self) -> None:
        super().moment()
        busy = sum(process.busy for process in self.crowd)
        if 0 < busy < DEEPEST and self.draw.random() < 0.3:
            idle = [process for process in self.crowd if not process.busy]
            if idle:
                self.met["in the middle"] += 1
                self.act(self.draw.choice(idle))

    def open(self) -> Any:
        """What an outage left, by one alone."""
        self.durability = self.draw.choice(("process", "disk"))
        return self.opener(self.at, self.durability)

    def join(self, name: int) -> Process:
        store = self.open()
        return Process(name, store, self.durability)

    def leave(self, process: Process) -> None:
        """It ends, or is killed."""
        process.busy = True
        if self.draw.random() < 0.5:
            process.store.close()
        else:
            engine_of(process.store).files.close(clean=False)

    # -- steps ----------------------------------------------------------------------------------

    def act(self, process: Process) -> None:
        draw = self.draw
        chosen, key = draw.random(), draw.choice(process.keys)
        process.busy = True
        try:
            if chosen < 0.65:
                self.number += 1
                self.change(process, key, self.number)
            elif chosen < 0.78:
                self.change(process, key, None)
            elif chosen < 0.88:
                self.meet(key, process.store.get(key))
            elif chosen < 0.93:
                self.device.write_back()
            else:
                self.flush(process)
        finally:
            process.busy = False

    def change(self, process: Process, key: str, number: int | None) -> None:
        """Put or delete. What times out may have been done, and is not promised."""
        draw, model, store = self.draw, self.model, process.store
        model.begin(key, number)
        model.in_flight.add(key)
        marks = model.marks()
        done = True
        try:
            if number is None:
                done = store.delete(key)
            else:
                store.put(key, [key, number, draw.randbytes(draw.choice(self.sizes))])
        except StoreTimeoutError:
            self.met["not promised"] += 1
            done = self.number_of(key, store.get(key)) == number
            marks = {}
        model.in_flight.discard(key)
        model.end(key, number, written=done)
        if number is None and marks:
            model.now[key] = None
        if marks and done and process.durability == "disk" and self.lost is None:
            self.met["promised"] += 1
            marks[key] = model.marks()[key]
            model.settle_to(marks)

    def flush(self, process: Process) -> None:
        marks = self.model.marks()
        try:
            process.store.flush()
        except StoreTimeoutError:
            return
        if self.lost is None:
            self.model.settle_to(marks)


def main(arguments: list[str]) -> None:
    seed, generations, kind = arguments
    logging.disable()
    root = Path(tempfile.mkdtemp(prefix="fastmem-")).resolve()
    try:
        life = SharedLife(int(seed), kind, root)
        life.live(int(generations))
    finally:
        shutil.rmtree(root)
    print(f"{seed} {kind}: {generations} generations, {dict(life.met)}")


if __name__ == "__main__":
    main(sys.argv[1:])
