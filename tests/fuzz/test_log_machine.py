"""The lower tiers against a dict, with reclaim, rebuilds, kills and reopenings as steps.

No L1 here: every read goes to the log. L3 is unbounded, so nothing may ever be missing.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fastmem._core import scan
from fastmem.storage.engine import Engine
from fastmem.storage.opening import StoreFiles
from fastmem.storage.promotion import promote
from tests.crash.directories import BUDGET, SEGMENT, copy, linked_bytes
from tests.demotion import reclaim

KEYS = st.integers(0, 30).map(lambda i: b"sk%d" % i)
SIZES = st.sampled_from([0, 1, 100, 3_000, 100_000, 262_144, 262_145, 400_000])
RAW, FOREVER = 1, 0


class LogMachine(RuleBasedStateMachine):
    """`value` bytes are the step's number repeated, so that every put is told from every other."""

    warm = True
    cold = True

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="fastmem-")).resolve()
        self.at = self.root / "0"
        self.at.mkdir()
        self.copies = 0
        self.steps = 0
        self.model: dict[bytes, bytes] = {}

    @initialize()
    def begin(self) -> None:
        self.open()

    def open(self) -> None:
        real = StoreFiles.__init__

        def small(files: StoreFiles, *args: Any, **options: Any) -> None:
            real(files, *args, **{**options, "initial_level": 2})  # overflows and splits early

        StoreFiles.__init__ = small  # type: ignore[method-assign,assignment]
        try:
            self.engine = Engine(
                self.at / "l2" if self.warm else None,
                self.at / "l3" if self.cold else None,
                warm_budget_bytes=BUDGET if self.warm else 0,
            )
        finally:
            StoreFiles.__init__ = real  # type: ignore[method-assign]

    def teardown(self) -> None:
        self.engine.close()
        shutil.rmtree(self.root)

    @rule(key=KEYS, size=SIZES)
    def put(self, key: bytes, size: int) -> None:
        self.steps += 1
        value = (b"%d;" % self.steps * (size // 2 + 1))[:size]
        if self.warm:
            self.engine.put(key, RAW, value, FOREVER)
        else:
            self.engine.archive_put(key, RAW, value, FOREVER)
        self.model[key] = value

    @rule(key=KEYS, size=st.sampled_from([10, 5_000, 300_000]))
    def put_straight_to_the_archive(self, key: bytes, size: int) -> None:
        if self.cold:
            self.steps += 1
            value = (b"%d;" % self.steps * size)[:size]
            self.engine.archive_put(key, RAW, value, FOREVER)
            self.model[key] = value

    @rule(key=KEYS)
    def delete(self, key: bytes) -> None:
        assert self.engine.delete(key) == (self.model.pop(key, None) is not None)

    @rule(key=KEYS)
    def promote(self, key: bytes) -> None:
        found = self.engine.read(key)
        if found is not None and found[0].word >> 47 & 1:
            promote(self.engine, *found)

    @rule(forward=st.booleans())
    def reclaim(self, forward: bool) -> None:
        """All that lies in full segments moves to the archive, or forward if it was read."""
        if not (self.warm and self.cold):
            return
        engine = self.engine
        with engine.lock:
            engine.provided(engine.log.roll, 0)
            for _ in range(20):
                reclaim(engine, SEGMENT, forward=forward)
            engine.syncer.free_values()

    @rule(part=st.integers(0, 200_000))
    def reclaim_a_little(self, part: int) -> None:
        if self.warm and self.cold:
            with self.engine.lock:
                self.engine.reclaimer.step(part)
                self.engine.syncer.free_values()

    @rule()
    def flush(self) -> None:
        self.engine.sync()

    @rule(rebuild=st.booleans())
    def reopen(self, rebuild: bool) -> None:
        self.engine.close()
        self.lose_index(rebuild)
        self.open()
        assert self.engine.files.rebuilt == (rebuild and self.has_segments())

    @rule(rebuild=st.booleans())
    def kill(self, rebuild: bool) -> None:
        """Go on with a copy of the files as they are."""
        self.copies += 1
        target = self.root / str(self.copies)
        copy(self.at, target)
        self.engine.close()
        shutil.rmtree(self.at)
        self.at = target
        self.lose_index(rebuild)
        self.open()
        assert self.engine.files.rebuilt == (rebuild and self.has_segments())

    def has_segments(self) -> bool:
        files = self.engine.files
        return any(tier.numbers for tier in (files.warm, files.cold) if tier)

    def lose_index(self, rebuild: bool) -> None:
        for folder in ("l2", "l3"):
            if rebuild:
                (self.at / folder / "index").unlink(missing_ok=True)

    @invariant()
    def holds_the_model(self) -> None:
        if not hasattr(self, "engine"):
            return
        log = self.engine.log
        assert scan.check_index(log) == []
        assert log.warm_entries + log.cold_entries == len(self.model)
        for key, value in self.model.items():
            found = self.engine.read(key)
            assert found is not None, key
            assert found[1] == value, key
        if self.warm:
            assert linked_bytes(self.at / "l2") <= BUDGET
        for values in (self.engine.files.warm_values, self.engine.files.cold_values):
            if values is None:
                continue
            waiting = {number for _until, number in values._doomed}
            for number in values.numbers():
                assert number in waiting or not self.engine.files.is_orphan(values, number)


class ArchiveMachine(LogMachine):
    warm = False


LogMachine.TestCase.settings = settings(stateful_step_count=30)
ArchiveMachine.TestCase.settings = settings(stateful_step_count=25)
TestTiers = LogMachine.TestCase
TestArchive = ArchiveMachine.TestCase
