"""What a memory promises as one state machine over TieredMemorySystem.

Newest wins, None is a value, deadlines are absolute, budgets are true, nothing is lost silently,
and an operation that raises changes nothing: through promotion, demotion, eviction, reopening, a
lost index and a crash (a copy of the directories as they are, opened in their place).
"""

import errno
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any, Never

import numpy
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from fastmem import TieredMemorySystem, ValueTooLargeError
from fastmem._core.clock import boottime_ns
from fastmem._core.log import WARM, LogNeeds
from fastmem.errors import KeyTypeError, SerializationError
from fastmem.memory import Durability
from fastmem.storage import files
from tests.demotion import archive_warm, reclaim
from tests.stateful.memory_model import ABSENT, Model, same
from tests.stateful.memory_values import KEYS, KIB, SMALL, VALUES, noise
from tests.stateful.verb_rules import VerbRules

MIB = 1 << 20
L1_BYTES = 64 * KIB


class Unpicklable:
    def __reduce__(self) -> tuple[Any, ...]:
        raise ZeroDivisionError("no bytes for this")


def tick() -> None:
    """Wait until the coarse clock, which deadlines are checked against, has moved on.

    Twice: each compiled unit measures how far it lies from the exact clock by itself, to 0.1 ms.
    """
    for _ in range(2):
        now = boottime_ns()
        while boottime_ns() == now:
            time.sleep(0.0005)


class MemoryLaws(VerbRules):
    durability: Durability = "process"

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="laws.")).resolve()
        self.generation = 0
        self.l1_bytes = L1_BYTES
        self.model = Model(self.durability == "cache")

    def teardown(self) -> None:
        if hasattr(self, "memory"):  # `start` may have failed
            self.memory.close()
        shutil.rmtree(self.root)

    @property
    def place(self) -> Path:
        return self.root / str(self.generation)

    def open(self) -> TieredMemorySystem:
        return TieredMemorySystem(
            self.l1_bytes / MIB, self.place / "l2", self.place / "l3",
            l2_size_mb=16, durability=self.durability,
        )  # fmt: skip

    @initialize()
    def start(self) -> None:
        self.place.mkdir(mode=0o700)
        self.memory = self.open()

    # -- writing

    @rule(key=KEYS, value=VALUES, how=st.sampled_from(["put", "item", "update"]))
    def put(self, key: Any, value: Any, how: str) -> None:
        if how == "put":
            self.memory.put(key, value)
        elif how == "item":
            self.memory[key] = value
        else:
            self.memory.update([(key, value)])
        self.model.put(key, value)

    @rule(key=KEYS, value=VALUES, ttl=st.sampled_from([3600, 0.5e9, float("inf"), 9e9]))
    def put_with_ttl(self, key: Any, value: Any, ttl: Any) -> None:
        self.memory.put(key, value, ttl)
        self.model.put(key, value, None if ttl == float("inf") else time.time() + ttl)

    @rule(key=KEYS, value=VALUES, promoted=st.booleans())
    def put_and_let_expire(self, key: Any, value: Any, promoted: bool) -> None:
        self.memory.put(key, value, 1e-9)
        if promoted:
            self.memory.get(key)
        tick()
        self.model.drop(key)

    @rule(key=KEYS, value=SMALL)
    def setdefault(self, key: Any, value: Any) -> None:
        found = self.memory.setdefault(key, value)
        if self.model.get(key) is ABSENT:
            assert found is value
            self.model.put(key, value)
        else:
            assert same(found, self.model.get(key))

    @rule(key=KEYS, ttl=st.sampled_from([None, 7200, float("inf")]))
    def touch(self, key: Any, ttl: Any) -> None:
        there = self.model.get(key) is not ABSENT
        assert self.memory.touch(key, ttl) is there
        if there and ttl is not None:
            self.model.put(
                key, self.model.get(key), None if ttl == float("inf") else time.time() + ttl
            )

    @rule(key=KEYS, how=st.sampled_from(["delete", "del"]))
    def delete(self, key: Any, how: str) -> None:
        there = self.model.drop(key) is not ABSENT
        if how == "delete":
            assert self.memory.delete(key) is there
        elif there:
            del self.memory[key]
        else:
            with pytest.raises(KeyError):
                del self.memory[key]

    @rule(key=KEYS)
    def pop(self, key: Any) -> None:
        found, expected = self.memory.pop(key, ABSENT), self.model.drop(key)
        assert found is ABSENT if expected is ABSENT else same(found, expected)

    @rule()
    def popitem(self) -> None:
        if self.model.values:
            key, value = self.memory.popitem()
            assert same(value, self.model.drop(key))
        else:
            with pytest.raises(KeyError):
                self.memory.popitem()

    @rule(rarely=st.integers(0, 9))
    def clear(self, rarely: int) -> None:
        if rarely == 0:
            self.memory.clear()
            self.model.clear()

    @rule(key=KEYS, what=st.sampled_from(["unpicklable", "text ttl", "too large", "key", "ttl"]))
    def put_in_vain(self, key: Any, what: str) -> None:
        """All or nothing: the state is compared by the invariant."""
        memory = self.memory
        if what == "unpicklable":
            if self.durability == "cache":
                return  # found out when it is spilled: a test of its own
            with pytest.raises(SerializationError, match="no bytes for this"):
                memory.put(key, [1, Unpicklable()])
        elif what == "text ttl":
            with pytest.raises(TypeError, match="ttl_seconds"):
                memory.put(key, 1, "60")  # type: ignore[arg-type]
        elif what == "too large":
            memory._engine.cold_budget_bytes = 16 * MIB
            try:
                with pytest.raises(ValueTooLargeError):
                    memory.put(key, bytes(9 * MIB))
            finally:
                memory._engine.cold_budget_bytes = None
        elif what == "key":
            for wrong in (True, 1.0, None, (1, 2.0), numpy.int64(1)):
                with pytest.raises(KeyTypeError):
                    memory.put(wrong, 1)
        else:
            with pytest.raises(ValueError, match="ttl_seconds"):
                memory.put(key, 1, 0)

    @rule(key=KEYS, seed=st.integers(0, 99))
    def put_on_a_full_disk(self, key: Any, seed: int) -> None:
        def refuse(*_: object) -> Never:
            raise OSError(errno.ENOSPC, "No space left on device")

        value = noise(seed, 200 * KIB)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(files, "fallocate", refuse)
            for _ in range(6):  # a segment is 1 MiB
                try:
                    self.memory.put(key, value)
                except OSError as error:
                    assert error.errno == errno.ENOSPC  # noqa: PT017 - some puts still fit
                    break
                self.model.put(key, value)

    # -- reading

    @rule(key=KEYS)
    def get(self, key: Any) -> None:
        expected = self.model.get(key)
        found = self.memory.get(key, ABSENT)
        assert found is ABSENT if expected is ABSENT else same(found, expected)

    @rule(key=KEYS)
    def look(self, key: Any) -> None:
        expected = self.model.get(key)
        held = set(self.memory.l1)
        assert (key in self.memory) is (expected is not ABSENT)
        found = self.memory.peek(key, ABSENT)
        entry = self.memory.entry(key)
        if expected is ABSENT:
            assert found is ABSENT
            assert entry is None
            with pytest.raises(KeyError):
                self.memory[key]
        else:
            assert same(found, expected)
            assert same(entry.value, expected)
            deadline = self.model.timed.get(key)
            if deadline is None:
                assert entry.ttl is None
            elif deadline < 2**63 / 1e9:
                assert entry.ttl is not None
                assert entry.timestamp + entry.ttl == pytest.approx(deadline, abs=1)
        assert set(self.memory.l1) == held

    # -- the tiers

    @rule()
    def flush(self) -> None:
        self.memory.flush()
        self.model.flush()

    @rule(size=st.sampled_from([2 * KIB, 20 * KIB, L1_BYTES, 4 * MIB]))
    def resize(self, size: int) -> None:
        self.memory.resize(size)

    @rule()
    def demote(self) -> None:
        archive_warm(self.memory)

    @rule(forward=st.booleans(), amount=st.sampled_from([100, 10_000]))
    def reclaim_a_little(self, forward: bool, amount: int) -> None:
        engine = self.memory._engine
        try:
            engine.log.roll(WARM)
        except LogNeeds:
            return
        with engine.lock:
            reclaim(engine, amount, forward=forward)

    @rule()
    def reopen(self) -> None:
        self.memory.close()
        self.model.flush()
        self.memory = self.open()

    @rule(index_lost=st.booleans())
    def crash(self, index_lost: bool) -> None:
        """What kill -9 leaves: the files as they are. They are copied and opened elsewhere."""
        old, abandoned = self.place, self.memory
        self.generation += 1
        shutil.copytree(old, self.place)
        for tier in ("l2", "l3"):
            (self.place / tier).chmod(0o700)
        if index_lost:
            (self.place / "l2" / "index").unlink()
        self.memory = self.open()
        abandoned.close()
        shutil.rmtree(old)
        self.model.crash(set(self.memory))

    @rule()
    def reopen_without_the_index(self) -> None:
        self.memory.close()
        self.model.flush()
        (self.place / "l2" / "index").unlink()
        self.memory = self.open()

    # -- what always holds

    @invariant()
    def laws(self) -> None:
        memory = self.memory
        memory.check()
        model = self.model.values
        keys = list(memory)
        assert len(keys) == len(model)
        assert set(keys) == set(model) == set(memory.keys())
        assert len(memory) >= len(model)
        assert memory.l1_current_bytes <= memory.l1_size_bytes
        for key, entry in memory.l1.items():
            assert same(entry.value, model[key])
        stats = memory.get_stats()
        assert not any(stats[name] for name in stats if name.endswith(("corrupt", "spill_failed")))
        for tier, slack in (("l2", 4096), ("l3", 4096)):  # a first page each
            real = sum(
                path.stat().st_blocks * 512
                for path in (self.place / tier).iterdir()
                if not path.name.startswith("new.")
            )
            assert real <= stats[f"{tier}_bytes"] + slack
            assert stats[f"{tier}_bytes"] <= (stats[f"{tier}_budget"] or 1 << 40)

    @invariant()
    def items_agree(self) -> None:
        found = dict(self.memory.items())
        assert found.keys() == self.model.values.keys()
        for key, value in found.items():
            assert same(value, self.model.values[key]), key


class WriteBackLaws(MemoryLaws):
    durability = "cache"


class DiskLaws(MemoryLaws):
    durability = "disk"


TestMemoryLaws = MemoryLaws.TestCase
TestMemoryLaws.settings = settings(stateful_step_count=30)
TestWriteBackLaws = WriteBackLaws.TestCase
TestWriteBackLaws.settings = settings(stateful_step_count=30)
TestDiskLaws = DiskLaws.TestCase
TestDiskLaws.settings = settings(stateful_step_count=10)
