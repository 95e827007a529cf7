"""Room for what the log needs: segments, index, value files, all within the budgets.

Two laws meet here. A budget is true after every call, and a call that raises has changed nothing.
So what may cost records waits for the commit: before it, a writer takes what it needs (`take`),
beyond the budget where it must; after it, the room is paid for by eviction (`pay`). Only over an
unbounded archive, where making room in L2 loses nothing, is it made before, as it can fail. What
the device refuses to pay is counted, logged and tried again after every put and before the next.
"""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from fastmem._core.layout import PAGE_BYTES
from fastmem._core.log import (
    CHORE_BUCKETS,
    CHORE_OVERFLOW,
    CHORE_PACE,
    CHORE_PAY,
    CHORE_POPULATE,
    COLD,
    NEED_COLD_SEGMENT,
    NEED_LOCK,
    NEED_MAPPING,
    NEED_OVERFLOW,
    NEED_REPAIR,
    NEED_SEGMENT,
    WARM,
    LogNeeds,
)
from fastmem.errors import StoreError
from fastmem.storage.ahead import Ahead
from fastmem.storage.processes import PROCESSES_FILE_BYTES

if TYPE_CHECKING:
    from fastmem.storage.engine import Engine

log_to = logging.getLogger("fastmem.storage")

SILENCE_S = 10.0  # for the same failure
STEP_BYTES = 64 << 10  # of the log that are reclaimed at a time when room is needed
T = TypeVar("T")


class Room:
    """Keeps both tiers within their budgets. What needs files or time runs under the lock."""

    def __init__(
        self, engine: Engine, warm_budget_bytes: int, cold_budget_bytes: int | None
    ) -> None:
        self._engine = engine
        self._files = engine.files
        self._log = engine.log
        self._section, self._lock = engine.section, engine.lock
        self._budgets = (warm_budget_bytes, cold_budget_bytes)
        self.unpaid = False  # the device refused the last payment
        self._again = self._began_cold = False  # a nested put left chores; a cold segment was begun
        self._told_kind: int | None = -1  # the errno that was logged last
        self._told_at = 0.0
        self.ahead = Ahead(engine, self)

    # -- how much there is -------------------------------------------------------------------

    def budget(self, tier: int) -> int | None:
        """A tier's budget in bytes, None when it is unbounded (or not there)."""
        return self._budgets[tier] if self._files.segments(tier) is not None else None

    def used(self, tier: int) -> int:
        """Bytes of a tier's linked files; of value files, those that a record leads to."""
        segments, values = self._files.segments(tier), self._files.values(tier)
        if segments is None or values is None:
            return 0
        return segments.linked_bytes + values.linked_bytes + self._irreducible(tier)

    def _irreducible(self, tier: int) -> int:
        """Bytes that no reclaim gives back: first pages, index, dictionaries."""
        used = PAGE_BYTES + PROCESSES_FILE_BYTES * (tier == self._files.first_tier)
        if tier == COLD and self._engine.cold is not None:
            used += self._engine.cold.dictionaries.linked_bytes
            used += PAGE_BYTES * (tier == self._files.first_tier)
        return used + self._files.index_bytes * (tier == self._files.first_tier)

    def require(self, tier: int, wanted_bytes: int) -> None:
        """StoreError when no reclaim could make `wanted_bytes` fit. Nothing is touched.

        Beside them there must be the segment that the log is in, and one to move on to.
        """
        segments, budget = self._files.segments(tier), self.budget(tier)
        if segments is None or budget is None:
            return
        least = self._irreducible(tier) + 2 * segments.segment_bytes + wanted_bytes
        if least > budget:
            self._refuse(tier, wanted_bytes)

    def _refuse(self, tier: int, wanted_bytes: int) -> None:
        segments = self._files.segments(tier)
        assert segments is not None
        raise StoreError(
            f"no room for {wanted_bytes:,} bytes beside {self.used(tier):,} "
            f"in the budget of {self.budget(tier):,}",
            segments.directory.path,
            errno.ENOSPC,
        )

    # -- before a commit ---------------------------------------------------------------------

    def provided(self, step: Callable[..., T], *args: Any) -> T:
        """Call a compiled step, again and again, until the log has what the step needs."""
        while True:
            try:
                return step(*args)
            except LogNeeds as missing:
                self.provide(missing.what)

    def provide(self, need: int) -> None:
        """Give the log what a step needs. OSError when it cannot be had; nothing changed."""
        self._files.require_open()
        if need == NEED_LOCK:
            self._engine.wait_for_lock()
            return
        if need == NEED_MAPPING:
            self._files.require_mapped()
            return
        if need == NEED_REPAIR:
            raise self._files.moved_tail()
        if need == NEED_SEGMENT and self._files.map_news(WARM, self._files.next_segment(WARM)):
            return  # whoever is at work on files is not waited for
        with self._lock:
            self._section.depth += 1
            try:
                self._files.require_open()
                if need == NEED_OVERFLOW:
                    self._grow("overflow")
                elif need == NEED_SEGMENT:
                    self.add_segment(WARM)
                elif need == NEED_COLD_SEGMENT:
                    self.add_segment(COLD)
                else:
                    raise AssertionError(f"the log needs {need}")
            finally:
                self._section.depth -= 1

    def take(self, tier: int, wanted_bytes: int, *, spare: bool = False) -> None:
        """Let a writer have `wanted_bytes` of files: room is made now if that loses nothing, else
        after the commit. Call it under the lock. StoreError when there cannot be room.

        `spare`: and a segment on top, so that the log can always move on; what is no segment
        leaves that much free. A nested call (section.py) reclaims nothing: the outer one pays.
        """
        self.require(tier, wanted_bytes * spare)
        self.owe()
        segments, cold = self._files.segments(tier), self._files.cold
        budget = self.budget(tier)
        # More than a segment is owed where every put is interrupted before it pays.
        deep = segments and budget and self.used(tier) > budget + segments.segment_bytes
        if self._section.depth > 1 or (not self.unpaid and not deep and self._evicts(tier)):
            return
        try:
            self._drop_dead()
            if self.unpaid and tier == WARM and cold is not None:
                self.make_room(COLD, cold.segment_bytes)  # what reclaim of the warm tier takes
            if spare and segments and not (tier == WARM and self.ahead.spare_bytes()):
                wanted_bytes += segments.segment_bytes
            self.make_room(tier, wanted_bytes)
        except (OSError, MemoryError):
            self.unpaid |= budget is not None and self.used(tier) > budget  # the one moved on to
            raise

    def owe(self) -> None:
        """Let the next `settle` see to the budgets, and to what a failed writer left behind."""
        self._log.chores |= CHORE_PAY

    def _evicts(self, tier: int) -> bool:
        """True when making room in a tier may cost values: nothing unbounded lies below it."""
        return tier == COLD or self._engine.cold is None or self.budget(COLD) is not None

    def add_segment(self, tier: int) -> None:
        """Begin a tier's next segment, unless another call has done so."""
        segments = self._files.segments(tier)
        assert segments is not None
        number = self._files.next_segment(tier)
        if segments.has(number) and self._files.map_segment(tier, number):
            return  # it is there, or another process has begun it
        self.take(tier, segments.segment_bytes)
        if self._log.mapping(tier, number) is not None or number < self._files.tail_segment(tier):
            return  # making room left the tail's segment, and began this one for it
        self.begin_segment(tier, number)

    def _begin_next(self, tier: int) -> None:
        """Begin the segment that the tail goes on to, or map it, whatever that costs."""
        segments, number = self._files.segments(tier), self._files.next_segment(tier)
        assert segments is not None
        if not (segments.has(number) and self._files.map_segment(tier, number)):
            self.begin_segment(tier, number)

    def begin_segment(self, tier: int, number: int) -> None:
        """Begin segment `number`; again, or in the middle of doing so, makes no difference."""
        segments, archive = self._files.segments(tier), self._files.archive
        assert segments is not None
        mapping = segments.create(number)
        self._log.add_segment(tier, number, mapping)
        self._files.note_change()
        uuid, floor = self._files.super.uuid, self._files.version_floor
        while archive is not None and archive.owner() < (uuid, floor()):
            self._files.own_archive()
        self._began_cold |= tier == COLD
        if tier == WARM:
            self.ahead.begin(number, mapping)
            self.ahead.set_pace()
            values = self._files.warm_values
            if self._log.pace_bytes and values is not None:  # reclaim is at work, and syncs
                self._files.take_over(values)

    def _grow(self, name: str) -> None:
        """Double the index or its overflow file, at the cost of records if the budget asks it."""
        self.take(self._files.first_tier, self._files.growth_bytes(name), spare=True)
        self._files.grow(name)

    # -- making room -------------------------------------------------------------------------

    def make_room(self, tier: int, wanted_bytes: int) -> None:
        """Reclaim until `wanted_bytes` more fit in a tier's budget. StoreError when they cannot.

        Call it under the lock. The segment that the log moves on to, so that the tail's can be
        reclaimed, may exceed the budget until that is done.
        """
        segments, values = self._files.segments(tier), self._files.values(tier)
        budget = self.budget(tier)
        if segments is None or values is None or budget is None:
            return
        syncer, reclaimer = self._engine.syncer, self._engine.reclaimer_of(tier)
        syncer.free_values()
        if syncer.has_doomed and self.used(tier) + wanted_bytes > budget:
            syncer.sync()
        while self.used(tier) + wanted_bytes > budget:
            if not self.can_step(tier):
                if self._files.take_over(values):
                    syncer.sync()
                    continue
                if not self.leave_tail(tier, beyond=True):
                    if values.recount():
                        continue
                    self._refuse(tier, wanted_bytes)
            reclaimer.step(STEP_BYTES)
            syncer.free_values()
            if syncer.has_doomed and not self.can_step(tier):
                syncer.sync()  # before giving up: synced values of records just moved

    def can_step(self, tier: int) -> bool:
        """True while there is a segment before the tail's to reclaim."""
        segments = self._files.segments(tier)
        assert segments is not None
        return bool(segments.numbers) and segments.numbers[0] < self._files.tail_segment(tier)

    def leave_tail(self, tier: int, *, beyond: bool) -> bool:
        """Only the tail's segment is left: begin another, so that this one can be reclaimed.

        False when it is empty, or there is no room for another.
        """
        segments, budget = self._files.segments(tier), self.budget(tier)
        assert segments is not None
        while True:
            try:
                return self._log.roll(tier)
            except LogNeeds as missing:
                short = budget is not None and self.used(tier) + segments.segment_bytes > budget
                if missing.what in (NEED_LOCK, NEED_REPAIR):
                    self.provide(missing.what)
                elif short and not beyond:
                    return False
                else:
                    self._begin_next(tier)

    # -- after a commit ----------------------------------------------------------------------

    def do_chores(self) -> None:
        """Do what the log and its writers left for after the commit.

        Nothing here fails the append, which is done: what is refused is counted and tried again.
        """
        try:
            self._take_turn()
        except (OSError, MemoryError) as error:  # another process may be stopped at work on files
            self._log.chores |= CHORE_PAY
            self.unpaid = True
            self.note_failure(error)

    def _take_turn(self) -> None:
        taken: list[bool] = []
        try:
            # Another thread at it will do, but for what is to be paid before returning. One C call
            # takes the lock and notes it: an interrupt comes before both or after both.
            wait = bool(self._log.chores & CHORE_PAY) or self.ahead.lags()
            taken.extend(map(self._lock.acquire, (wait,)))
            if taken[0] and self._section.depth:  # nested: the outer one will do it
                self._again = True
            elif taken[0]:
                self._do_all()
        finally:
            if taken and taken[0]:
                self._lock.release()

    def _do_all(self) -> None:
        self._section.depth += 1
        try:
            self._again = True
            while self._again:
                self._again = False
                for step in (self._do_chores, self._pay):
                    try:
                        if not self._log.closed:  # else the append came before that, and is whole
                            step()
                    except (OSError, MemoryError) as error:
                        self.note_failure(error)
        finally:
            self._section.depth -= 1

    def _do_chores(self) -> None:
        syncer = self._engine.syncer
        if self._files.died:
            self._files.clear_up(self._engine.pass_lock)
        syncer.free_values()
        if self._log.chores & CHORE_PACE:
            self.ahead.reclaim()
        if self._log.chores & CHORE_POPULATE:
            self.ahead.prepare()
        for bit, name in ((CHORE_BUCKETS, "index"), (CHORE_OVERFLOW, "overflow")):
            if self._log.chores & bit:
                self._log.chores &= ~bit
                self._grow(name)

    def _pay(self) -> None:
        """Bring both tiers back within their budgets, after what `take` gave out."""
        if not self._log.chores & CHORE_PAY:
            return
        try:
            waiting = self._engine.large.settle()
            self._drop_dead()
            if self.unpaid:
                self._pay_cold()
            self.make_room(WARM, 0)
            self.ahead.keep()
            self._drop_dead()
            self._pay_cold()
            self._again |= self.used(WARM) > self._engine.warm_budget_bytes  # by tombstones
        except (OSError, MemoryError):
            if self.unpaid:  # as the last time: counted and logged once
                return
            self.unpaid = True
            raise
        self.unpaid = False
        if not waiting and not self._again and not self._files.died:
            self._log.chores &= ~CHORE_PAY

    def _pay_cold(self) -> None:
        if self._files.cold is not None:
            self.make_room(COLD, self._files.cold.segment_bytes)

    def _drop_dead(self) -> None:  # cold segments in which nothing lives
        reclaimer = self._engine.cold_reclaimer
        if self._began_cold and reclaimer is not None and not self._files.detached:
            reclaimer.drop_dead()
        self._began_cold = False

    def fit(self) -> None:
        """After opening: reclaim what a budget smaller than the last one has no room for."""
        self._log.chores |= CHORE_PAY
        self.do_chores()
        self.ahead.set_pace()

    def note_failure(self, error: OSError | MemoryError) -> None:
        """Count what the system refused after a commit, and log it: each kind once in a while, for
        it may be refused again with every put.
        """
        try:
            self._engine.counters[self._files.first_tier].note_failure(error)
            kind, now = getattr(error, "errno", None), time.monotonic()
            if kind != self._told_kind or now > self._told_at + SILENCE_S:
                self._told_kind, self._told_at = kind, now
                log_to.warning("%s: %s", self._files.directory.path, error)
        except MemoryError:
            return  # there is none for that either: it goes uncounted

    # -- checks ------------------------------------------------------------------------------

    def check(self) -> list[str]:
        """Return what is wrong with the budgets, as sentences."""
        problems = []
        for tier, name in ((WARM, "warm"), (COLD, "cold")):
            used, budget = self.used(tier), self.budget(tier)
            if budget is not None and used > budget and not self.unpaid:
                problems.append(f"the {name} tier takes {used:,} bytes of {budget:,}")
        return problems
