"""TieredMemorySystem: L1 in process, L2 in mapped segments, L3 in the archive, as one mapping.

A hit in L1 is the compiled cache's own `get`, inherited. What misses comes here (`_load`), and so
does what L1 evicts while only L1 holds it (`_spill`).
"""

from __future__ import annotations

import atexit
import errno
import logging
import os
import sys
import threading
import weakref
from collections.abc import (
    Callable,
    ItemsView,
    Iterator,
    KeysView,
    Mapping,
    MutableMapping,
    ValuesView,
)
from datetime import timedelta
from functools import partial
from typing import Any, Literal, Self

from fastmem._core import scan
from fastmem._core.clock import boottime_ns, deadline_ns
from fastmem._core.keys import decode_key, encode_key
from fastmem._core.l1 import MISSING
from fastmem._core.log import Record
from fastmem._core.sizing import measure
from fastmem._core.tiered import TieredL1
from fastmem.codecs import ValueCodec
from fastmem.entries import MemoryEntry, MemoryTier
from fastmem.errors import (
    ClosedError,
    ReadOnlyError,
    SerializationError,
    UnsupportedPlatformError,
    ValueTooLargeError,
)
from fastmem.protocols import Serializer

if sys.platform == "linux":
    from fastmem.storage.engine import Engine
    from fastmem.storage.segments import COLD, WARM

__all__ = ["TieredMemorySystem"]

log_to = logging.getLogger("fastmem")

TierKey = str | bytes | int | tuple[Any, ...]
Durability = Literal["process", "disk", "cache"]
MIB = 1 << 20
TIER_BIT = 1 << 47
GROUPS_A_STEP = 64
REPLACED = -1

Guard = tuple[Any, int]  # (value, word): see TieredL1._commit
Commit = tuple[Any, ...]  # a compiled step that appends and its first arguments
Held = tuple[Any, int, int, int, int, bool]  # see TieredL1._held

# Open memories by id (a mapping is not hashable), for the end of the process and for forks.
_memories: weakref.WeakValueDictionary[int, TieredMemorySystem] = weakref.WeakValueDictionary()


class TieredMemorySystem(TieredL1):
    """A mapping over three tiers, each within its budget of bytes.

    Every value is found wherever it is, and the newest put wins. Keys are str, bytes, int or
    tuples of these, told apart by type. L1 holds the object that was put, the tiers below a copy
    of it as it was then: treat what is stored as immutable.

    ``durability="process"`` (the default) writes each put through to L2's mapped log, which the
    death of the process does not harm; ``"disk"`` also waits for the device; ``"cache"`` keeps a
    put in L1 until it is evicted, flushed or closed, so a kill loses what only L1 held.

    L2 takes at most `l2_size_mb` (None: four times L1, at least 64) and demotes its oldest entries
    to L3, which is unbounded unless `l3_size_mb` is given. Both directories belong to one process
    at a time. Safe to use from any thread; in a forked child it is closed.

    What a method does in L1, and to the entry below it::

        get, []            a hit is L1's own     else reads below and promotes
        peek, entry, in    looks, moves nothing  the same
        put, []=, update   holds the value       writes it ("cache": deletes the older one)
        setdefault         as get                as put, when it is nowhere
        touch              makes most recent     with a ttl: writes it again
        delete, del, pop   removes               removes
        popitem            removes the victim-to-be, or any entry when L1 is empty
        clear              removes everything everywhere
        len, iter, keys, values, items, ==       all tiers, promoting nothing
        resize, expire     L1 alone: victims stay below ("cache": are written there first)
        flush, close       write what only L1 holds, flush to the device too
        stats, get_stats, check                  all tiers

    A memory that is forgotten, or open when the interpreter ends, is closed.

    >>> import tempfile
    >>> at = tempfile.mkdtemp()
    >>> with TieredMemorySystem(16, at + "/l2", at + "/l3") as memory:
    ...     memory.put("user:7", {"name": "Ada"}, ttl_seconds=3600)
    ...     memory.get("user:7")
    {'name': 'Ada'}
    """

    def __init__(
        self,
        l1_size_mb: float = 512,
        l2_path: str | os.PathLike[str] = "./.moai/cache",
        l3_path: str | os.PathLike[str] = "./.moai/archive",
        *,
        l2_size_mb: float | None = None,
        l3_size_mb: float | None = None,
        policy: Literal["lru"] = "lru",
        durability: Durability = "process",
        coherent: bool = False,
        serializer: Literal["auto"] | Serializer = "auto",
        allow_pickle: bool = True,
        secret_key: bytes | None = None,
        read_only: bool = False,
        sizer: Callable[[Any], int] | None = None,
        level: int = 3,
        timeout_s: float = 5.0,
    ) -> None:
        if sys.platform != "linux":
            raise UnsupportedPlatformError(f"L2 and L3 need Linux, this is {sys.platform}")
        if not timeout_s > 0:
            raise ValueError(f"timeout_s must be positive, not {timeout_s!r}")
        if os.path.abspath(l2_path) == os.path.abspath(l3_path):
            raise ValueError(f"l2_path and l3_path are the same directory, {os.fspath(l2_path)!r}")
        if l2_size_mb is None:
            l2_size_mb = max(4 * l1_size_mb, 64)
        super().__init__(int(l1_size_mb * MIB), policy=policy, sizer=sizer)
        self._codec = ValueCodec(serializer, allow_pickle=allow_pickle)
        self._engine = Engine(
            l2_path,
            l3_path,
            warm_budget_bytes=int(l2_size_mb * MIB),
            cold_budget_bytes=None if l3_size_mb is None else int(l3_size_mb * MIB),
            durability=durability,
            level=level,
            secret_key=secret_key,
            read_only=read_only,
        )
        # One process has the directories open, so every read is coherent already.
        self.coherent = coherent
        self.timeout_s = timeout_s
        self._write_back = durability == "cache"
        self._spill_failed = 0
        self._expired_in_limbo = 0
        self._spilling: dict[TierKey, int] = {}  # key -> thread that is writing it
        self._engine.dropped_keys = []
        self._join(self._engine.log)
        _memories[id(self)] = self

    # -- writing -----------------------------------------------------------------------------

    def put(self, key: Any, value: Any, ttl_seconds: float | timedelta | None = None) -> None:
        """Store a value under a key, replacing its value and deadline.

        In "process" and "disk" it is in L2's log when this returns (encoding, two hashes, one
        memcpy; in "disk" also a device write shared with concurrent puts). A value too large for
        one tier goes to the next. KeyTypeError, ValueError (ttl_seconds not above zero),
        SerializationError, ValueTooLargeError, OSError: nothing changed.
        """
        self._store(key, value, deadline_ns(ttl_seconds), None)

    def _store(self, key: TierKey, value: Any, deadline: int, guard: Guard | None) -> bool:
        """Store a value, with `guard` only while it is true (see `_commit`). True when done."""
        self._require_writable()
        encoded = encode_key(key)
        size_bytes, form = self._measure(key, value)
        if self._write_back and size_bytes <= self.budget_bytes:
            done = self._engine.provided(
                self._put_dirty, key, value, size_bytes, deadline, encoded, guard
            )
            if self.log.chores or self.log.freed:
                self._engine.settle()
        else:
            codec_id, body = self._codec.encode(value, form)
            commit = self._commit, key, value, size_bytes, deadline, encoded, guard
            done = self._write_below(encoded, codec_id, body, deadline, commit)
        if self._engine.dropped_keys:
            self._forget_dropped()
        return done != 0

    def _write_below(
        self, encoded: bytes, codec_id: int, body: bytes, deadline: int, commit: Commit
    ) -> int:
        """Write bytes below by the call `commit`, which is told whether cold, and the record.

        Return the word; 0, and nothing has changed, when the call returned 0: not after all.
        """
        engine = self._engine
        if len(body) > engine.warm_value_limit:
            step, *what = commit
            cold = partial(step, *what, True)
            return engine.archive_put(encoded, codec_id, body, deadline, cold)
        prepared = engine.prepare(encoded, codec_id, body, deadline)
        word: int = 0
        try:
            word = engine.provided(*commit, False, prepared)
        finally:
            if not word:
                engine.discard(prepared)
        if word:
            engine.settle()
        return word

    def _forget_dropped(self) -> None:
        """Let L1 go of what the last tier evicted: it has left the hierarchy, and is counted."""
        dropped = self._engine.dropped_keys
        while dropped:
            try:
                encoded = dropped.pop()
            except IndexError:  # another thread was faster
                return
            self._forget(decode_key(encoded), encoded)

    def delete(self, key: Any) -> bool:
        """Remove the key from every tier. True when it was there."""
        self._require_writable()
        encoded = encode_key(key)
        return bool(self._erase_all(key, encoded, MISSING, 0))

    def _erase_all(self, key: TierKey, encoded: bytes, value: Any, word: int) -> int:
        there = self._engine.provided(self._erase, key, encoded, value, word)
        self._engine.settle()
        if self._engine.dropped_keys:
            self._forget_dropped()
        return there

    def pop(self, key: Any, default: Any = MISSING) -> Any:
        """Remove the key and return its value; `default`, or else KeyError, when it is absent."""
        self._require_writable()
        encoded = encode_key(key)
        while True:
            value, word = self._find(key, encoded)
            if value is MISSING:
                if default is MISSING:
                    raise KeyError(key)
                return default
            # -1: replaced between the two steps; look again.
            if self._erase_all(key, encoded, value, word) != REPLACED:
                return value

    def popitem(self) -> tuple[Any, Any]:
        """Remove and return the entry that L1 would evict next, or any entry when L1 is empty."""
        self._require_writable()
        for keys in (self._l1_keys(), self):
            for key in keys:
                value = self.pop(key, MISSING)
                if value is not MISSING:
                    return key, value
        raise KeyError("popitem(): the memory is empty")

    def setdefault(self, key: Any, default: Any = None) -> Any:
        """Return the key's value; when it is absent, put `default` and return it.

        Of several threads that find the key absent, one puts and all return its value.
        """
        while True:
            value = self.get(key, MISSING)
            if value is not MISSING:
                return value
            if self._store(key, default, 0, (MISSING, 0)):
                return default

    def update(self, other: Any = (), /, **more: Any) -> None:
        """Put every pair of a mapping or of an iterable of pairs, then the keywords."""
        self._require_writable()
        MutableMapping.update(self, other, **more)

    def touch(self, key: Any, ttl_seconds: float | timedelta | None = None) -> bool:
        """Make the key most recent and, with `ttl_seconds`, give it a new deadline everywhere.

        True when it was there. A new deadline rewrites the entry, unless a newer one takes its
        place meanwhile; without one this is a read.
        """
        if ttl_seconds is None:
            return self.get(key, MISSING) is not MISSING
        self._require_writable()
        deadline = deadline_ns(ttl_seconds)
        encoded = encode_key(key)
        while True:
            value, word = self._find(key, encoded)
            if value is MISSING:
                return False
            if self._store(key, value, deadline, (value, word)):
                return True

    def clear(self) -> None:
        """Delete every entry of every tier: one tombstone each, so O(entries)."""
        self._require_writable()
        for key in list(self):
            self.delete(key)

    def _require_writable(self) -> None:
        if self.closed:
            raise ClosedError("the memory is closed")
        if self._engine.read_only:
            raise ReadOnlyError(
                "opened with read_only=True", self._engine.files.directory.path, errno.EROFS
            )

    # -- the two hooks -----------------------------------------------------------------------

    def _load(self, key: TierKey) -> Any:
        """A miss of L1: look below, promote what is found. MISSING when it is nowhere."""
        encoded = encode_key(key)
        engine = self._engine
        if self._write_back:
            held, found = self._look(key, encoded)
            if held is not None:
                return held[0]
        else:  # all of L1 is below as well
            found = engine.read(encoded)
        warm, cold = engine.counters
        if found is None:
            warm.misses += 1
            cold.misses += 1
            return MISSING
        record, content = found
        value = self._decode(record, content)
        counters = warm
        if record.word & TIER_BIT:
            counters = cold
            warm.misses += 1
        counters.hits += 1
        size_bytes, _form = self._measure(key, value)
        put_ns = record.written_ms * 1_000_000 - self.log.wall_offset_ns
        if self._admit(
            key, value, size_bytes, engine.deadline_of(record), put_ns, encoded, record.word
        ):
            counters.promotions += 1
        if record.word & TIER_BIT and record.read_before:
            engine.promote(record, content)
        if engine.dropped_keys:
            self._forget_dropped()
        return value

    def _decode(self, record: Record, content: bytes) -> Any:
        try:
            return self._codec.decode(record.codec, content)
        except SerializationError:
            tier = COLD if record.word & TIER_BIT else WARM
            self._engine.counters[tier].errors["undecodable"] += 1
            raise

    def _spill(self, others: bool = False) -> None:
        """Evicted dirty entries wait in limbo: write each to L2, or drop it, counted and logged.

        What another thread is writing is left to it, unless `others`; what this thread is writing
        further up the stack (a serializer that came back here) is left to that call.
        """
        me = threading.get_ident()
        for key in list(self.limbo):
            # As often as it is evicted anew meanwhile: others left that to this thread.
            while key in self.limbo and self._spilling.get(key) != me:
                mine = self._spilling.setdefault(key, me) == me
                if not (mine or others):
                    break
                try:
                    self._spill_one(key)
                finally:
                    if mine:
                        del self._spilling[key]

    def _spill_one(self, key: TierKey) -> None:
        value = self.limbo.get(key, MISSING)
        deadline = self.limbo_deadline.get(key, 0)
        if value is MISSING:
            return  # superseded just now
        if deadline and deadline <= boottime_ns():
            self._expired_in_limbo += self._drop_victim(key, value)
            return
        try:
            self._write_value(key, value, deadline, self._write_victim)
        except (SerializationError, ValueTooLargeError, ClosedError, OSError) as error:
            if self._drop_victim(key, value):
                self._note_spill_failed(key, error)

    def _write_value(
        self, key: TierKey, value: Any, deadline: int, commit: Callable[..., int]
    ) -> None:
        """Write one dirty value below by `commit`, unless it was superseded meanwhile."""
        codec_id, body = self._codec.encode(value, measure(value)[1])
        encoded = encode_key(key)
        call = commit, key, value, deadline, encoded
        self._write_below(encoded, codec_id, body, deadline, call)

    def _note_spill_failed(self, key: TierKey, error: Exception) -> None:
        self._spill_failed += 1
        log_to.warning("dropped %r, which could not be spilled: %s", key, error)

    def flush(self) -> None:
        """Return when everything put so far would survive power loss.

        In "cache" mode dirty entries are written to L2 first. One that cannot be stays dirty, and
        its SerializationError or ValueTooLargeError is raised when all others are safe.
        """
        self._require_writable()
        unwritable = self._write_dirty()
        self._engine.sync()
        for error in unwritable.values():
            raise error

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

    def close(self) -> None:
        """Close both directories for the next opener. Idempotent.

        In "cache" mode dirty entries are written first; one that cannot be encoded is dropped,
        counted and logged. OSError (no space): the memory stays open and whole.
        """
        if self.closed:
            return
        if self._write_back and not self.log.closed:
            self._write_dirty()  # the most of it, while puts go on
            self._seal(True)
            try:
                for key, error in self._write_dirty().items():
                    if self._erase_all(key, encode_key(key), MISSING, 0):
                        self._note_spill_failed(key, error)
            except BaseException:
                self._seal(False)
                raise
        self._engine.close()
        super().close()
        _memories.pop(id(self), None)

    def __del__(self) -> None:
        # _engine is missing when the constructor failed.
        if getattr(self, "_engine", None) is not None and not self.closed:
            self.close()

    # -- reading -----------------------------------------------------------------------------

    def _look(
        self, key: TierKey, encoded: bytes
    ) -> tuple[Held | None, tuple[Record, bytes] | None]:
        """What L1 or limbo holds of a key, or else its record below and the record's content."""
        while True:
            raised = self.raised
            held = self._held(key) or self._in_limbo(key)
            if held is not None:
                return held, None
            found = self._engine.read(encoded)
            if found is not None or raised == self.raised:
                return None, found

    def _in_limbo(self, key: object) -> Held | None:
        value = self.limbo.get(key, MISSING)
        deadline = self.limbo_deadline.get(key, 0)
        if value is MISSING or (deadline and deadline <= boottime_ns()):
            return None
        return value, boottime_ns(), deadline, 0, 0, True

    def _find(self, key: TierKey, encoded: bytes) -> tuple[Any, int]:
        """(value, word of its record or 0) wherever the key is, without promoting it."""
        held, found = self._look(key, encoded)
        if held is not None:
            return held[0], held[4]
        if found is None:
            return MISSING, 0
        return self._decode(*found), found[0].word

    def peek(self, key: Any, default: Any = None) -> Any:
        """Return the key's value from whatever tier, promoting and counting nothing."""
        value, _word = self._find(key, encode_key(key))
        return default if value is MISSING else value

    def entry(self, key: Any) -> MemoryEntry | None:
        """Return what is known of a key, its value included, or None; it is not promoted."""
        held, found = self._look(key, encode_key(key))
        if held is not None:
            return self._l1_entry(key, held)
        if found is None:
            return None
        record = found[0]
        written = record.written_ms / 1000
        return MemoryEntry(
            key,
            self._decode(*found),
            MemoryTier.L3_COLD if record.word & TIER_BIT else MemoryTier.L2_WARM,
            written,
            ttl=record.deadline_ns / 1e9 - written if record.deadline_ns else None,
        )

    def _l1_entry(self, key: TierKey, held: Held) -> MemoryEntry:
        value, put, deadline, hits, _version, _dirty = held
        ttl = (deadline - put) / 1e9 if deadline else None
        return MemoryEntry(key, value, MemoryTier.L1_HOT, self._wall(put), hits, ttl)

    def _wall(self, boottime: int) -> float:
        return (boottime + self.log.wall_offset_ns) / 1e9

    def __contains__(self, key: object) -> bool:
        encoded = encode_key(key)
        while True:
            raised = self.raised
            if self._held(key) is not None or self._in_limbo(key) is not None:
                return True
            if self.log.seek(encoded):
                return True
            if raised == self.raised:
                return False

    def __len__(self) -> int:
        """Entries of all tiers, those expired but not yet noticed included.

        O(1), but O(entries of L1) in "cache" mode.
        """
        below = self.log.warm_entries + self.log.cold_entries
        return below + (len(self._dirty()) + len(self.limbo) if self._write_back else 0)

    def __iter__(self) -> Iterator[TierKey]:
        """Iterate the keys of all tiers. Keys there throughout come once; changes never raise.

        In "cache" mode it notes the keys it has met, so that one that moves is not met again.
        """
        if not self._write_back:
            yield from self._keys_below()
            return
        met: set[TierKey] = set()
        while True:
            raised, before = self.raised, len(met)
            for keys in ([*self._dirty(), *self.limbo], self._keys_below()):
                for key in keys:
                    if key not in met:
                        met.add(key)
                        yield key
            if raised == self.raised or len(met) == before:
                return

    def _keys_below(self) -> Iterator[TierKey]:
        groups, level = scan.directory(self.log)
        for first in range(0, groups, GROUPS_A_STEP):
            for record in scan.entries(self.log, groups, level, first, GROUPS_A_STEP):
                yield decode_key(record.key)

    __reversed__ = None

    def keys(self) -> KeysView[Any]:
        """A view of the keys of all tiers."""
        return KeysView(self)

    def values(self) -> ValuesView[Any]:
        """A view of the values of all tiers; iterating promotes nothing."""
        return _Values(self)

    def items(self) -> ItemsView[Any, Any]:
        """A view of the entries of all tiers; iterating promotes nothing."""
        return _Items(self)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.put(key, value)

    def __delitem__(self, key: Any) -> None:
        if not self.delete(key):
            raise KeyError(key)

    def __enter__(self) -> Self:
        if self.closed:
            raise ClosedError("the memory is closed")
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- attributes and counts ---------------------------------------------------------------

    @property
    def l1(self) -> Mapping[Any, MemoryEntry]:
        """A live read-only mapping of what L1 holds: key -> MemoryEntry."""
        return _HeldByL1(self)

    @property
    def l1_size_bytes(self) -> int:
        """L1's budget."""
        return self.budget_bytes

    @property
    def l1_current_bytes(self) -> int:
        """What L1 holds, our own overhead included."""
        return self.used_bytes

    @property
    def l2_path(self) -> os.PathLike[str]:
        """L2's directory."""
        return self._engine.files.paths[0]

    @property
    def l3_path(self) -> os.PathLike[str]:
        """L3's directory."""
        return self._engine.files.paths[1]

    def stats(self) -> dict[str, dict[str, Any]]:
        """Return for each tier: entries, bytes, budget, hits, misses, promotions, demotions,
        expirations, evictions by cause, errors by kind. Counts are of this process.

        Promotions are counted in the tier that the value came from, demotions and evictions in
        the one that it left.
        """
        l1 = super().stats()
        l1["promotions"] = 0
        l1["demotions"] = self.demoted
        l1["expirations"] += self._expired_in_limbo
        if self._spill_failed:
            l1["evictions"]["spill_failed"] = self._spill_failed
        return {"l1": l1, "l2": self._engine.warm_stats(), "l3": self._engine.cold_stats()}

    def get_stats(self) -> dict[str, Any]:
        """Return the flat view of `stats()`: `l1_entries`, `l2_evictions_size`, ... and
        `l1_usage_mb`, `l1_capacity_mb`, `l2_files`, `l3_files`."""
        flat: dict[str, Any] = {
            "l1_usage_mb": self.used_bytes / MIB,
            "l1_capacity_mb": self.budget_bytes / MIB,
        }
        for tier, counts in self.stats().items():
            for name, count in counts.items():
                if isinstance(count, dict):
                    flat.update({f"{tier}_{name}_{kind}": n for kind, n in count.items()})
                else:
                    flat[f"{tier}_{name}"] = count
        return flat

    def check(self) -> None:
        """Walk every structure of every tier. AssertionError names what is wrong."""
        self._check()
        problems = scan.check_index(self.log)
        assert not problems, "; ".join(problems[:5])
        if self._write_back:
            return
        for key in self.l1:
            held = self._held(key)
            assert held is None or not held[5], f"{key!r} is dirty in a write-through memory"
            assert held is None or self.log.seek(encode_key(key)), f"{key!r} is only in L1"


class _HeldByL1(Mapping[Any, MemoryEntry]):
    """What L1 holds, as entries made when asked for."""

    def __init__(self, memory: TieredMemorySystem) -> None:
        self._memory = memory

    def __getitem__(self, key: Any) -> MemoryEntry:
        held = self._memory._held(key)
        if held is None:
            raise KeyError(key)
        return self._memory._l1_entry(key, held)

    def __iter__(self) -> Iterator[Any]:
        return self._memory._l1_keys()

    def __len__(self) -> int:
        return sum(1 for _ in self)


class _Values(ValuesView[Any]):
    _mapping: TieredMemorySystem

    def __init__(self, memory: TieredMemorySystem) -> None:
        super().__init__(memory)

    def __iter__(self) -> Iterator[Any]:
        return (value for _key, value in self._mapping.items())

    def __contains__(self, value: object) -> bool:
        return any(held is value or held == value for held in self)


class _Items(ItemsView[Any, Any]):
    _mapping: TieredMemorySystem

    def __init__(self, memory: TieredMemorySystem) -> None:
        super().__init__(memory)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        for key in self._mapping:
            value = self._mapping.peek(key, MISSING)
            if value is not MISSING:
                yield key, value

    def __contains__(self, item: object) -> bool:
        if not isinstance(item, tuple) or len(item) != 2:
            return False
        held = self._mapping.peek(item[0], MISSING)
        return held is not MISSING and bool(held is item[1] or held == item[1])


def _at_exit() -> None:
    for memory in list(_memories.values()):
        try:
            memory.close()
        except OSError as error:
            log_to.error("%s: not closed at exit: %s", memory.l2_path, error)


def _after_fork() -> None:
    for memory in list(_memories.values()):
        memory._abandon()
    _memories.clear()


if sys.platform == "linux":
    atexit.register(_at_exit)  # after the engine's own, so that it runs before
    os.register_at_fork(after_in_child=_after_fork)
