"""Verbs that look before they write, wherever the entry is, and verbs over many keys.

The map of the classes that make up a memory is in memory.py. Each of these reads the entry,
decides, and hands what it saw to the compiled step that makes the change (``allows`` in
guards.pxd): when that finds another value, record or deadline in its place nothing happens, and the
verb starts anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from fastmem._core.bulk import keys_of, name_pair, pairs_of
from fastmem._core.clock import deadline_ns
from fastmem._core.keys import encode_key
from fastmem._core.l1 import MISSING
from fastmem._core.leases import Lease
from fastmem.entries import TierKey
from fastmem.errors import ValueTooLargeError
from fastmem.writing import Coded, Guard, TieredWriting

__all__ = ["TieredVerbs"]

TTL = float | timedelta | None
REPLACED = -1
NOWHERE = (None, None)


class TieredVerbs(TieredWriting):
    """What a memory does only if an entry is, or is not, what the caller thinks."""

    def add(self, key: Any, value: Any, ttl_seconds: TTL = None) -> bool:
        """Put `value`, but only if the key is in no tier, or damaged. True when it was put.

        Of any number of threads that add one absent key exactly one gets True. What only lower
        tiers hold is read, to know whether it can be. Raises as ``put``.
        """
        deadline = deadline_ns(ttl_seconds)
        self._engine.require_writable()
        encoded = encode_key(key)
        while (absent := self._absent(key, encoded)) is not None:
            if self._store(key, value, deadline, absent):
                return True
        return False

    def _absent(self, key: TierKey, encoded: bytes) -> Guard | None:
        """The guard of a key that `get` does not find: it is nowhere, or its record is one of
        which the value cannot be had. None when it can.
        """
        word = self._log.seek(encoded)  # first: 0, or a record that the next line found damaged
        return (MISSING, word, -1) if self._look(key, encoded, mark=False) == NOWHERE else None

    def incr(
        self, key: Any, delta: int = 1, *, initial: int | None = 0, ttl_seconds: TTL = None
    ) -> int:
        """Add `delta` to the int that the key holds, in whatever tier, and return the sum.

        No increment of any thread is lost. The deadline stays; a missing key counts from `initial`,
        with the deadline of `ttl_seconds`, which otherwise has no effect (``initial=None``:
        KeyError). TypeError when the value, `delta` or `initial` is no exact int.
        """
        for number, name in ((delta, "delta"), (initial, "initial")):
            if type(number) is not int and (name == "delta" or number is not None):
                raise TypeError(f"{name} must be an int, not {type(number).__name__}")
        new_deadline = deadline_ns(ttl_seconds)
        self._engine.require_writable()
        encoded = encode_key(key)
        while True:
            value, word, deadline = self._find(key, encoded)
            if value is MISSING:
                if initial is None:
                    raise KeyError(key)
                first = initial + delta  # before it is put: afterwards nothing may want memory
                absent = self._absent(key, encoded)
                if absent and self._store(key, first, new_deadline, absent):
                    return first
                continue
            if type(value) is not int:
                raise TypeError(f"{key!r} holds no int but {type(value).__name__}: no incr")
            total: int = value + delta
            if self._store(key, total, deadline, (value, word, deadline)):
                return total

    def compare_and_set(self, key: Any, expected: Any, new: Any, ttl_seconds: TTL = None) -> bool:
        """Replace the key's value, in whatever tier, by `new` if it is or equals `expected`.

        True when it was replaced. Of any number of threads that expect one value exactly one
        succeeds. The deadline stays unless `ttl_seconds` gives a new one. A value that L1 does not
        hold is a copy, and only equal. Raises as ``put``, and what the comparison raises.
        """
        new_deadline = None if ttl_seconds is None else deadline_ns(ttl_seconds)
        self._engine.require_writable()
        encoded = encode_key(key)
        while True:
            value, word, deadline = self._find(key, encoded)
            if value is MISSING or not (value is expected or value == expected):
                return False
            until = deadline if new_deadline is None else new_deadline
            if self._store(key, new, until, (value, word, deadline)):
                return True

    def setdefault(self, key: Any, default: Any = None) -> Any:
        """Return the key's value; when `get` finds none, put `default` and return it.

        Of several threads that find the key absent, one puts and all return its value.
        """
        while True:
            value = self.get(key, MISSING)
            if value is not MISSING:
                return value
            absent = self._absent(key, encode_key(key))
            if absent and self._store(key, default, 0, absent):
                return default

    def touch(self, key: Any, ttl_seconds: TTL = None) -> bool:
        """Make the key most recent and, with `ttl_seconds`, give it a new deadline everywhere.

        True when it was there. A new deadline rewrites the entry, unless a newer one takes its
        place meanwhile; without one this is a read.
        """
        if ttl_seconds is None:
            return self.get(key, MISSING) is not MISSING
        self._engine.require_writable()
        new_deadline = deadline_ns(ttl_seconds)
        encoded = encode_key(key)
        while True:
            value, word, deadline = self._find(key, encoded)
            if value is MISSING:
                return False
            if self._store(key, value, new_deadline, (value, word, deadline)):
                return True

    def pop(self, key: Any, default: Any = MISSING) -> Any:
        """Remove the key and return its value; `default`, or else KeyError, when it is absent."""
        self._engine.require_writable()
        encoded = encode_key(key)
        while True:
            value, word, _deadline = self._find(key, encoded)
            if value is MISSING:
                if default is MISSING:
                    raise KeyError(key)
                return default
            # -1: replaced between the two steps; look again.
            if self._erase_all(key, encoded, value, word) != REPLACED:
                return value

    def put_many(
        self, pairs: Mapping[Any, Any] | Iterable[tuple[Any, Any]], /, ttl_seconds: TTL = None
    ) -> None:
        """Put every pair of a mapping or of an iterable of pairs.

        All pairs are drawn, measured and (unless they stay in L1 alone) encoded before the first is
        put: what that raises, ValueTooLargeError included, leaves everything as it was, and a note
        on the exception names the pair. Then pair after pair is put, each in one step; an OSError
        or an interrupt ends that early, and a note says how many pairs are put.
        """
        deadline = deadline_ns(ttl_seconds)
        engine = self._engine
        engine.require_writable()
        limit = max(engine.warm_value_limit, engine.cold.value_limit if engine.cold else 0)
        coded: list[tuple[TierKey, Any, Coded]] = []
        for key, value in pairs_of(pairs):
            try:
                parts = self._coded_within(limit, key, value)
            except Exception as error:
                name_pair(error, len(coded) + 1, key)
                raise
            coded.append((key, value, parts))
        put = 0
        try:
            for key, value, parts in coded:
                self._store_coded(key, value, deadline, parts)
                put += 1
        except BaseException as error:
            error.add_note(f"put_many put {put} of {len(coded)} pairs")
            raise

    def _coded_within(self, limit: int, key: TierKey, value: Any) -> Coded:
        coded = self._coded(key, value)
        if len(coded[3]) > limit:
            raise ValueTooLargeError(len(coded[3]), limit)
        return coded

    def delete_many(self, keys: Iterable[Any], /) -> int:
        """Remove every one of `keys` from every tier, each in one step. Return how many were there.

        All keys are drawn and encoded before the first is removed.
        """
        self._engine.require_writable()
        encoded = [(key, encode_key(key)) for key in keys_of(keys)]
        return sum(self._erase_all(key, code, MISSING, 0) for key, code in encoded)

    def _fill(self, lease: Lease, value: Any, ttl_seconds: TTL = None) -> bool:
        """Put what was loaded for a lease's key, only while that is held. True when it was put."""
        key: Any = lease.key
        return lease.held and self._store(key, value, deadline_ns(ttl_seconds), lease)
