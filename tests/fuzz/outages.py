"""Lives of a store on a machine that loses its power: in the middle of calls, of openings and of
the openings after that, with kills and restarts in between; every key is compared with a model.

    python -m tests.fuzz.outages SEED GENERATIONS KIND      KIND: one of `KINDS`

A life that fails raises with its seed, generation and key; the same arguments repeat it, but for
what a thread of its own does.
"""

from __future__ import annotations

import logging
import os
import random
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from fastmem import Archive, SegmentStore, TieredMemorySystem
from fastmem._core.log import COLD, WARM
from fastmem.storage import opening
from tests.crash.device import Device
from tests.crash.directories import engine_of, pointed_to
from tests.fuzz.possible import Model

BUDGET = 16 << 20
STRAIGHT_DOWN = 8_600_000  # more than half of L2
SIZES = (
    (30, 900, 5_000, 60_000),
    (30, 900, 300_000),
    (60_000, 200_000),
    (1_000, 60_000, 400_000),
)
WIDTHS = (6, 30, 200)  # of how many keys a generation takes its own


def open_memory(at: Path, l1_size_mb: float, durability: Any, l3_size_mb: int | None) -> Any:
    return TieredMemorySystem(
        l1_size_mb,
        at / "l2",
        at / "l3",
        l2_size_mb=16,
        l3_size_mb=l3_size_mb,
        durability=durability,
    )


class Kind(NamedTuple):
    """`evicts`: once it is full, a value may be gone for good, and found again after an outage, as
    the device may not know of that. `tiers`: large values may go past L2, and L3 may be opened
    without it.
    """

    open: Callable[[Path, float, Any], Any]
    durabilities: tuple[str, ...]
    evicts: bool
    tiers: bool = False


KINDS = {
    "memory": Kind(
        lambda at, l1, durability: open_memory(at, l1, durability, None),
        ("process", "disk", "cache"),
        evicts=False,
        tiers=True,
    ),
    "bounded": Kind(
        lambda at, l1, durability: open_memory(at, l1, durability, 20),
        ("process", "disk"),
        evicts=True,
        tiers=True,
    ),
    "segments": Kind(
        lambda at, _, durability: SegmentStore(
            at / "l2", budget_bytes=BUDGET, durability=durability
        ),
        ("process", "disk"),
        evicts=True,
    ),
    "archive": Kind(
        lambda at, _, durability: Archive(at / "l3", durability=durability),
        ("process", "disk"),
        evicts=False,
    ),
    "bounded-archive": Kind(
        lambda at, _, durability: Archive(at / "l3", budget_bytes=BUDGET, durability=durability),
        ("process", "disk"),
        evicts=True,
    ),
}


class Life:
    """One store from its making to its end, over many outages."""

    def __init__(self, seed: int, kind: str, root: Path) -> None:
        self.kind = KINDS[kind]
        self.draw = random.Random(seed)
        self.names = random.Random(seed)  # of value files and stores
        self.name = f"seed {seed}, {kind}"
        self.root = root
        self.at = root / "0"
        self.at.mkdir(mode=0o700)
        self.boot = self.number = self.generation = self.images = 0
        self.sizes: tuple[int, ...] = ()
        self.keys: list[str] = []
        self.durability = "process"
        self.evicted = False  # something was, at some time
        self.model = Model()
        self.moments = 0  # until the power goes; 0: it does not
        self.lost: tuple[Path, dict[str, list[int | None]]] | None = None
        self.device: Device

    def live(self, generations: int) -> None:
        """Raise AssertionError when anything is not as the model has it."""
        with self.machine():
            for self.generation in range(1, generations + 1):
                self.between_outages()

    def between_outages(self) -> None:
        """Live until the power goes; then open what is left, which may take some outages more."""
        draw = self.draw
        self.sizes, self.moments = draw.choice(SIZES), int(10 ** draw.uniform(0.5, 3.5))
        self.keys = [f"k{i}" for i in range(draw.choice(WIDTHS))]
        self.device = Device(self.at, draw, self.moment)
        with self.device.watched():
            store = self.open()
            self.compare(store)
            steps = draw.randrange(20, 400)
            while self.lost is None and steps:
                store = self.step(store)
                steps -= 1
            if self.lost is None:
                if draw.random() < 0.3:
                    store.close()
                self.lose_power()
            self.moments = 0
            store.close()
        self.go_on()
        while draw.random() < 0.4 and self.outage_while_opening():
            self.go_on()
        self.learn()

    # -- the machine ----------------------------------------------------------------------------

    @contextmanager
    def machine(self) -> Iterator[None]:
        """Its boots, and its random numbers."""
        with ExitStack() as patched:
            boot = patched.enter_context(mock.patch.object(opening, "boot_id"))
            boot.side_effect = lambda: b"boot%012d" % self.boot
            patched.enter_context(mock.patch.object(os, "urandom", self.names.randbytes))
            yield

    def moment(self) -> None:
        """Before the device is changed."""
        if self.moments and threading.current_thread() is threading.main_thread():
            self.moments -= 1
            if not self.moments:
                self.lose_power()

    def lose_power(self) -> None:
        """From here on all that happens has not. The call that is under way goes on to its end."""
        self.moments = 0
        self.images += 1
        at = self.root / str(self.images)
        self.lost = at, self.model.after_an_outage()
        self.device.lose_power(at)

    def go_on(self) -> None:
        """With what is left."""
        assert self.lost is not None
        shutil.rmtree(self.at)
        self.at, self.model.possible = self.lost
        self.lost = None
        self.boot += 1

    def outage_while_opening(self) -> bool:
        self.moments = self.draw.randrange(1, 60)
        self.device = Device(self.at, self.draw, self.moment)
        with self.device.watched():
            self.open().close()
            self.moments = 0
        if self.lost is None:  # what it came to is for the next to see
            shutil.rmtree(self.at / "gone")
        return self.lost is not None

    # -- what a user does -----------------------------------------------------------------------

    def open(self) -> Any:
        self.durability = self.draw.choice(self.kind.durabilities)
        store = self.kind.open(self.at, self.draw.choice((0.2, 1, 4)), self.durability)
        self.note_evictions(store)
        return store

    def note_evictions(self, store: Any) -> None:
        self.evicted |= any(tier.evictions["size"] for tier in engine_of(store).counters)
        assert self.kind.evicts or not self.evicted, self.told("evicted")

    def step(self, store: Any) -> Any:
        """One call; or an end and a beginning without an outage. Return the store."""
        draw = self.draw
        chosen = draw.random()
        key = draw.choice(self.keys)
        if chosen < 0.6:
            self.put(store, key)
        elif chosen < 0.72:
            self.delete(store, key, lambda: store.delete(key))
        elif chosen < 0.9:
            value = store.get(key)
            self.note_evictions(store)  # of what was promoted
            self.meet(key, value)
        elif chosen < 0.95:
            self.device.write_back()
        elif chosen < 0.975:
            store.flush()
            self.note_evictions(store)
            self.no_leaks(store)
            self.settle()
        elif chosen < 0.98:
            self.delete(store, key, lambda: store.pop(key, None) is not None)
        elif chosen < 0.982:
            self.clear(store)
        elif chosen < 0.99 and self.lost is None:
            store = self.restart(store, kill=chosen < 0.986)
        elif chosen < 0.993 and self.lost is None and self.kind.tiers:
            store = self.archive_alone(store)
        return store

    def put(self, store: Any, key: str) -> None:
        draw = self.draw
        self.number += 1
        size = draw.choice(self.sizes)
        if self.kind.tiers and draw.random() < 0.01:
            size = STRAIGHT_DOWN
        bulk = draw.randbytes(size) if draw.random() < 0.6 else bytes(size)
        if self.durability == "cache":  # the older value goes at once, this one stays in L1
            self.model.begin(key, None)
        self.model.begin(key, self.number)
        store.put(key, [key, self.number, bulk])
        self.model.end(key, self.number)
        self.note_evictions(store)
        self.settle_if_promised()

    def delete(self, store: Any, key: str, step: Callable[[], bool]) -> None:
        self.model.begin(key, None)
        deleted = step()
        self.note_evictions(store)
        assert self.evicted or deleted == (self.model.now.get(key) is not None), self.told(
            f"{key} was{'' if deleted else ' not'} there to be deleted"
        )
        self.model.end(key, None, written=deleted)
        self.model.now[key] = None
        if deleted:  # else nothing was written, and nothing synced
            self.settle_if_promised()

    def clear(self, store: Any) -> None:
        held = set(store)
        for key in self.model.possible:
            self.model.begin(key, None)
        store.clear()
        assert not len(store), self.told("clear left something")
        for key in self.model.possible:
            self.model.end(key, None, written=key in held)
            self.model.now[key] = None
        if held:
            self.settle_if_promised()

    def settle_if_promised(self) -> None:
        if self.durability == "disk":
            self.settle()

    def settle(self) -> None:
        if self.lost is None:
            self.model.settle()

    def restart(self, store: Any, *, kill: bool) -> Any:
        """Of the process alone: nothing is lost."""
        if kill and self.durability != "cache":
            engine_of(store).files.close(clean=False)
        else:
            store.close()
        store = self.open()
        self.compare(store)
        return store

    def archive_alone(self, store: Any) -> Any:
        """L3 is written to without L2, which may hold newer values than it and older ones."""
        draw, model = self.draw, self.model
        store.close()
        touched = set()
        durability: Any = draw.choice(("process", "disk"))
        with Archive(self.at / "l3", durability=durability) as archive:
            archive.check()
            for key in draw.choices(self.keys, k=draw.randrange(1, 20)):
                self.number += 1
                number = self.number if draw.random() < 0.6 else None
                model.begin(key, number)
                if number is not None:
                    archive.put(key, [key, number, draw.randbytes(draw.choice(self.sizes))])
                    written = True
                else:
                    written = archive.delete(key)
                model.end(key, number, written=written)
                if written:
                    touched.add(key)
            if draw.random() < 0.5:
                archive.flush()
                durability = "disk"
            if durability == "disk" and self.lost is None:
                model.settle(touched)
        store = self.open()
        if self.lost is None:
            self.compare(store)
        return store

    # -- what should be -------------------------------------------------------------------------

    def compare(self, store: Any) -> None:
        """After a restart of the process all is as it was."""
        store.check()
        store.verify()
        for key in self.model.possible:
            self.meet(key, self.look(store, key))

    @staticmethod
    def look(store: Any, key: str) -> Any:
        return store.peek(key) if isinstance(store, TieredMemorySystem) else store.get(key)

    def meet(self, key: str, value: Any) -> None:
        wanted = self.model.now.get(key)
        number = self.number_of(key, value)
        if not (number is None and self.evicted):
            assert number == wanted, self.told(f"{key} is {number}, and was put as {wanted}")

    def number_of(self, key: str, value: Any) -> int | None:
        if value is None:
            return None
        assert value[0] == key, self.told(f"{key} has a value of {value[0]}")
        return int(value[1])

    def learn(self) -> None:
        """Open what an outage left. What is found now is the truth."""
        model = self.model
        model.now.clear()
        shutil.rmtree(self.at / "gone", ignore_errors=True)
        with self.open() as store:
            store.check()
            store.verify()
            assert set(store) <= model.possible.keys(), self.told("keys that were never put")
            for key, numbers in model.possible.items():
                found = self.number_of(key, self.look(store, key))
                evicted = found is None and self.evicted
                assert evicted or found in numbers, self.told(
                    f"{key} is {found} after the outage, and was {numbers}"
                )
                model.now[key] = found
                if not evicted:
                    model.possible[key] = [found]
            store.flush()
            self.no_leaks(store)
        for path in self.at.glob("*/*"):
            assert not path.name.startswith(("new.", "rebuilt.", "foreign.")), self.told(
                f"{path} is left"
            )

    def no_leaks(self, store: Any) -> None:
        """After a sync there are no value files but those that a record leads to."""
        engine = engine_of(store)
        engine.syncer.sync()  # a flush does chores after it, which may leave a file to the next
        for tier in (WARM, COLD):
            values = engine.files.values(tier)
            left = set(values.numbers()) - pointed_to(engine, tier) if values else set()
            assert not left, self.told(f"value files {left} of tier {tier} are left")

    def told(self, what: str) -> str:
        return f"{self.name}, generation {self.generation}, image {self.images}: {what}"


def main(arguments: list[str]) -> None:
    seed, generations, kind = arguments
    logging.disable()
    with tempfile.TemporaryDirectory(prefix="fastmem-") as root:
        Life(int(seed), kind, Path(root).resolve()).live(int(generations))
    print(f"{seed} {kind}: {generations} generations")


if __name__ == "__main__":
    main(sys.argv[1:])
