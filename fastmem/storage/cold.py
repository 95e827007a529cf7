"""The cold side of the engine: demotion into the archive's segments, dictionaries, its budget."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from fastmem._core import scan
from fastmem._core.log import INLINE_LIMIT_BYTES, MAC_BYTES, Record
from fastmem.codecs import FrameCompressor
from fastmem.errors import CorruptRecordError, SerializationError, ValueTooLargeError
from fastmem.storage.dictionaries import Dictionaries
from fastmem.storage.segments import COLD, Segments
from fastmem.storage.values import Pointer, ValueFiles

if TYPE_CHECKING:
    from fastmem.storage.engine import Engine

log_to = logging.getLogger("fastmem.storage")

VALUE, TOMBSTONE, POINTER = 1, 2, 4
COMPRESSED = 2
HEADER_UNITS = 4


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
        self.stored_bytes = 0
        self.dictionaries = Dictionaries(segments.directory, frames, read_only=engine.read_only)

    def demote(self, record: Record) -> bool:
        """Move a live warm record into the archive. False when it was replaced meanwhile."""
        try:
            content = self._engine.content(record)
        except (CorruptRecordError, SerializationError, FileNotFoundError) as error:
            self._engine.note_lost(record, str(error))
            self._engine.log.remove(record.key, record.word)
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
    ) -> int:
        """Append a value to the archive. Return its word; 0 when `expected` is not current."""
        dictionary = self.dictionaries.current
        self.dictionaries.sample(content)
        frame = self._frames.compress(content, dictionary)
        flags = 0 if frame is None else COMPRESSED
        body = content if frame is None else frame
        kind = VALUE
        written: int | None = None
        if len(body) > INLINE_LIMIT_BYTES:
            self._make_room(self._values.footprint(len(body) + len(key)))
            pointer = self._values.write(key, body, sync=self._engine.durability == "disk")
            body, kind, written = pointer.pack(), POINTER, pointer.number
        try:
            word = self._append(
                key, body + mac, codec, deadline_ns, written_ms, kind, flags, mac_key,
                dictionary if flags else 0, min(len(content), 0xFFFFFFFF), expected,
            )  # fmt: skip
        except BaseException:
            if written is not None:
                self._values.remove(written)
            raise
        if word:
            self.raw_bytes += len(content)
            self.stored_bytes += len(content if frame is None else frame)
        elif written is not None:
            self._values.remove(written)
        return word

    def tombstone(self, key: bytes, *, if_absent: bool) -> None:
        """Append a tombstone, so that no older copy of the key comes back at a rebuild.

        `if_absent`: do nothing when the key is (again) in the index; else delete it.
        """
        self._append(key, b"", 0, 0, 0, TOMBSTONE, 0, 0, 0, 0, 0 if if_absent else None)

    def _append(
        self, key: bytes, body: bytes, codec: int, deadline_ns: int, written_ms: int, kind: int,
        flags: int, mac_key: int, dictionary: int, raw_len: int, expected: int | None,
    ) -> int:  # fmt: skip
        engine = self._engine
        return engine.provided(
            engine.log.put_cold, key, body, codec, deadline_ns, written_ms, kind, flags, mac_key,
            dictionary, raw_len, int(time.time()) & 0xFFFFFFFF, expected,
        )  # fmt: skip

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
        self._make_room(self._segments.segment_bytes)
        mapping = self._segments.create(number, sync=engine.durability == "disk")
        engine.log.add_segment(COLD, number, mapping)
        if engine.files.archive is not None:
            engine.files.archive.own(engine.files.super.uuid, engine.files.version_floor())

    def _make_room(self, wanted_bytes: int) -> None:
        engine = self._engine
        budget = engine.cold_budget_bytes
        if budget is None:
            return
        if wanted_bytes > budget:
            raise ValueTooLargeError(wanted_bytes, budget)
        while engine.cold_bytes + wanted_bytes > budget and len(self._segments.numbers) > 1:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        """Evict what is live in the oldest cold segment and unlink it."""
        engine = self._engine
        counters = engine.counters[COLD]
        number = self._segments.numbers[0]
        at = number * self._segments.segment_units + HEADER_UNITS
        while True:
            record, after = scan.next_record(engine.log, COLD, at)
            if record is None:
                break
            if record.live and engine.log.remove(record.key, record.word):
                counters.evictions["size"] += 1
                if record.kind == POINTER and record.body is not None:
                    self._values.remove(Pointer.unpack(record.body).number)
            if after % self._segments.segment_units == 0:
                break
            at = after
        engine.files.super.set(
            "cold_head", self._segments.numbers[1] * self._segments.segment_units
        )
        engine.log.drop_segment(COLD, number).close()
        self._segments.unlink(number)

    def close(self) -> None:
        """Wait for a dictionary being trained."""
        self.dictionaries.close()
