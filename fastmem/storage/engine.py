"""The engine of the lower tiers: bytes in, bytes out, over warm and cold segments.

Values and keys are encoded bytes here; no user code runs. Engine has the verbs, and joins the parts
that do the work, each of which can be read alone:

    membership.Membership        its part among other processes: waiting for them, forks
    opening.StoreFiles           what is open: directories, first pages, segments, value files, log
    contents.Contents            from a record to its value; what is damaged
    viewing.Views                the same without a copy; what views keep mapped
    room.Room                    what an append needs, within the budgets; chores after a commit
    ahead.Ahead                  reclaim, segment and pages ahead of the tail, in bounded pieces
    reclaim.Reclaimer            empties the oldest warm segment: forward, down, or out
    cold_reclaim.ColdReclaimer   empties the oldest cold segment: out
    oldest.OldestSegment         what both do: the walk, the head, the unlinking
    cold.ColdWriter              appends to the archive: frames, dictionaries
    promotion.promote            a cold value that is read again, to the warm tail
    large.LargeWriter            values with a file of their own, of either tier
    syncing.Syncer               what has reached the device; value files that may go

A put is one compiled step (`Log.put`), between `Room.provided`, which gives that step what it asks
for, and `settle`, which does what the step left to do.
"""

from __future__ import annotations

import errno
import logging
import os
import time
import weakref
from collections.abc import Callable

from fastmem._core.direct import stamps
from fastmem._core.drafts import Draft
from fastmem._core.layout import ALIGNED, INLINE_LIMIT_BYTES, POINTER, VALUE
from fastmem._core.log import COLD, WARM
from fastmem.codecs import Authenticator, FrameCompressor
from fastmem.errors import ReadOnlyError, StoreTimeoutError, ValueTooLargeError
from fastmem.storage.budgets import fit_budgets
from fastmem.storage.cold import ColdWriter
from fastmem.storage.cold_reclaim import ColdReclaimer
from fastmem.storage.contents import Contents
from fastmem.storage.counters import TierCounters
from fastmem.storage.figures import tier_figures
from fastmem.storage.large import LargeWriter
from fastmem.storage.membership import Membership
from fastmem.storage.oldest import OldestSegment
from fastmem.storage.opening import StoreFiles
from fastmem.storage.prepared import Stamped
from fastmem.storage.progress import OnProgress
from fastmem.storage.reclaim import Reclaimer
from fastmem.storage.room import Room
from fastmem.storage.section import Section
from fastmem.storage.segments import segment_bytes_for
from fastmem.storage.syncing import Syncer
from fastmem.storage.verification import file_problems, index_problems
from fastmem.storage.viewing import BUFFERED_CODECS, Views

log_to = logging.getLogger("fastmem.storage")

LEAST_BUDGET_BYTES = 16 << 20
TIMEOUT_S = 5.0  # how long another process may keep what this one waits for

_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


class Engine(Membership):
    """Both lower tiers of one memory, or one of them alone. Safe for the threads of one process.

    Appends and reads are single compiled steps. What needs files or time runs under one lock of
    this process (`lock`), never with user code inside.
    """

    _files_type: Callable[..., StoreFiles] = StoreFiles

    def __init__(
        self,
        warm_path: str | os.PathLike[str] | None,
        cold_path: str | os.PathLike[str] | None,
        *,
        warm_budget_bytes: int = 0,
        widen_warm: bool = False,
        cold_budget_bytes: int | None = None,
        durability: str = "process",
        level: int = 3,
        secret_key: bytes | None = None,
        read_only: bool = False,
        timeout_s: float = TIMEOUT_S,
        progress: OnProgress | None = None,
    ) -> None:
        if durability not in ("process", "disk", "cache"):
            raise ValueError(f'durability must be "process", "disk" or "cache", not {durability!r}')
        # What may refuse its argument comes before anything is made on disk.
        frames = FrameCompressor(level)
        self.authenticator = Authenticator(secret_key) if secret_key is not None else None
        sizing = warm_budget_bytes if warm_path is not None else cold_budget_bytes or 1 << 28
        self.files = self._files_type(
            warm_path,
            cold_path,
            warm_segment_bytes=segment_bytes_for(warm_budget_bytes),
            cold_segment_bytes=segment_bytes_for(cold_budget_bytes),
            cold_bounded=cold_budget_bytes is not None,
            initial_level=min(max((sizing >> 14).bit_length() - 1, 10), 20),
            authenticator=self.authenticator,
            read_only=read_only,
            alone=durability == "cache" and not read_only,
            timeout_s=timeout_s,
            progress=progress,
        )
        self._timeout_ns = int(timeout_s * 1e9)
        self.log = self.files.log
        self.durability = durability
        self._waits = durability == "disk"
        self.read_only = self._refuses = read_only
        self.counters = (TierCounters(), TierCounters())
        self.section = Section()
        self.lock = self.section.lock
        self.syncer = Syncer(self.files, self.section)
        self._share_section()
        # Keys whose values left the last tier, for an owner that holds copies of them.
        self.dropped_keys: list[bytes] | None = None
        try:
            self.warm_budget_bytes, self.cold_budget_bytes = fit_budgets(
                self.files, warm_budget_bytes, cold_budget_bytes, widen=widen_warm
            )
            self.contents = Contents(self.files, frames, self.authenticator, self.counters)
            self.read = self.contents.read
            self.views = Views(self.files, self.contents, self.authenticator)
            self.cold: ColdWriter | None = None
            self.cold_reclaimer: ColdReclaimer | None = None
            if self.files.cold and self.files.cold_values:
                self.cold = ColdWriter(self, self.files.cold.directory, frames)
                if self.cold.dictionaries.damaged:
                    self.counters[COLD].errors["dictionary"] += self.cold.dictionaries.damaged
                self.cold_reclaimer = ColdReclaimer(self, self.files.cold, self.files.cold_values)
            self.reclaimer = Reclaimer(self)
            self.large = LargeWriter(self)
            self.room = Room(self, self.warm_budget_bytes, cold_budget_bytes)
            self.provided = self.room.provided
            if self.files.dropped_records:
                tier = self.files.first_tier
                self.counters[tier].errors["dropped"] += self.files.dropped_records
        except BaseException:
            self.files.give_up()
            raise
        try:
            if not read_only:
                self.room.fit()
        except BaseException:
            self.files.close(clean=False)
            raise
        _engines.add(self)

    def require_writable(self) -> None:
        """ReadOnlyError when opened so, ClosedError after close; in "disk", StoreError after a sync
        that failed: what is put from then on could not be promised.
        """
        self.files.require_open()
        if self.read_only:
            path = self.files.directory.path
            raise ReadOnlyError("opened with read_only=True", path, errno.EROFS)
        if self._refuses:
            self.syncer.refuse()

    # -- writing -----------------------------------------------------------------------------

    def put(
        self,
        key: bytes,
        codec: int,
        body: bytes,
        deadline_ns: int,
        commit: Callable[[Draft], bool] | None = None,
    ) -> bool:
        """Put encoded bytes into the warm tier. True when done.

        `deadline_ns` is CLOCK_BOOTTIME, 0 = never. ``commit(record)`` takes the place of
        ``log.put(key, record)`` and may return False: not after all. No lock is held meanwhile.
        A large body goes to a file of its own first; ValueTooLargeError when it exceeds half of the
        budget, OSError when there is no room: nothing has changed.
        """
        if self._refuses:
            self.require_writable()
        wall, written_ms, mac, mac_key = self._stamp(key, codec, body, deadline_ns)
        if len(body) > INLINE_LIMIT_BYTES:
            stamped = Stamped(body, codec, wall, written_ms, mac, mac_key)
            done = self._put_large(key, stamped, commit)
        else:
            flags = ALIGNED if codec in BUFFERED_CODECS else 0
            record = Draft(body + mac, codec, wall, written_ms, VALUE, flags, mac_key)
            if commit is None:
                done = self.provided(self.log.put, key, record)
            else:
                done = self.provided(commit, record)
        if done and (self.log.chores or self.log.freed or self._waits):
            self.settle()
        return done

    def _put_large(
        self, key: bytes, stamped: Stamped, commit: Callable[[Draft], bool] | None
    ) -> bool:
        """Put a value with a file of its own."""
        body, codec, wall, written_ms, mac, mac_key = stamped
        if len(body) > self.warm_value_limit:
            raise ValueTooLargeError(len(body), self.warm_value_limit)
        step = commit or (lambda record: self.log.put(key, record))

        def append(pointer: bytes) -> bool:
            record = Draft(pointer + mac, codec, wall, written_ms, POINTER, 0, mac_key)
            return self.provided(step, record)

        return self.large.append(WARM, key, body, append)

    def _stamp(
        self, key: bytes, codec: int, body: bytes, deadline_ns: int
    ) -> tuple[int, int, bytes, int]:
        """(deadline by the wall clock, time of the put, MAC, its key id) of a new record."""
        wall, written_ms = stamps(self.log, deadline_ns)
        if self.authenticator is None:
            return wall, written_ms, b"", 0
        mac = self.authenticator.sign(codec, wall, written_ms, key, body)
        return wall, written_ms, mac, self.authenticator.key_id

    @property
    def warm_value_limit(self) -> int:
        """The largest value that the warm tier takes, in encoded bytes."""
        return self.warm_budget_bytes // 2

    def archive_put(
        self,
        key: bytes,
        codec: int,
        body: bytes,
        deadline_ns: int,
        commit: Callable[[Draft], bool] | None = None,
    ) -> bool:
        """Put encoded bytes straight into the archive. True when done.

        `commit` as for `put`, in place of ``log.put_cold(key, record)``.
        """
        self.require_writable()
        assert self.cold is not None
        if len(body) > self.cold.value_limit:
            raise ValueTooLargeError(len(body), self.cold.value_limit)
        wall, written_ms, mac, mac_key = self._stamp(key, codec, body, deadline_ns)
        stamped = Stamped(body, codec, wall, written_ms, mac, mac_key)
        done = self.cold.put(key, stamped, commit=commit)
        if done:
            self.settle()
        return done

    def delete(self, key: bytes, expected: int | None = None) -> bool:
        """Delete a key, if `expected` (when given) is its word. True when it was there, and is not
        any more. Durable as a put is.
        """
        self.require_writable()
        if self.files.warm is None:
            assert self.cold is not None
            deleted = self.cold.erase(key, expected)
        else:
            deleted = self.provided(self.log.delete, key, expected)
        if deleted:
            self.settle()
        return deleted

    def settle(self) -> None:
        """After an append: do the chores it left and, in "disk", wait for the device."""
        if self.log.chores or self.log.freed:
            self.room.do_chores()
        if self._waits:
            try:
                self.syncer.sync_done()
            except StoreTimeoutError as error:  # no device has refused anything
                raise StoreTimeoutError(
                    f"the change is done and seen, but not synced yet, which the next one or a "
                    f"flush() makes up for: {error.strerror}",
                    self.files.directory.path,
                ) from error
            except OSError:
                self._refuses = True
                raise
            self._do_chores_of_nested()

    def sync(self) -> None:
        """Make everything appended so far survive power loss. See `Syncer.sync`."""
        self.syncer.sync()
        self._do_chores_of_nested()

    def _do_chores_of_nested(self) -> None:
        """Those of puts that came in the middle of a sync, and were left to whom they came to."""
        if self.log.chores:
            self.room.do_chores()

    def reclaimer_of(self, tier: int) -> OldestSegment:
        if tier == WARM:
            return self.reclaimer
        assert self.cold_reclaimer is not None
        return self.cold_reclaimer

    # -- counts ------------------------------------------------------------------------------

    def check(self) -> None:
        """Walk index, records, segments and value files. AssertionError names what is wrong; with
        other threads at work perhaps only what they have begun.
        """
        if problems := [*index_problems(self), *file_problems(self)]:
            raise AssertionError("; ".join(problems[:5]))

    @property
    def warm_bytes(self) -> int:
        """Bytes of linked files of the warm tier, index and value files included."""
        return self.room.used(WARM)

    @property
    def cold_bytes(self) -> int:
        """Bytes of linked files of the cold tier."""
        return self.room.used(COLD)

    def stats(self, tier: int) -> dict[str, object]:
        """Entries, bytes of files, budget and counts of one tier."""
        return tier_figures(self, tier)

    def close(self) -> None:
        """Unmap and unlock. Everything appended stays readable by the next opener. Idempotent."""
        if self.files.closed:
            return
        if self.leave_parent():
            return
        if self.files.super.is_lost():
            self.abandon()
            return
        if self.cold is not None and not self.section.depth:
            self.cold.close()  # first: what trains a dictionary goes to work on files itself
        try:
            with self.lock:
                self._close()
        except StoreTimeoutError:  # another process was stopped at work on its files
            self.files.close(clean=False)
        self.views.close()
        self.lock.unshare()
        self.syncer.lead.unshare()
        _engines.discard(self)

    def _close(self) -> None:
        if self.files.closed:
            return
        self.section.refuse_nested("close()")
        if not self.read_only and not self.log.closed:
            self._clear_up()
        # A closed log: this is a second call, after an interrupt in the first.
        clean = not self.log.closed and (self.read_only or self.large.finish())
        if not self.read_only and not self.log.closed:
            self.files.super.note_time(
                time.clock_gettime_ns(time.CLOCK_BOOTTIME) + self.log.wall_offset_ns
            )
        with self.syncer.last_turn():
            self.files.close(clean=clean)

    def __del__(self) -> None:
        # log is missing when the constructor failed, closed after a close and in a forked child.
        log = getattr(self, "log", None)
        if log is not None and not self.files.closed:
            self.hurry()
            self.close()


def close_at_exit() -> None:
    """Called by the package when the interpreter ends."""
    for engine in list(_engines):
        try:
            engine.close()
        except Exception:
            log_to.exception("%s: not closed at exit", engine.files.directory.path)


def _after_fork() -> None:
    for engine in list(_engines):
        engine.inherit()


os.register_at_fork(after_in_child=_after_fork)
