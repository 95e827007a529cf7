"""The cold side of the engine: demotion into the archive's segments, dictionaries, its budget."""

from __future__ import annotations

import contextlib
import errno
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from fastmem._core import scan
from fastmem._core.layout import (
    COLD_SEAL_UNITS,
    COMPRESSED,
    HEADER_UNITS,
    INLINE_LIMIT_BYTES,
    LOCATION_MASK,
    MAC_BYTES,
    POINTER,
    TOMBSTONE,
    VALUE,
)
from fastmem._core.log import COLD, LogNeeds, Record
from fastmem.codecs import FrameCompressor
from fastmem.errors import CorruptRecordError, SerializationError, StoreError
from fastmem.storage.dictionaries import Dictionaries
from fastmem.storage.segments import Segments
from fastmem.storage.values import Pointer, ValueFiles

if TYPE_CHECKING:
    from fastmem.storage.engine import Engine

log_to = logging.getLogger("fastmem.storage")


class ColdWriter:
    """Appends to the cold log: moved records, an archive's own puts, and tombstones.

    Each value is one zstd frame (with the newest dictionary), or raw where that saves nothing;
    large ones lie in files of their own.
    """

    def __init__(
        self, engine: Engine, segments: Segments, values: ValueFiles, frames: FrameCompressor
    ) -> None:
        self._engine = engine
        self._segments = segments
        self._values = values
        self._frames = frames
        # Of the values archived by this process, before and after compression.
        self.raw_bytes = 0
        self._cursor = 0
        self._damaged = False
        self.stored_bytes = 0
        self.dictionaries = Dictionaries(segments.directory, frames, read_only=engine.read_only)

    def demote(self, record: Record) -> bool:
        """Move a live warm record into the archive. False when it was replaced meanwhile."""
        try:
            content = self._engine.content(record)
        except (CorruptRecordError, SerializationError, FileNotFoundError) as error:
            self._engine.note_lost(record, str(error))
            if self._engine.log.remove(record.key, record.word):
                self._engine.note_dropped(record.key)
            return False
        mac = record.body[-MAC_BYTES:] if record.mac_key else b""
        return self.put(
            record.key, content, record.codec, record.deadline_ns, record.written_ms,
            mac, record.mac_key, expected=record.word,
        ) != 0  # fmt: skip

    def put(
        self,
        key: bytes,
        content: bytes,
        codec: int,
        deadline_ns: int,
        written_ms: int,
        mac: bytes,
        mac_key: int,
        expected: int | None = None,
        commit: Callable[..., int] | None = None,
    ) -> int:
        """Append a value to the archive. Return its word; 0 when `expected` is not current.

        `commit`: as for `Engine.archive_put`.
        """
        dictionary = self.dictionaries.current
        self.dictionaries.sample(content)
        frame = self._frames.compress(content, dictionary)
        flags = 0 if frame is None else COMPRESSED
        body = content if frame is None else frame
        kind = VALUE
        written: int | None = None
        if len(body) > INLINE_LIMIT_BYTES:
            pointer = self._engine.write_cold_value(key, body)
            body, kind, written = pointer.pack(), POINTER, pointer.number
        try:
            word = self._append(
                key, body + mac, codec, deadline_ns, written_ms, kind, flags, mac_key,
                dictionary if flags else 0, min(len(content), 0xFFFFFFFF), expected, commit,
            )  # fmt: skip
        except BaseException:  # an interrupt, perhaps, when the append was done already
            if written is not None and self._engine.files.is_orphan(self._values, written):
                self._values.remove(written)
            raise
        if word:
            self.raw_bytes += len(content)
            self.stored_bytes += len(content if frame is None else frame)
        elif written is not None:
            self._values.remove(written)
        return word

    def tombstone(self, key: bytes) -> None:
        """Delete the key, and append a tombstone so that no older copy returns at a rebuild."""
        self._append(key, b"", 0, 0, 0, TOMBSTONE, 0, 0, 0, 0, None)

    def shadow(self, key: bytes, version: int) -> None:
        """Append a tombstone of an old version, so that none older returns at a rebuild."""
        self._engine.provided(self._engine.log.shadow, key, version, int(time.time()) & 0xFFFFFFFF)

    def _append(
        self, key: bytes, body: bytes, codec: int, deadline_ns: int, written_ms: int, kind: int,
        flags: int, mac_key: int, dictionary: int, raw_len: int, expected: int | None,
        commit: Callable[..., int] | None = None,
    ) -> int:  # fmt: skip
        engine = self._engine
        record = (
            body, codec, deadline_ns, written_ms, kind, flags, mac_key, dictionary, raw_len,
            int(time.time()) & 0xFFFFFFFF, expected,
        )  # fmt: skip
        if commit is not None:
            return engine.provided(commit, record)
        return engine.provided(engine.log.put_cold, key, *record)

    # -- space -------------------------------------------------------------------------------

    @property
    def value_limit(self) -> int:
        """The largest value the archive takes, in encoded bytes."""
        budget = self._engine.cold_budget_bytes
        return 0xFFFFFFFF if budget is None else budget // 2

    def add_segment(self) -> None:
        """Begin the next cold segment; within a budget, at the cost of the oldest."""
        engine = self._engine
        number = engine.files.super.get("cold_tail") // self._segments.segment_units
        if engine.log.mapping(COLD, number) is not None:
            number += 1
            if engine.log.mapping(COLD, number) is not None:
                return
        self.make_room(self._segments.segment_bytes, spare=False)
        if engine.log.mapping(COLD, number) is not None:
            return  # making room left the tail's segment, and began this one for it
        mapping = self._segments.create(number, sync=engine.durability == "disk")
        engine.log.add_segment(COLD, number, mapping)
        if engine.files.archive is not None:
            engine.files.archive.own(engine.files.super.uuid, engine.files.version_floor())
        while len(self._segments.numbers) > 1 and self._is_dead(self._segments.numbers[0]):
            oldest = self._segments.numbers[0]
            while self._segments.numbers[0] == oldest:
                self._evict_next()

    def _is_dead(self, number: int) -> bool:
        """True when nothing in a segment is live. Stops at the first record that is."""
        if number >= self._tail_segment():
            return False
        at = number * self._segments.segment_units + HEADER_UNITS
        record, at = scan.next_record(self._engine.log, COLD, at)
        while record is not None and not record.live and at % self._segments.segment_units:
            record, at = scan.next_record(self._engine.log, COLD, at)
        return record is None or not record.live

    def make_room(self, wanted_bytes: int, *, spare: bool) -> None:
        """Evict, oldest first, until `wanted_bytes` more (and `spare` a segment) fit in the budget.

        Call it under the engine's lock. StoreError when they cannot.
        """
        engine = self._engine
        budget = engine.cold_budget_bytes
        if budget is None:
            return
        wanted_bytes += spare * self._segments.segment_bytes
        engine.free_values()
        if engine.has_doomed and engine.cold_bytes + wanted_bytes > budget:
            engine.sync()
        while engine.cold_bytes + wanted_bytes > budget:
            if not self._segments.numbers or (
                self._segments.numbers[0] >= self._tail_segment() and not self._leave_tail()
            ):
                raise StoreError(
                    f"no room for {wanted_bytes:,} bytes in the archive's budget",
                    self._segments.directory.path,
                    errno.ENOSPC,
                )
            self._evict_next()

    def _tail_segment(self) -> int:
        return self._engine.files.super.get("cold_tail") // self._segments.segment_units

    def _leave_tail(self) -> bool:
        """Only the tail's segment is left: begin another. False when there is no room for it."""
        engine = self._engine
        try:
            return engine.log.roll(COLD)
        except LogNeeds:
            budget = engine.cold_budget_bytes or 0
            if engine.cold_bytes + self._segments.segment_bytes > budget:
                return False
            mapping = self._segments.create(
                self._tail_segment() + 1, sync=engine.durability == "disk"
            )
            engine.log.add_segment(COLD, self._segments.numbers[-1], mapping)
            return engine.log.roll(COLD)

    def _evict_next(self) -> None:
        """Evict the next record of the oldest segment; unlink the segment after its last."""
        engine = self._engine
        number = self._segments.numbers[0]
        first = number * self._segments.segment_units
        if not first <= self._cursor < first + self._segments.segment_units:
            self._cursor = first + HEADER_UNITS
            self._damaged = False
        record, after = scan.next_record(engine.log, COLD, self._cursor)
        if record is None:
            self._damaged |= after - self._cursor > COLD_SEAL_UNITS
            self._unlink_oldest()
            return
        self._damaged |= record.word & LOCATION_MASK != self._cursor
        if record.kind == TOMBSTONE:
            self._keep_shadow(record)
        elif record.live and self._evict(record):
            engine.counters[COLD].evictions["size"] += 1
            engine.note_dropped(record.key)
            if record.kind == POINTER and record.body is not None:
                self._values.remove(Pointer.unpack(record.body).number)
        self._cursor = after
        if after % self._segments.segment_units == 0:
            self._unlink_oldest()

    def _evict(self, record: Record) -> bool:
        """Take a record out of the index. False when it was replaced meanwhile."""
        self._keep_shadow(record)
        return self._engine.log.remove(record.key, record.word)

    def _keep_shadow(self, record: Record) -> None:
        """What leaves the archive may be newer than a copy in the warm log (a value that went
        straight to the archive): a tombstone keeps that copy dead.

        Not if the tombstone needs another segment, which would have to evict first.
        """
        engine = self._engine
        if engine.files.warm is not None and record.version >= engine.files.super.get("head"):
            with contextlib.suppress(LogNeeds):
                engine.log.shadow(record.key, record.version, int(time.time()) & 0xFFFFFFFF)

    def _unlink_oldest(self) -> None:
        engine = self._engine
        number = self._segments.numbers[0]
        if self._damaged:
            engine.counters[COLD].errors["dropped"] += scan.forget(engine.log, COLD, number)
        engine.files.super.set(
            "cold_head", self._segments.numbers[1] * self._segments.segment_units
        )
        if engine.log.mapping(COLD, number) is not None:  # else an interrupt came right here
            engine.log.drop_segment(COLD, number).close()
        self._segments.unlink(number)
        self._cursor = 0

    def close(self) -> None:
        """Wait for a dictionary being trained."""
        self.dictionaries.close()
