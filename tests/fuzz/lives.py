"""Lives of a memory: random calls, kills, restarts and lost files, every key compared with a model.

    python -m tests.fuzz.lives SEED STEPS KIND      KIND: one of `KINDS`

A life that fails raises with its seed, step and key; the same arguments repeat it.
"""

from __future__ import annotations

import errno
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from fastmem import TieredMemorySystem, ValueTooLargeError
from fastmem.storage import opening
from fastmem.storage.files import Directory
from tests.crash.directories import copy

PUT_BYTES = (10, 900, 5_000, 60_000, 60_000, 200_000, 300_000, 900_000)
LARGE_BYTES = (7 << 20, 8_600_000)  # the second is more than half of L2: straight to the archive
FAULTY = ("write", "create", "unlink", "extend", "sync_file", "rename")


class Kind(NamedTuple):
    """`faults`: for stretches of time one call to the device in five fails."""

    durability: str
    l3_size_mb: int | None
    faults: bool


KINDS = {
    "unbounded": Kind("process", None, False),
    "bounded": Kind("process", 16, False),
    "faulty": Kind("process", None, True),
    "bounded-faulty": Kind("process", 16, True),
    "write-back": Kind("cache", None, False),
    "bounded-write-back": Kind("cache", 16, False),
}


class Life:
    """One memory from its making to its end. `model` tells of each key its last number, None when
    it is deleted; a bounded archive may also have let go of it.
    """

    def __init__(self, seed: int, kind: str, root: Path) -> None:
        self.kind = KINDS[kind]
        self.draw = random.Random(seed)
        self.name = f"seed {seed}, {kind}"
        self.root = root
        self.at = root / "0"
        self.at.mkdir(mode=0o700)
        self.boot = 0
        self.generation = 0
        self.page_lost = False
        self.step = 0
        self.fault_rate = 0.0
        self.keys = [f"k{i}" for i in range(400)]
        self.model: dict[str, int | None] = {}
        self.memory = self.open()

    def open(self) -> TieredMemorySystem:
        return TieredMemorySystem(
            1,
            self.at / "l2",
            self.at / "l3",
            l2_size_mb=16,
            l3_size_mb=self.kind.l3_size_mb,
            durability=self.kind.durability,  # type: ignore[arg-type]
        )

    def live(self, steps: int) -> None:
        """Raise AssertionError when anything is not as the model has it."""
        with self.watched():
            for self.step in range(1, steps + 1):
                faulty = self.kind.faults and self.step // 50 % 3 == 1
                self.fault_rate = 0.2 if faulty else 0.0
                self.call()
                if self.step % 40 == 0 and not self.kind.faults:
                    self.memory.check()
                if self.draw.random() < 0.02:
                    self.fault_rate = 0.0
                    self.end_and_begin()
            self.fault_rate = 0.0
            self.memory.close()

    # -- what a user does ---------------------------------------------------------------------

    def call(self) -> None:
        key = self.draw.choice(self.keys[: 20 if self.draw.random() < 0.3 else None])
        try:
            self.verb(key, self.draw.random())
        except ValueTooLargeError:
            pass
        except OSError:
            if not self.kind.faults:
                raise

    def verb(self, key: str, chosen: float) -> None:
        """One call. If it raises, the model stays as it was, and so should the memory."""
        memory = self.memory
        if chosen < 0.62:
            memory.put(key, [key, self.step, self.bulk()])
            self.model[key] = self.step
        elif chosen < 0.72:
            memory.delete(key)
            self.model[key] = None
        elif chosen < 0.93:
            self.compare(key, memory.get(key))
        elif chosen < 0.95:
            self.compare(key, memory.pop(key, None))
            self.model[key] = None
        elif chosen < 0.955:
            memory.flush()
        elif chosen < 0.9552:
            memory.clear()
            self.model.clear()
            assert not len(memory), self.told("clear left something")

    def bulk(self) -> bytes:
        size = self.draw.choice(LARGE_BYTES if self.draw.random() < 0.03 else PUT_BYTES)
        return self.draw.randbytes(size) if self.draw.random() < 0.5 else b"abc" * (size // 3)

    # -- ends ---------------------------------------------------------------------------------

    def end_and_begin(self) -> None:
        end = self.draw.choice(["kill", "kill", "close", "restart", "outage", "index", "page"])
        before = self.memory
        if end in ("close", "restart"):
            before.close()
            self.boot += end == "restart"
        else:
            if self.kind.durability == "cache":
                before.flush()
            self.generation += 1
            left = self.root / str(self.generation)
            left.mkdir(mode=0o700)
            copy(self.at, left)  # what a killed process leaves
            before.close()
            shutil.rmtree(self.at)
            self.at = left
            if end == "outage":  # of the machine, all of whose writes had reached the device
                self.boot += 1
            elif end == "index":
                (left / "l2/index").unlink()
            elif end == "page":
                (left / "l2/super").write_bytes(bytes(4096))
                self.page_lost = True
        self.memory = self.open()
        self.memory.check()
        for key in self.keys:
            self.compare(key, self.memory.peek(key))
        # Of an evicted value and a lost one the files alone do not tell which it was.
        if not (self.page_lost and self.kind.l3_size_mb):
            for tier in ("l2", "l3"):
                errors = self.memory.stats()[tier]["errors"]
                assert not errors["dropped"], self.told(f"after {end}: {tier} errors {errors}")

    # -- what should be -----------------------------------------------------------------------

    def compare(self, key: str, value: Any) -> None:
        wanted = self.model.get(key)
        if value is None:
            lost = wanted is not None and self.kind.l3_size_mb is None
            assert not lost, self.told(f"{key} is lost, put in step {wanted}")
        else:
            found = value[0], value[1]
            assert found == (key, wanted), self.told(f"{key}, put in step {wanted}, is {found}")

    def told(self, what: str) -> str:
        return f"{self.name}, step {self.step}: {what}"

    @contextmanager
    def watched(self) -> Iterator[None]:
        """The boot of the machine, and its device, as this life has them."""
        with ExitStack() as patched:
            boot = patched.enter_context(mock.patch.object(opening, "boot_id"))
            boot.side_effect = lambda: b"boot%012d" % self.boot
            for name in FAULTY:
                patched.enter_context(mock.patch.object(Directory, name, self.failing(name)))
            yield

    def failing(self, name: str) -> Callable[..., Any]:
        real = getattr(Directory, name)

        def call(directory: Directory, *args: Any, **options: Any) -> Any:
            if self.fault_rate and self.draw.random() < self.fault_rate:
                raise OSError(errno.ENOSPC, "injected")
            return real(directory, *args, **options)

        return call


def main(arguments: list[str]) -> None:
    seed, steps, kind = arguments
    with tempfile.TemporaryDirectory(prefix="fastmem-") as root:
        Life(int(seed), kind, Path(root).resolve()).live(int(steps))
    print(f"{seed} {kind}: {steps} steps")


if __name__ == "__main__":
    main(sys.argv[1:])
