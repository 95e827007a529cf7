"""The engine of the lower tiers: bytes in, bytes out, over warm and cold segments.

It provides what the log asks for (segments, index room), keeps the budgets, makes things durable
and turns records into contents. Values and keys are encoded bytes here; no user code runs.
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
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from fastmem._core.log import (
    FORMAT,
    INLINE_LIMIT_BYTES,
    MAC_BYTES,
    PAGE_BYTES,
    UNIT_BYTES,
    LogNeeds,
    Record,
)
from fastmem.codecs import Authenticator, CodecId, FrameCompressor
from fastmem.errors import (
    ClosedError,
    CorruptRecordError,
    ReadOnlyError,
    SerializationError,
    StoreError,
    ValueTooLargeError,
)
from fastmem.storage.cold import ColdWriter
from fastmem.storage.counters import TierCounters
from fastmem.storage.opening import StoreFiles
from fastmem.storage.reclaim import Reclaimer
from fastmem.storage.segments import COLD, WARM, segment_bytes_for
from fastmem.storage.values import Pointer, ValueFiles

log_to = logging.getLogger("fastmem.storage")

VALUE, TOMBSTONE, POINTER = 1, 2, 4
COMPRESSED, ALIGNED, COLD_FLAG = 2, 4, 8
NEED_SEGMENT, NEED_OVERFLOW, NEED_COLD_SEGMENT = 1, 2, 3
CHORE_BUCKETS, CHORE_OVERFLOW, CHORE_PACE, CHORE_POPULATE = 1, 2, 4, 8
TIER_BIT, LOCATION_MASK = 1 << 47, (1 << 46) - 1
MIN_BUDGET_BYTES = 16 << 20
LAST_WALL_NS = (1 << 63) - 1  # the wall clock of records ends in 2262
POPULATE_BYTES = 512 << 10
T = TypeVar("T")
_ALIGNED_CODECS = frozenset((CodecId.ARRAY, CodecId.PICKLE))

_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


class Prepared(NamedTuple):
    """A warm record ready to append: the arguments of `Log.put` after the key."""

    body: bytes
    codec: int
    deadline_ns: int
    written_ms: int
    kind: int
    flags: int
    mac_key: int


class Engine:
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
                self.counters[WARM].errors["dropped"] += self.files.dropped_records
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

    def require_writable(self) -> None:
        """ReadOnlyError when opened so, ClosedError after close."""
        if self.log.closed:
            raise ClosedError("the store is closed")
        if self.read_only:
            path = self.files.directory.path
            raise ReadOnlyError("opened with read_only=True", path, errno.EROFS)

    # -- writing -----------------------------------------------------------------------------

    def prepare(self, key: bytes, codec: int, body: bytes, deadline_ns: int) -> Prepared:
        """Make a warm record of encoded bytes; a large body goes to a file of its own first.

        `deadline_ns` is CLOCK_BOOTTIME, 0 = never. ValueTooLargeError when it exceeds half of
        the tier's budget.
        """
        if self.read_only or self.log.closed:
            self.require_writable()
        wall = min(deadline_ns + self.log.wall_offset_ns, LAST_WALL_NS) if deadline_ns else 0
        written_ms = time.time_ns() // 1_000_000
        mac = b""
        if self.authenticator is not None:
            mac = self.authenticator.sign(codec, wall, written_ms, key, body)
        kind, flags = VALUE, ALIGNED if codec in _ALIGNED_CODECS else 0
        if len(body) > INLINE_LIMIT_BYTES:
            body = self._write_value(key, body).pack()
            kind, flags = POINTER, 0
        mac_key = self.authenticator.key_id if self.authenticator is not None else 0
        return Prepared(body + mac, codec, wall, written_ms, kind, flags, mac_key)

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
        wall = min(deadline_ns + self.log.wall_offset_ns, LAST_WALL_NS) if deadline_ns else 0
        written_ms = time.time_ns() // 1_000_000
        mac, mac_key = b"", 0
        if self.authenticator is not None:
            mac = self.authenticator.sign(codec, wall, written_ms, key, body)
            mac_key = self.authenticator.key_id
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

    def settle(self) -> None:
        """After an append: do the chores the log asks for and, in "disk", wait for the device."""
        if self.log.chores or self.log.freed:
            self._do_chores()
        if self.durability == "disk":
            self.sync()

    # -- providing ---------------------------------------------------------------------------

    def provided(self, step: Callable[..., T], *args: Any) -> T:
        """Call a compiled step, again and again, until the log has what the step needs."""
        while True:
            try:
                return step(*args)
            except LogNeeds as missing:
                self.provide(missing.what)

    def provide(self, need: int) -> None:
        """Give the log what an append needs. OSError when it cannot be had; nothing changed."""
        with self._lock:
            if self.log.closed:
                raise ClosedError("the store is closed")
            if need == NEED_OVERFLOW:
                self._grow("overflow")
            elif need == NEED_COLD_SEGMENT:
                assert self.cold is not None
                self.cold.add_segment()
            elif need == NEED_SEGMENT:
                self._add_segment()
            else:
                raise AssertionError(f"the log needs {need}")

    def _grow(self, name: str) -> None:
        """Double the index or its overflow file, at the cost of records if the budget asks it."""
        tier = COLD if self.files.warm is None else WARM
        self._make_room(tier, self.files.growth_bytes(name), spare=True)
        self.files.grow(name)

    def _make_room(self, tier: int, wanted_bytes: int, *, spare: bool = False) -> None:
        """Reclaim until `wanted_bytes` more fit in a tier's budget. StoreError when they cannot.

        `spare`: and a segment on top, so that the log can always move on; what is no segment
        leaves that much free.
        """
        if tier == WARM and self.files.warm is not None:
            self.reclaimer.make_room(wanted_bytes + spare * self.files.warm.segment_bytes)
        elif tier == COLD and self.cold is not None:
            self.cold.make_room(wanted_bytes, spare=spare)

    def tail_segment(self) -> int:
        """The number of the warm segment that the tail lies in (or would)."""
        assert self.files.warm is not None
        return self.files.super.get("tail") // self.files.warm.segment_units

    def _add_segment(self) -> None:
        segments = self.files.warm
        assert segments is not None
        number = self.tail_segment()
        if self.log.mapping(WARM, number) is not None:
            number += 1
            if self.log.mapping(WARM, number) is not None:
                return  # another thread was here first
        self._make_room(WARM, segments.segment_bytes)
        if self.log.mapping(WARM, number) is not None:
            return  # making room left the tail's segment, and began this one for it
        mapping = segments.create(number, sync=self.durability == "disk")
        self.log.add_segment(WARM, number, mapping)
        self.log.populate_mark = 0
        if self.files.archive is not None:
            self.files.archive.own(self.files.super.uuid, self.files.version_floor())
        self._set_pace()

    def _set_pace(self) -> None:
        """Reclaim a little with every few puts once the budget is nearly full."""
        segments = self.files.warm
        if segments is not None:
            near = self.warm_bytes + 3 * segments.segment_bytes > self.warm_budget_bytes
            self.log.pace_bytes = segments.segment_bytes // 64 if near else 0

    @property
    def warm_bytes(self) -> int:
        """Bytes of linked files of the warm tier, index and value files included."""
        if self.files.warm is None or self.files.warm_values is None:
            return 0
        return (
            self.files.warm.linked_bytes
            + self.files.warm_values.linked_bytes
            + self.files.index_bytes
            + PAGE_BYTES
        )

    @property
    def cold_bytes(self) -> int:
        """Bytes of linked files of the cold tier."""
        if self.files.cold is None or self.files.cold_values is None:
            return 0
        index = self.files.index_bytes + PAGE_BYTES if self.files.warm is None else 0
        return (
            self.files.cold.linked_bytes
            + self.files.cold_values.linked_bytes
            + self.cold_extra_bytes
            + index
            + PAGE_BYTES
        )

    @property
    def cold_extra_bytes(self) -> int:
        """Bytes of the archive's dictionaries."""
        return self.cold.dictionaries.linked_bytes if self.cold else 0

    def _do_chores(self) -> None:
        if not self._lock.acquire(blocking=False):
            return  # another thread is at it
        try:
            if self.log.closed:
                return  # the append came before that, and is whole
            self.free_values()
            chores = self.log.chores
            if chores & CHORE_PACE:
                self.reclaimer.step(2 * self.log.take_appended())
                self.free_values()
                self._set_pace()
            if chores & CHORE_POPULATE:
                self._populate()
            for bit, name in ((CHORE_BUCKETS, "index"), (CHORE_OVERFLOW, "overflow")):
                if self.log.chores & bit:
                    self.log.chores &= ~bit
                    self._grow(name)
        except OSError as error:
            # The append is done; what could not be done now is tried again when it must be.
            self._note_failure(error)
        finally:
            self._lock.release()

    def _note_failure(self, error: OSError) -> None:
        self.counters[WARM].errors[errno.errorcode.get(error.errno or 0, "OSError")] += 1
        log_to.warning("%s: %s", self.files.directory.path, error)

    def _populate(self) -> None:
        """Fault in the pages ahead of the tail in large steps: seven times cheaper than singly."""
        segments = self.files.warm
        self.log.chores &= ~CHORE_POPULATE
        if segments is None:
            return
        tail = self.files.super.get("tail")  # once: other threads move it meanwhile
        number = tail // segments.segment_units
        start = number * segments.segment_units
        offset = (tail - start) * UNIT_BYTES
        mapping = self.log.mapping(WARM, number)
        if mapping is None or mapping.size < segments.segment_bytes:
            self.log.populate_mark = (number + 1) * segments.segment_units
            return
        length = min(POPULATE_BYTES, segments.segment_bytes - (offset & -4096))
        mapping.populate(offset & -4096, length)
        self.log.populate_mark = start + ((offset & -4096) + length) // UNIT_BYTES

    def free_values(self) -> None:
        """Unlink the value files whose records were replaced, once that cannot be undone."""
        super_ = self.files.super
        while self.log.freed:
            entry = self.log.freed[0]
            word = int.from_bytes(entry[:8], "little")
            values = self.files.cold_values if word & TIER_BIT else self.files.warm_values
            assert values is not None
            number = Pointer.unpack(entry[8:]).number
            synced = super_.get("cold_synced" if word & TIER_BIT else "synced")
            if word & LOCATION_MASK >= synced and self.durability != "disk":
                values.doom(number, 0)  # its record was never promised to survive power loss
            else:
                values.doom(number, super_.get("tail"))
            del self.log.freed[0]  # last: an interrupt before it does all of this again
        self._reap()

    def _reap(self) -> None:
        for values in (self.files.warm_values, self.files.cold_values):
            if values is not None:
                values.reap(self.files.super.get("synced"))

    @property
    def has_doomed(self) -> bool:
        """True while value files wait for a sync before they can go."""
        return any(
            values.doomed for values in (self.files.warm_values, self.files.cold_values) if values
        )

    # -- reading -----------------------------------------------------------------------------

    def read(self, key: bytes) -> tuple[Record, bytes] | None:
        """Return a key's record and its content (the encoded value), or None.

        None is also what a corrupt record gives: counted, and logged once for each place.
        """
        last_word = 0
        while True:
            record = self.log.get(key)
            if record is None:
                if len(self.log.corrupt_places) != len(self._corrupt_reported):
                    self._report_corrupt()
                return None
            if record.kind == VALUE and not (
                record.mac_key or record.flags & COMPRESSED or self.authenticator
            ):
                return record, record.body
            try:
                return record, self.content(record)
            except FileNotFoundError:
                if record.word == last_word:
                    self.note_lost(record, "its value file is missing")
                    return None
                last_word = record.word  # replaced between the two steps, surely: look again
            except (CorruptRecordError, SerializationError) as error:
                self.note_lost(record, str(error))
                return None

    def content(self, record: Record) -> bytes:
        """The encoded value of a record: fetched, decompressed, authenticated.

        CorruptRecordError, SerializationError (a damaged frame) or FileNotFoundError.
        """
        body = record.body
        if record.mac_key:
            body, mac = body[:-MAC_BYTES], body[-MAC_BYTES:]
        if record.kind == POINTER:
            values = self._values(record)
            body = values.read(record.key, Pointer.unpack(body))
        if record.flags & COMPRESSED:
            body = self.frames.decompress(body, record.dictionary, record.raw_len)
        if self.authenticator is not None and not (
            record.mac_key == self.authenticator.key_id
            and self.authenticator.verify(
                mac, record.codec, record.deadline_ns, record.written_ms, record.key, body
            )
        ):
            path, offset = self.place(record.word)
            raise CorruptRecordError("record without a valid MAC", path, offset)
        return body

    def _values(self, record: Record) -> ValueFiles:
        values = self.files.cold_values if record.word & TIER_BIT else self.files.warm_values
        assert values is not None
        return values

    def place(self, word: int) -> tuple[Path, int]:
        """The file and the offset in it that a word leads to."""
        segments = self.files.cold if word & TIER_BIT else self.files.warm
        if segments is None:  # a damaged slot
            return self.files.directory.path / "index", 0
        number, units = divmod(word & LOCATION_MASK, segments.segment_units)
        return segments.directory.path / segments.name(number), units * UNIT_BYTES

    def note_lost(self, record: Record, reason: str) -> None:
        """Count and log a record whose value cannot be had."""
        tier = COLD if record.word & TIER_BIT else WARM
        self.counters[tier].errors["corrupt"] += 1
        path, offset = self.place(record.word)
        log_to.warning("%s", CorruptRecordError(reason, path, offset))

    def _report_corrupt(self) -> None:
        for word in self.log.corrupt_places - self._corrupt_reported:
            self._corrupt_reported.add(word)
            tier = COLD if word & TIER_BIT else WARM
            self.counters[tier].errors["corrupt"] += 1
            path, offset = self.place(word)
            log_to.warning("%s", CorruptRecordError("record does not validate", path, offset))

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

    def deadline_of(self, record: Record) -> int:
        """A record's deadline as CLOCK_BOOTTIME nanoseconds, 0 = never."""
        return record.deadline_ns - self.log.wall_offset_ns if record.deadline_ns else 0

    # -- counts ------------------------------------------------------------------------------

    def warm_stats(self) -> dict[str, object]:
        files = self.files
        return {
            "entries": self.log.warm_entries,
            "bytes": self.warm_bytes,
            "budget": self.warm_budget_bytes,
            "files": len(files.warm.numbers) if files.warm else 0,
            "value_files": len(files.warm_values.numbers()) if files.warm_values else 0,
            "format": FORMAT,
            "unsynced_bytes": UNIT_BYTES * (files.super.get("tail") - files.super.get("synced")),
            "redone_records": files.redone_records,
            "dropped_records": files.dropped_records,
            "rebuilt": files.rebuilt,
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
            **self.counters[COLD].as_dict(),
        }

    # -- durability --------------------------------------------------------------------------

    def sync(self) -> None:
        """Make everything appended so far survive power loss; concurrent callers share one wait.

        After a failure nothing here is promised again: the pages count as clean, so a retry
        would lie. Every later call raises until the store is opened anew.
        """
        end, cold_end = self._ends()
        with self._lock:  # reclaim must not move a record past what is being synced
            ended = self._ends()
            super_ = self.files.super
            if super_.get("synced") >= end and super_.get("cold_synced") >= cold_end:
                self._reap()
                return
            if self._sync_failed:
                raise StoreError(
                    "an earlier sync failed; reopen the store", self.files.directory.path
                )
            end, cold_end = ended
            try:
                self._sync_range(COLD, super_.get("cold_synced"), cold_end)
                self._sync_range(WARM, super_.get("synced"), end)
            except OSError:
                self._sync_failed = True
                raise
            super_.set("synced", end)
            super_.set("cold_synced", cold_end)
            self._reap()

    def _ends(self) -> tuple[int, int]:
        if self.log.closed:
            raise ClosedError("the store is closed")
        return self.files.super.get("tail"), self.files.super.get("cold_tail")

    def _sync_range(self, tier: int, start: int, end: int) -> None:
        segments = self.files.cold if tier == COLD else self.files.warm
        values = self.files.cold_values if tier == COLD else self.files.warm_values
        if segments is None or values is None:
            return
        values.sync()
        units = segments.segment_units
        for number in list(segments.numbers):
            first = max(start - number * units, 0)
            last = min(end - number * units, units)
            mapping = self.log.mapping(tier, number)
            if first < last and mapping is not None:
                mapping.sync(first * UNIT_BYTES, (last - first) * UNIT_BYTES)
        if self.durability != "disk":
            segments.directory.sync()

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
