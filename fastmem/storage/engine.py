"""The engine of the lower tiers: bytes in, bytes out, over warm and cold segments.

Values and keys are encoded bytes here; no user code runs. What the log asks for, the budgets and
durability are in space.py, the way from a record to its content in contents.py.
"""

from __future__ import annotations

import atexit
import errno
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable

from fastmem._core import scan
from fastmem._core.layout import (
    ALIGNED,
    FORMAT,
    INLINE_LIMIT_BYTES,
    MAC_BYTES,
    POINTER,
    VALUE,
)
from fastmem._core.log import (
    COLD,
    WARM,
    Record,
)
from fastmem.codecs import Authenticator, CodecId, FrameCompressor
from fastmem.errors import (
    ValueTooLargeError,
)
from fastmem.storage.cold import ColdWriter
from fastmem.storage.counters import TierCounters
from fastmem.storage.opening import StoreFiles
from fastmem.storage.prepared import Prepared
from fastmem.storage.reclaim import Reclaimer
from fastmem.storage.segments import segment_bytes_for
from fastmem.storage.space import Space
from fastmem.storage.values import Pointer

log_to = logging.getLogger("fastmem.storage")

MIN_BUDGET_BYTES = 16 << 20
LAST_WALL_NS = (1 << 63) - 1  # the wall clock of records ends in 2262
_ALIGNED_CODECS = frozenset((CodecId.ARRAY, CodecId.PICKLE))

_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


class Engine(Space):
    """Both lower tiers of one memory, or one of them alone. Safe for the threads of one process.

    Appends and reads are single compiled steps. What needs files or time runs under one lock of
    this process (`_lock`), never with user code inside.
    """

    def __init__(
        self,
        warm_path: str | os.PathLike[str] | None,
        cold_path: str | os.PathLike[str] | None,
        *,
        warm_budget_bytes: int = 0,
        cold_budget_bytes: int | None = None,
        durability: str = "process",
        level: int = 3,
        secret_key: bytes | None = None,
        read_only: bool = False,
    ) -> None:
        if durability not in ("process", "disk", "cache"):
            raise ValueError(f'durability must be "process", "disk" or "cache", not {durability!r}')
        for name, path, budget in (
            ("L2", warm_path, warm_budget_bytes),
            ("L3", cold_path, cold_budget_bytes),
        ):
            if path is not None and budget is not None and budget < MIN_BUDGET_BYTES:
                raise ValueError(
                    f"{name} budget of {budget:,} bytes; the smallest is {MIN_BUDGET_BYTES:,}"
                )
        sizing = warm_budget_bytes if warm_path is not None else cold_budget_bytes or 1 << 28
        self.files = StoreFiles(
            warm_path,
            cold_path,
            warm_segment_bytes=segment_bytes_for(warm_budget_bytes),
            cold_segment_bytes=segment_bytes_for(cold_budget_bytes),
            initial_level=min(max((sizing >> 14).bit_length() - 1, 10), 20),
            read_only=read_only,
        )
        self.log = self.files.log
        self.warm_budget_bytes = warm_budget_bytes
        self.cold_budget_bytes = cold_budget_bytes
        self.durability = durability
        self.read_only = read_only
        self.counters = (TierCounters(), TierCounters())
        self.authenticator: Authenticator | None = None
        self._lock = threading.RLock()
        self._sync_failed = False
        self._corrupt_reported: set[int] = set()
        # Keys whose values left the last tier, for an owner that holds copies of them.
        self.dropped_keys: list[bytes] | None = None
        try:
            if not read_only:
                self._refuse_small_budgets()
            if secret_key is not None:
                self.authenticator = Authenticator(secret_key)
            self.frames = FrameCompressor(level)
            self.cold = (
                ColdWriter(self, self.files.cold, self.files.cold_values, self.frames)
                if self.files.cold and self.files.cold_values
                else None
            )
            self.reclaimer = Reclaimer(self)
            if self.files.dropped_records:
                self.counters[self.first_tier].errors["dropped"] += self.files.dropped_records
            if not read_only:
                self._fit_budgets()
                self._set_pace()
        except BaseException:
            self.files.close(clean=False)
            raise
        _engines.add(self)

    def _fit_budgets(self) -> None:
        """Reclaim what a budget smaller than the last one has no room for."""
        try:
            self._make_room(WARM, 0)
            self._make_room(COLD, 0)
        except OSError as error:
            self._note_failure(error)

    def _refuse_small_budgets(self) -> None:
        for segments, budget in (
            (self.files.warm, self.warm_budget_bytes),
            (self.files.cold, self.cold_budget_bytes),
        ):
            if segments and budget is not None and budget < 8 * segments.segment_bytes:
                raise ValueError(
                    f"{segments.directory.path} was made with segments of "
                    f"{segments.segment_bytes:,} bytes; a budget of {budget:,} bytes holds fewer "
                    f"than 8 of them"
                )

    # -- writing -----------------------------------------------------------------------------

    def prepare(self, key: bytes, codec: int, body: bytes, deadline_ns: int) -> Prepared:
        """Make a warm record of encoded bytes; a large body goes to a file of its own first.

        `deadline_ns` is CLOCK_BOOTTIME, 0 = never. ValueTooLargeError when it exceeds half of
        the tier's budget.
        """
        if self.read_only or self.log.closed:
            self.require_writable()
        wall, written_ms, mac, mac_key = self._stamp(key, codec, body, deadline_ns)
        kind, flags = VALUE, ALIGNED if codec in _ALIGNED_CODECS else 0
        if len(body) > INLINE_LIMIT_BYTES:
            body = self._write_value(key, body).pack()
            kind, flags = POINTER, 0
        return Prepared(body + mac, codec, wall, written_ms, kind, flags, mac_key)

    def _stamp(
        self, key: bytes, codec: int, body: bytes, deadline_ns: int
    ) -> tuple[int, int, bytes, int]:
        """(deadline by the wall clock, time of the put, MAC, its key id) of a new record."""
        wall = min(deadline_ns + self.log.wall_offset_ns, LAST_WALL_NS) if deadline_ns else 0
        written_ms = time.time_ns() // 1_000_000
        if self.authenticator is None:
            return wall, written_ms, b"", 0
        mac = self.authenticator.sign(codec, wall, written_ms, key, body)
        return wall, written_ms, mac, self.authenticator.key_id

    @property
    def warm_value_limit(self) -> int:
        """The largest value that the warm tier takes, in encoded bytes."""
        return self.warm_budget_bytes // 2

    def _write_value(self, key: bytes, body: bytes) -> Pointer:
        values = self.files.warm_values
        assert values is not None
        if len(body) > self.warm_value_limit:
            raise ValueTooLargeError(len(body), self.warm_value_limit)
        with self._lock:  # until the file counts: another thread may want the same room
            self.require_writable()
            self._make_room(WARM, values.footprint(len(body) + len(key)), spare=True)
            return values.write(key, body, sync=self.durability == "disk")

    def write_cold_value(self, key: bytes, body: bytes) -> Pointer:
        """Write a large value of the archive to a file of its own, within the archive's budget."""
        values = self.files.cold_values
        assert values is not None
        with self._lock:
            self.require_writable()
            self._make_room(COLD, values.footprint(len(body) + len(key)), spare=True)
            return values.write(key, body, sync=self.durability == "disk")

    def archive_put(
        self,
        key: bytes,
        codec: int,
        body: bytes,
        deadline_ns: int,
        commit: Callable[..., int] | None = None,
    ) -> int:
        """Put encoded bytes straight into the archive. Return the word.

        ``commit(record)`` takes the place of ``log.put_cold(key, *record)`` and may return 0: not
        after all. No lock is held while it runs.
        """
        self.require_writable()
        assert self.cold is not None
        if len(body) > self.cold.value_limit:
            raise ValueTooLargeError(len(body), self.cold.value_limit)
        wall, written_ms, mac, mac_key = self._stamp(key, codec, body, deadline_ns)
        word = self.cold.put(key, body, codec, wall, written_ms, mac, mac_key, commit=commit)
        if word:
            self.settle()
        return word

    def discard(self, prepared: Prepared) -> None:
        """Undo `prepare` for a record that was not appended, if it really was not.

        An exception may have come (KeyboardInterrupt, say) when the append was done already.
        """
        values = self.files.warm_values
        if prepared.kind != POINTER or values is None or self.log.closed:
            return
        number = Pointer.unpack(prepared.body).number
        if self.files.is_orphan(values, number):
            values.remove(number)

    def append(self, key: bytes, prepared: Prepared, expected: int | None = None) -> int:
        """Append a prepared record. Return its word, 0 when `expected` is not current."""
        try:
            word = self.provided(self.log.put, key, *prepared, expected)
        except BaseException:
            self.discard(prepared)
            raise
        if word:
            self.settle()
        else:
            self.discard(prepared)
        return word

    def delete(self, key: bytes) -> bool:
        """Delete a key. True when it was there. Durable as a put is."""
        self.require_writable()
        if self.files.warm is None:
            assert self.cold is not None
            deleted = self.log.seek(key) != 0
            if deleted:
                self.cold.tombstone(key)
        else:
            deleted = self.provided(self.log.delete, key)
        if deleted:
            self.settle()
        return deleted

    def promote(self, record: Record, content: bytes) -> None:
        """Copy a cold record to the warm tail: it is read again and again. A small value only."""
        if self.read_only or self.files.warm is None or len(content) > INLINE_LIMIT_BYTES:
            return
        mac = record.body[-MAC_BYTES:] if record.mac_key else b""
        flags = ALIGNED if record.codec in _ALIGNED_CODECS else 0
        prepared = Prepared(
            content + mac, record.codec, record.deadline_ns, record.written_ms, VALUE, flags,
            record.mac_key,
        )  # fmt: skip
        try:
            self.append(record.key, prepared, expected=record.word)
        except OSError as error:
            self.counters[COLD].errors[errno.errorcode.get(error.errno or 0, "OSError")] += 1
            log_to.warning("not promoted: %s", error)

    # -- counts ------------------------------------------------------------------------------

    def check(self) -> None:
        """Walk index, records, segments and value files. AssertionError names what is wrong."""
        self.log.seek(b"")  # ClosedError after close
        problems = scan.check_index(self.log)
        with self._lock:
            for segments in (self.files.warm, self.files.cold):
                problems += segments.check() if segments else []
            for values in (self.files.warm_values, self.files.cold_values):
                problems += values.check() if values else []
            problems += self.files.super.check()
            for name, used, budget in (
                ("warm", self.warm_bytes, self.warm_budget_bytes),
                ("cold", self.cold_bytes, self.cold_budget_bytes),
            ):
                if budget is not None and used > budget and not self.read_only:
                    problems.append(f"the {name} tier takes {used:,} bytes of {budget:,}")
        if problems:
            raise AssertionError("; ".join(problems[:5]))

    def warm_stats(self) -> dict[str, object]:
        files = self.files
        return {
            "entries": self.log.warm_entries,
            "bytes": self.warm_bytes,
            "budget": self.warm_budget_bytes,
            "files": len(files.warm.numbers) if files.warm else 0,
            "value_files": len(files.warm_values.numbers()) if files.warm_values else 0,
            **self._store_facts(WARM),
            **self.counters[WARM].as_dict(),
        }

    def cold_stats(self) -> dict[str, object]:
        files = self.files
        return {
            "entries": self.log.cold_entries,
            "bytes": self.cold_bytes,
            "budget": self.cold_budget_bytes,
            "files": len(files.cold.numbers) if files.cold else 0,
            "value_files": len(files.cold_values.numbers()) if files.cold_values else 0,
            "dictionaries": list(self.cold.dictionaries.numbers) if self.cold else [],
            "raw_bytes": self.cold.raw_bytes if self.cold else 0,
            "stored_bytes": self.cold.stored_bytes if self.cold else 0,
            **self._store_facts(COLD),
            **self.counters[COLD].as_dict(),
        }

    def _store_facts(self, tier: int) -> dict[str, object]:
        """What is true of the whole store, told with the tier that its first page lies in."""
        if tier != self.first_tier:
            return {}
        files = self.files
        return {
            "format": FORMAT,
            "unsynced_bytes": self.unsynced_bytes,
            "redone_records": files.redone_records,
            "dropped_records": files.dropped_records,
            "rebuilt": files.rebuilt,
        }

    def close(self) -> None:
        """Unmap and unlock. Everything appended stays readable by the next opener. Idempotent."""
        with self._lock:
            if self.log.closed:
                return
            if self.cold is not None:
                self.cold.close()
            clean = self.read_only or self._settle_values()
            if not self.read_only:
                boot_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
                self.files.super.note_time(boot_ns + self.log.wall_offset_ns)
            self.files.close(clean=clean)
        _engines.discard(self)

    def _settle_values(self) -> bool:
        """Unlink the value files that wait for it. False: the next open has to look for them."""
        try:
            self.free_values()
            if self.has_doomed:
                self.sync()
        except OSError as error:
            self._note_failure(error)
        return not self.has_doomed and not self.log.freed

    def note_dropped(self, key: bytes) -> None:
        """Tell the owner that a key's value left the last tier."""
        if self.dropped_keys is not None:
            self.dropped_keys.append(key)

    def __del__(self) -> None:
        # log is missing when the constructor failed, closed after a close and in a forked child.
        log = getattr(self, "log", None)
        if log is not None and not log.closed:
            self.close()

    def abandon(self) -> None:
        """In a forked child: give up without a trace. The parent's lock stays the parent's."""
        self._lock = threading.RLock()  # another thread of the parent may have held it
        self.files.close(clean=False)


def _at_exit() -> None:
    for engine in list(_engines):
        engine.close()


def _after_fork() -> None:
    for engine in list(_engines):
        engine.abandon()
    _engines.clear()


atexit.register(_at_exit)
os.register_at_fork(after_in_child=_after_fork)
