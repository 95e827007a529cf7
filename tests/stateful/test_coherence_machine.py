"""One memory and another process that changes the same log: what each verb may return.

Every key has the list of its states since the beginning. A coherent memory sees the last one. A
hit of an incoherent one may return an older state, but never one older than it has returned before;
what takes longer than a hit sees the last one here too.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fastmem import TieredMemorySystem, memoize
from tests.conftest import PROFILE
from tests.demotion import archive_warm, empty_l1, reclaim
from tests.elsewhere import Elsewhere

ABSENT = "absent"
KEYS: list[Any] = ["a", b"b", 3, ("d", 4), "e"]
keys = st.sampled_from(KEYS)
others = precondition(lambda self: self.elsewhere is not None)


class Coherence(RuleBasedStateMachine):
    options: dict[str, Any] = {"coherent": True}  # noqa: RUF012 - one for each machine

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="coherence.")).resolve()
        self.states: dict[Any, list[Any]] = {key: [ABSENT] for key in KEYS}
        self.least = dict.fromkeys(KEYS, 0)  # index of the oldest state that a hit may return
        self.number = 0
        self.elsewhere: Elsewhere | None = None

    @initialize(l1_mb=st.sampled_from([0.001, 1]))
    def start(self, l1_mb: float) -> None:
        self.memory = TieredMemorySystem(
            l1_mb, self.root / "l2", self.root / "l3", l2_size_mb=16, **self.options
        )

    def teardown(self) -> None:
        if hasattr(self, "memory"):
            self.memory.check()
            self.memory.close()
        shutil.rmtree(self.root)

    # -- the model

    def fresh(self) -> int:
        self.number += 1
        return self.number * 1000

    def becomes(self, key: Any, state: Any, *, seen: bool) -> None:
        self.states[key].append(state)
        if seen:
            self.least[key] = len(self.states[key]) - 1

    def last(self, key: Any) -> Any:
        """What is there now, for one who looks."""
        self.least[key] = len(self.states[key]) - 1
        return self.states[key][-1]

    def hit(self, key: Any, found: Any) -> None:
        """What a hit may return."""
        if self.options["coherent"] or self.elsewhere is None:
            assert found == self.last(key)
            return
        allowed = self.states[key][self.least[key] :]
        assert found in allowed
        self.least[key] += allowed.index(found)

    # -- the memory

    @rule(key=keys)
    def put(self, key: Any) -> None:
        number = self.fresh()
        self.memory.put(key, number)
        self.becomes(key, number, seen=True)

    @rule(key=keys)
    def delete(self, key: Any) -> None:
        assert self.memory.delete(key) == (self.last(key) != ABSENT)
        self.becomes(key, ABSENT, seen=True)

    @rule(key=keys)
    def get(self, key: Any) -> None:
        self.hit(key, self.memory.get(key, ABSENT))

    @rule(key=keys)
    def item(self, key: Any) -> None:
        try:
            found = self.memory[key]
        except KeyError:
            found = ABSENT
        self.hit(key, found)

    @rule()
    def get_many(self) -> None:
        found = self.memory.get_many(KEYS)
        for key in KEYS:
            self.hit(key, found.get(key, ABSENT))

    @rule(key=keys)
    def looks(self, key: Any) -> None:
        now = self.last(key)
        assert self.memory.peek(key, ABSENT) == now
        assert (key in self.memory) == (now != ABSENT)
        entry = self.memory.entry(key)
        assert (ABSENT if entry is None else entry.value) == now

    @rule()
    def items(self) -> None:
        """A walk of the log: it does not come to what L1 holds of a key that has gone."""
        found = dict(self.memory.items())
        for key in KEYS:
            assert found.get(key, ABSENT) == self.states[key][-1]
            if key in found:
                self.last(key)

    @rule(key=keys)
    def incr(self, key: Any) -> None:
        now = self.last(key)
        total = (0 if now == ABSENT else now) + 1
        assert self.memory.incr(key) == total
        self.becomes(key, total, seen=True)

    @rule(key=keys, right=st.booleans())
    def compare_and_set(self, key: Any, right: bool) -> None:
        now, number = self.last(key), self.fresh()
        done = self.memory.compare_and_set(key, now if right else -1, number)
        assert done == (right and now != ABSENT)
        if done:
            self.becomes(key, number, seen=True)

    @rule(key=keys)
    def add(self, key: Any) -> None:
        now, number = self.last(key), self.fresh()
        assert self.memory.add(key, number) == (now == ABSENT)
        if now == ABSENT:
            self.becomes(key, number, seen=True)

    @rule(key=keys)
    def pop(self, key: Any) -> None:
        assert self.memory.pop(key, ABSENT) == self.last(key)
        self.becomes(key, ABSENT, seen=True)

    @rule(key=keys)
    def touch(self, key: Any) -> None:
        now = self.last(key)
        assert self.memory.touch(key, 3600) == (now != ABSENT)

    @rule(key=keys, meanwhile=st.sampled_from(["nothing", "put", "delete"]))
    def load(self, key: Any, meanwhile: str) -> None:
        """A memoized function: what it finds, or loads and stores unless the key was changed."""
        number, theirs = self.fresh(), self.fresh()
        called = []

        def loader() -> int:
            called.append(True)
            if self.elsewhere is not None and meanwhile == "put":
                self.elsewhere.put(key, theirs)
                self.becomes(key, theirs, seen=False)
            elif self.elsewhere is not None and meanwhile == "delete":
                self.elsewhere.delete(key)
                self.becomes(key, ABSENT, seen=False)
            return number

        found = memoize(self.memory, key=lambda: key)(loader)()
        if not called:
            self.hit(key, found)
            return
        assert found == number
        if self.memory.peek(key, ABSENT) == number:
            assert self.elsewhere is None or meanwhile == "nothing"
            self.becomes(key, number, seen=True)

    @rule()
    def evict(self) -> None:
        empty_l1(self.memory)

    @rule()
    def move_forward(self) -> None:
        reclaim(self.memory._engine, 1 << 20)

    @rule()
    def move_down(self) -> None:
        archive_warm(self.memory)

    # -- the other process

    @precondition(lambda self: self.elsewhere is None)
    @rule()
    def another_comes(self) -> None:
        self.elsewhere = Elsewhere(self.memory)

    @others
    @rule(key=keys)
    def put_elsewhere(self, key: Any) -> None:
        assert self.elsewhere is not None
        number = self.fresh()
        self.elsewhere.put(key, number)
        self.becomes(key, number, seen=False)

    @others
    @rule(key=keys)
    def delete_elsewhere(self, key: Any) -> None:
        assert self.elsewhere is not None
        self.elsewhere.delete(key)
        self.becomes(key, ABSENT, seen=False)

    @others
    @rule(count=st.sampled_from([100, 1500]))
    def growth(self, count: int) -> None:
        assert self.elsewhere is not None
        self.number += 1
        for i in range(count):
            self.elsewhere.put((self.number, i), 0)

    @invariant()
    def whole(self) -> None:
        if hasattr(self, "memory"):
            self.memory._check()


class Incoherence(Coherence):
    options = {"coherent": False, "max_stale_s": 3600}  # noqa: RUF012


class Tick(Coherence):
    options = {"coherent": False, "max_stale_s": 1e-9}  # noqa: RUF012


STEPS = settings(max_examples=300 if PROFILE == "nightly" else 40, stateful_step_count=60)
TestCoherence = Coherence.TestCase
TestIncoherence = Incoherence.TestCase
TestTick = Tick.TestCase
TestCoherence.settings = TestIncoherence.settings = TestTick.settings = STEPS
