"""Writing to the archive: values moved down, its own puts, tombstones. One zstd frame a value."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from fastmem._core import scan
from fastmem._core.drafts import Draft
from fastmem._core.layout import (
    COMPRESSED,
    INLINE_LIMIT_BYTES,
    POINTER,
    TIER_BIT,
    TOMBSTONE,
    VALUE,
)
from fastmem._core.log import COLD, Record
from fastmem.codecs import FrameCompressor
from fastmem.errors import CorruptRecordError, SerializationError
from fastmem.storage.dictionaries import SAMPLE_LIMIT_BYTES, Dictionaries
from fastmem.storage.files import Directory
from fastmem.storage.prepared import Stamped

if TYPE_CHECKING:
    from fastmem.storage.engine import Engine


class ColdWriter:
    """Appends to the cold log. Room in it is made by ColdReclaimer.

    Each value is one zstd frame (with the newest dictionary), or raw where that saves nothing;
    large ones lie in files of their own.
    """

    def __init__(self, engine: Engine, directory: Directory, frames: FrameCompressor) -> None:
        self._engine = engine
        self._frames = frames
        # Of the values archived by this process, before and after compression.
        self.raw_bytes = 0
        self.stored_bytes = 0
        self.dictionaries = Dictionaries(
            directory,
            frames,
            self._small_values,
            engine.lock,
            empty=not engine.log.cold_entries,
            read_only=engine.read_only,
        )

    @property
    def value_limit(self) -> int:
        """The largest value the archive takes, in encoded bytes."""
        budget = self._engine.cold_budget_bytes
        return 0xFFFFFFFF if budget is None else budget // 2

    def _small_values(self) -> Iterator[bytes]:
        """Encoded values of the archive as they come in the index, which no chosen key decides."""
        engine = self._engine
        for head in scan.heads(engine.log):
            if head.raw_len > SAMPLE_LIMIT_BYTES or not head.word & TIER_BIT or head.kind != VALUE:
                continue
            record = engine.log.peek(head.key)  # None, or a warm one, when that has changed
            if record is not None and record.word & TIER_BIT and record.kind == VALUE:
                with contextlib.suppress(CorruptRecordError, SerializationError):
                    yield engine.contents.content(record)

    def stamped(self, record: Record) -> Stamped:
        """What a warm record holds, ready to be put into the archive. Raises as `content` does, but
        for its MAC: whether that is valid is for those to say who have its key.
        """
        content, mac = self._engine.contents.unsealed(record)
        return Stamped(
            content, record.codec, record.deadline_ns, record.written_ms, mac, record.mac_key
        )

    def put(
        self,
        key: bytes,
        stamped: Stamped,
        *,
        moved_from: int | None = None,
        commit: Callable[[Draft], bool] | None = None,
    ) -> bool:
        """Append a value to the archive. True when done.

        `moved_from`: the word of the record whose value it is. Its version stays; False when it is
        not current. `commit`: as for `Engine.archive_put`.
        """
        content, mac = stamped.content, stamped.mac
        dictionary = self.dictionaries.current
        self.dictionaries.note(content)
        frame = self._frames.compress(content, dictionary)
        flags = 0 if frame is None else COMPRESSED
        body = content if frame is None else frame

        def append(inline: bytes, kind: int) -> bool:
            record = Draft(
                inline + mac,
                stamped.codec,
                stamped.deadline_ns,
                stamped.written_ms,
                kind,
                flags,
                stamped.mac_key,
                dictionary=dictionary if flags else 0,
                raw_len=min(len(content), 0xFFFFFFFF),
                archived_s=_now_s(),
            )
            provided = self._engine.room.provided
            if commit is not None:
                return provided(commit, record)
            moved = moved_from is not None
            return provided(self._engine.log.put_cold, key, record, moved_from, moved)

        if len(body) > INLINE_LIMIT_BYTES:
            done = self._engine.large.append(
                COLD, key, body, lambda pointer: append(pointer, POINTER)
            )
        else:
            done = append(body, VALUE)
        if done:
            self._count(content, body)
        return done

    def _count(self, content: bytes, body: bytes) -> None:
        try:
            raw, stored = len(content), len(body)
            self.raw_bytes, self.stored_bytes = self.raw_bytes + raw, self.stored_bytes + stored
        except MemoryError:
            return  # the value is archived, whatever the figures say

    def erase(self, key: bytes, expected: int | None) -> bool:
        """Delete the key as `Log.delete` does, in a store without warm segments."""
        return self._engine.room.provided(self._engine.log.delete_cold, key, _now_s(), expected)

    def tombstone(self, key: bytes, expected: int) -> bool:
        """Bury an expired record, so that neither it nor an older one returns at a rebuild. True
        when done; False when `expected` is not the key's word any more, 0 that of an absent one.
        """
        record = Draft(b"", 0, 0, 0, TOMBSTONE, archived_s=_now_s())
        return self._engine.room.provided(self._engine.log.put_cold, key, record, expected)

    def shadow(self, key: bytes, version: int) -> None:
        """Append a tombstone of an old version, so that none older returns at a rebuild."""
        self._engine.room.provided(self._engine.log.shadow, key, version, _now_s())

    def close(self) -> None:
        """Wait for a dictionary being trained."""
        self.dictionaries.close()


def _now_s() -> int:
    return int(time.time()) & 0xFFFFFFFF
