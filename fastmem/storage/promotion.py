"""From the archive back to the warm tier."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from fastmem._core.drafts import Draft
from fastmem._core.layout import ALIGNED, INLINE_LIMIT_BYTES, MAC_BYTES, VALUE
from fastmem._core.log import COLD, Record
from fastmem.storage.viewing import BUFFERED_CODECS

if TYPE_CHECKING:
    from fastmem.storage.engine import Engine

log_to = logging.getLogger("fastmem.storage")


def promote(engine: Engine, record: Record, content: bytes) -> None:
    """Copy a cold record to the warm tail: it is read again and again. A small value only."""
    if engine.read_only or engine.files.warm is None or len(content) > INLINE_LIMIT_BYTES:
        return
    mac = record.body[-MAC_BYTES:] if record.mac_key else b""
    flags = ALIGNED if record.codec in BUFFERED_CODECS else 0
    draft = Draft(
        content + mac,
        record.codec,
        record.deadline_ns,
        record.written_ms,
        VALUE,
        flags,
        record.mac_key,
    )
    try:
        done = engine.provided(engine.log.put, record.key, draft, record.word, True)
        # A read promises nothing, so it does not wait for the device.
        if done and (engine.log.chores or engine.log.freed):
            engine.room.do_chores()
    except OSError as error:
        engine.counters[COLD].note_failure(error)
        log_to.warning("not promoted: %s", error)


__all__ = ["promote"]
