"""From a record to the encoded value it stands for, and what becomes of one that is damaged."""

from __future__ import annotations

import errno
import logging
from pathlib import Path
from typing import Any

from fastmem._core.keys import decode_key
from fastmem._core.layout import (
    COMPRESSED,
    LOCATION_MASK,
    MAC_BYTES,
    POINTER,
    TIER_BIT,
    UNIT_BYTES,
    VALUE,
)
from fastmem._core.log import COLD, WARM, Record
from fastmem._core.windows import Window
from fastmem.codecs import Authenticator, FrameCompressor, ValueCodec
from fastmem.errors import CorruptRecordError, SerializationError
from fastmem.storage.counters import TierCounters
from fastmem.storage.opening import StoreFiles
from fastmem.storage.values import Pointer, ValueFiles

log_to = logging.getLogger("fastmem.storage")

UNSOUND = "index leads to no sound record of the key"
MISSING_FILE = "record whose value file is missing"


class Contents:
    """Reads what records stand for. It takes no lock and changes nothing but counters."""

    def __init__(
        self,
        files: StoreFiles,
        frames: FrameCompressor,
        authenticator: Authenticator | None,
        counters: tuple[TierCounters, TierCounters],
    ) -> None:
        self._files = files
        self._log = files.log
        self._frames = frames
        self._authenticator = authenticator
        self._counters = counters
        self._reported: set[int] = set()  # words, which never come back
        self._places_seen = 0

    # `mark` is not for keywords alone: that would cost each call 300 instructions.
    def read(self, key: bytes, mark: bool = True) -> tuple[Record, bytes] | None:
        """Return a key's record and its content (the encoded value), or None.

        None is also what a corrupt record gives: counted, and logged once for each place. Without
        `mark` the key does not count as read.
        """
        last_word = 0
        while True:
            record = self._log.get(key) if mark else self._log.peek(key)
            if record is None:
                self.note_damage()
                return None
            if record.kind == VALUE and not (
                record.mac_key or record.flags & COMPRESSED or self._authenticator
            ):
                return record, record.body
            try:
                return record, self.content(record)
            except FileNotFoundError as error:
                if record.word == last_word:
                    self.note_lost(record.word, error)
                    return None
                last_word = record.word  # replaced between the two steps, surely: look again
            except CorruptRecordError as error:
                self.note_lost(record.word, error)
                return None

    def read_resident(self, key: bytes) -> tuple[Record, bytes] | None:
        """As `read`, but it waits for no device: BlockingIOError when not all is in memory."""
        record = self._log.get_resident(key)
        if record is None:
            self.note_damage()
            return None
        if record is False:
            raise BlockingIOError(errno.EAGAIN, "not in memory")
        try:
            return record, self.content(record, wait=False)
        except FileNotFoundError:  # replaced between the two steps, surely: the newer one is read
            return self.read(key)
        except CorruptRecordError as error:
            self.note_lost(record.word, error)
            return None

    def content(self, record: Record, *, wait: bool = True) -> bytes:
        """The encoded value of a record: fetched, decompressed, authenticated.

        CorruptRecordError, of the record or of its value file, or FileNotFoundError; without `wait`
        BlockingIOError too, when its value file is not in memory.
        """
        body, mac = self.unsealed(record, wait=wait)
        self.authenticate(record, mac, body)
        return body

    def authenticate(self, record: Record, mac: bytes, content: bytes | Window) -> None:
        """CorruptRecordError unless the MAC of a record is valid, where there is a secret key."""
        try:
            if self._authenticator is not None and not (
                record.mac_key == self._authenticator.key_id
                and self._authenticator.verify(
                    mac, record.codec, record.deadline_ns, record.written_ms, record.key, content
                )
            ):
                raise self.corrupt(record.word, "record without a valid MAC")
        except OSError as error:
            if isinstance(error, CorruptRecordError):
                raise
            raise self.corrupt(record.word, f"record of which {error.strerror}") from error

    def unsealed(self, record: Record, *, wait: bool = True) -> tuple[bytes, bytes]:
        """The encoded value of a record, and its MAC, which nobody has looked at; b"" for none."""
        body, mac = record.body, b""
        if record.mac_key:
            body, mac = body[:-MAC_BYTES], body[-MAC_BYTES:]
        if record.kind == POINTER:
            body = self._values(record).read(record.key, Pointer.unpack(body), wait=wait)
        if record.flags & COMPRESSED:
            try:
                body = self._frames.decompress(body, record.dictionary, record.raw_len)
            except SerializationError as error:
                raise self.corrupt(record.word, error.message) from error
        return body, mac

    def _values(self, record: Record) -> ValueFiles:
        values = self._files.cold_values if record.word & TIER_BIT else self._files.warm_values
        assert values is not None
        return values

    def place(self, word: int) -> tuple[Path, int]:
        """The file and the offset in it that a word leads to."""
        segments = self._files.cold if word & TIER_BIT else self._files.warm
        if segments is None:  # a damaged slot
            return self._files.directory.path / "index", 0
        number, units = divmod(word & LOCATION_MASK, segments.segment_units)
        return segments.directory.path / segments.name(number), units * UNIT_BYTES

    def corrupt(self, word: int, reason: str = UNSOUND) -> CorruptRecordError:
        """The error of what a word leads to, to be raised, noted or handed on."""
        return CorruptRecordError(reason, *self.place(word))

    def note_lost(self, word: int, error: CorruptRecordError | FileNotFoundError) -> None:
        """Count and log, once for each word, that the value it leads to cannot be had."""
        if word in self._reported:
            return
        if isinstance(error, FileNotFoundError):
            error = self.corrupt(word, MISSING_FILE)
        self._reported.add(word)
        self._counters[COLD if word & TIER_BIT else WARM].errors["corrupt"] += 1
        log_to.warning("%s", error)

    def decode(self, codec: ValueCodec, record: Record, content: bytes | Window) -> Any:
        """The value of a record that was read. SerializationError, counted, which names the key and
        the place: the bytes are sound and do not become a value.
        """
        try:
            return codec.decode(record.codec, content)
        except SerializationError as error:
            tier = COLD if record.word & TIER_BIT else WARM
            self._counters[tier].errors["undecodable"] += 1
            path, offset = self.place(record.word)
            error.key = decode_key(record.key)
            error.add_note(
                f"of the key {error.key!r}, in the record at offset {offset:,} of {path}"
            )
            raise

    def bytes_view(self, codec: ValueCodec, record: Record, content: bytes | Window) -> memoryview:
        """The bytes of the value of a record. SerializationError names the key."""
        try:
            return codec.bytes_view(record.codec, content)
        except SerializationError as error:
            error.key = decode_key(record.key)
            error.add_note(f"of the key {error.key!r}")
            raise

    def note_damage(self) -> None:
        """Count and log what the log has found to be damaged since it was asked last."""
        places = self._log.corrupt_places
        if len(places) == self._places_seen:
            return
        self._places_seen = len(places)
        for word in places - self._reported:
            self.note_lost(word, self.corrupt(word))

    def deadline_of(self, record: Record) -> int:
        """A record's deadline as CLOCK_BOOTTIME nanoseconds, 0 = never."""
        return record.deadline_ns - self._log.wall_offset_ns if record.deadline_ns else 0
