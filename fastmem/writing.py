"""Writing values below L1: at once (write-through), or when L1 lets go of them (write-back).

The map of the classes that make up a memory is in memory.py.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from fastmem._core.clock import boottime_ns
from fastmem._core.drafts import Draft
from fastmem._core.keys import decode_key, encode_key
from fastmem._core.l1 import MISSING
from fastmem._core.leases import Lease
from fastmem._core.sizing import measure
from fastmem._core.tiered import CAUSE_DELETED, CAUSE_EXPIRED, CAUSE_SIZE
from fastmem.entries import TierKey
from fastmem.errors import ClosedError, SerializationError, ValueTooLargeError
from fastmem.lookup import TieredLookup

__all__ = ["TieredWriting"]

log_to = logging.getLogger("fastmem")

# A compiled step that appends, its first arguments bound: takes whether the record is a cold one,
# and the record.
Commit = Callable[[bool, Draft], bool]

# What must be true of the entry when a step changes it: (value, word, deadline_ns or -1), or a
# lease that must be held. See `allows` in guards.pxd.
Guard = tuple[Any, int, int] | Lease
# A key and value on their way down: (key, bytes that L1 counts, codec, body); codec 0 and b"" when
# the value stays in L1 alone.
Coded = tuple[bytes, int, int, bytes]


class TieredWriting(TieredLookup):
    """The writing half of TieredMemorySystem: bytes below by one compiled step, and dirty victims
    out of limbo, each by one thread at a time.
    """

    _spilling: dict[TierKey, int]  # key -> thread that is writing it

    def _coded(self, key: TierKey, value: Any) -> Coded:
        encoded = encode_key(key)
        size_bytes, form = self._measure(key, value)
        if self._write_back and size_bytes <= self.budget_bytes:
            return encoded, size_bytes, 0, b""
        return encoded, size_bytes, *self._codec.encode(value, form)

    def _store(
        self,
        key: TierKey,
        value: Any,
        deadline: int,
        guard: Guard | None,
        coded: Coded | None = None,
    ) -> bool:
        """Store a value, with `guard` only while it is true. True when done."""
        engine = self._engine
        if engine.read_only or self._log.closed:
            engine.require_writable()
        encoded, size_bytes, codec_id, body = coded or self._coded(key, value)
        done = False
        try:
            if codec_id == 0:
                try:
                    done = engine.provided(
                        self._put_dirty, key, value, size_bytes, deadline, encoded, guard
                    )
                    if self._log.chores or self._log.freed:
                        engine.settle()
                except ValueTooLargeError:  # L1's budget has shrunk since
                    codec_id, body = self._codec.encode(value, measure(value)[1])
            if codec_id:
                commit = partial(self._commit, key, value, size_bytes, deadline, encoded, guard)
                done = self._write_below(encoded, codec_id, body, deadline, commit)
            if engine.dropped_keys:
                self._forget_dropped()
        finally:
            if self._listening:
                self._tell()
        return done

    def _erase_all(
        self, key: TierKey, encoded: bytes, value: Any, word: int, cause: int = CAUSE_DELETED
    ) -> int:
        """Delete the key everywhere; what is returned, and `value` and `word`, as for `_erase`."""
        try:
            there = self._engine.provided(self._erase, key, encoded, value, word, cause)
            self._engine.settle()
            if self._engine.dropped_keys:
                self._forget_dropped()
        finally:
            if self._listening:
                self._tell()
        return there

    def _write_below(
        self, encoded: bytes, codec_id: int, body: bytes, deadline: int, commit: Commit
    ) -> bool:
        """Write bytes below by ``commit(cold, record)``. True when done; False, and nothing has
        changed, when that returned False: not after all.
        """
        engine = self._engine
        if len(body) > engine.warm_value_limit:
            return engine.archive_put(encoded, codec_id, body, deadline, partial(commit, True))
        return engine.put(encoded, codec_id, body, deadline, partial(commit, False))

    def _forget_dropped(self) -> None:
        """Let L1 go of what the last tier evicted: it has left the hierarchy, and is counted."""
        dropped = self._engine.dropped_keys
        while dropped:
            try:
                encoded = dropped.pop()
            except IndexError:  # another thread was faster
                return
            try:
                self._engine.provided(self._forget, decode_key(encoded), encoded)
            except MemoryError:  # the call is done: the next one does it
                dropped.append(encoded)
                break
        if self._listening:
            self._tell()

    def _spill(self, others: bool = False) -> None:
        """Evicted dirty entries wait in limbo: write each to L2, or drop it, counted and logged.

        What another thread is writing is left to it, unless `others`; what this thread is writing
        further up the stack (a serializer that came back here) is left to that call.
        """
        me = threading.get_ident()
        for key in list(self._limbo):
            # As often as it is evicted anew meanwhile: others left that to this thread.
            while key in self._limbo and self._spilling.get(key) != me:
                try:
                    if self._spilling.setdefault(key, me) != me and not others:
                        break
                    self._spill_one(key)
                finally:
                    if self._spilling.get(key) == me:
                        del self._spilling[key]

    def _spill_one(self, key: TierKey) -> None:
        value = self._limbo.get(key, MISSING)
        deadline = self._limbo_deadline.get(key, 0)
        if value is MISSING:
            return  # superseded just now
        if deadline and deadline <= boottime_ns():
            self._expired_in_limbo += self._drop_victim(key, value, CAUSE_EXPIRED)
            return
        try:
            self._write_value(key, value, deadline, self._write_victim)
        except (SerializationError, ValueTooLargeError, ClosedError, OSError) as error:
            if self._drop_victim(key, value, CAUSE_SIZE):
                self._note_spill_failed(key, error)

    def _write_value(
        self, key: TierKey, value: Any, deadline: int, commit: Callable[..., bool]
    ) -> None:
        """Write one dirty value below by `commit`, unless it was superseded meanwhile."""
        codec_id, body = self._codec.encode(value, measure(value)[1])
        encoded = encode_key(key)
        step = partial(commit, key, value, deadline, encoded)
        self._write_below(encoded, codec_id, body, deadline, step)

    def _note_spill_failed(self, key: TierKey, error: Exception) -> None:
        self._spill_failed += 1
        log_to.warning("dropped %r, which could not be spilled: %s", key, error)

    def _write_dirty(self) -> dict[TierKey, Exception]:
        """Write every dirty entry; return those that do not become bytes, and why. OSError."""
        unwritable: dict[TierKey, Exception] = {}
        for key in self._dirty():
            held = self._held(key)
            if held is None or not held[5]:
                continue
            try:
                self._write_value(key, held[0], held[2], self._clean)
            except (SerializationError, ValueTooLargeError) as error:
                unwritable[key] = error
        self._spill(others=True)  # after L1: what was evicted meanwhile is there
        if self._engine.dropped_keys:
            self._forget_dropped()
        return unwritable
