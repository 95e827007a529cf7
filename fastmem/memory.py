"""TieredMemorySystem: L1 in process, L2 in mapped segments, L3 in the archive, as one mapping.

It has to inherit the compiled cache: a hit in L1 is that class's own `get` and runs no Python. So
its methods stand in a chain of classes, each in one file, by what they do::

    _core/l1.L1Cache          get, [], peek and the rest of a cache: the hits
    _core/writeback.WriteBack L1 over a log: dirty entries, victims on their way down
    _core/guards.Guarded      what a change looks at first
    _core/tiered.TieredL1     steps on L1 and the log that must be one step (_commit, _erase, ...)
    _core/through.Through     put, []=, and a miss of L1: compiled for plain values
    lookup.TieredLookup       looks below, moves nothing: peek, entry, in, len, iteration, stats
    writing.TieredWriting     bytes on their way down: _store, spilling, write-back
    conditional.TieredVerbs   looks, then writes: add, incr, compare_and_set, pop, put_many, ...
    memory.TieredMemorySystem (here) opens, changes, closes: delete, clear, flush, close; and
                              _load, for a miss that is more than a plain value in L2

What lies below L1 is no base class but an object: `storage.engine.Engine`, as ``self._engine``.
"""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Callable, MutableMapping
from functools import partial
from typing import Any, Literal, Self

from fastmem._core.keys import encode_key
from fastmem._core.l1 import MISSING
from fastmem._core.layout import TIER_BIT
from fastmem._core.log import WARM
from fastmem._core.tiered import CAUSE_CLEARED, CAUSE_SIZE
from fastmem.arguments import MIB, bound_ns, directory, flag, mebibytes, positive
from fastmem.codecs import ValueCodec
from fastmem.conditional import TieredVerbs
from fastmem.entries import TierKey
from fastmem.errors import SerializationError
from fastmem.protocols import Serializer
from fastmem.storage.clearing import clear_rest
from fastmem.storage.engine import LEAST_BUDGET_BYTES, TIMEOUT_S, Engine
from fastmem.storage.progress import OnProgress, callback
from fastmem.storage.promotion import promote

__all__ = ["TieredMemorySystem"]

log_to = logging.getLogger("fastmem")

Durability = Literal["process", "disk", "cache"]
# Open memories by id (a mapping is not hashable), for the end of the process and for forks.
_memories: weakref.WeakValueDictionary[int, TieredMemorySystem] = weakref.WeakValueDictionary()


class TieredMemorySystem(TieredVerbs):
    """A mapping over three tiers, each within its budget of bytes.

    Every value is found wherever it is, and the newest put wins. Keys are str, bytes, int or
    tuples of these, told apart by type. L1 holds the object that was put, the tiers below a copy
    of it as it was then: treat what is stored as immutable.

    ``durability="process"`` (the default) writes each put through to L2's mapped log, which the
    death of the process does not harm; ``"disk"`` also waits for the device; ``"cache"`` keeps a
    put in L1 until it is evicted, flushed or closed, so a kill loses what only L1 held.

    L2 takes at most `l2_size_mb` (None: four times L1, at least 64, and at least 8 segments of a
    directory that is there) and demotes its oldest entries to L3, which is unbounded unless
    `l3_size_mb` is given. The index of both lies in L2, 20 to 40 bytes an entry, and goes slower
    where its budget has no room for it to grow. Any number of processes have both directories open
    at once, unless one wants ``"cache"``, which is alone with them. Safe to use from any thread,
    and in a forked child, where ``"cache"`` is closed.

    What a method does in L1, and to the entry below it::

        get, []            a hit is L1's own     else reads below and promotes
        peek, entry, in    looks, moves nothing  the same
        get_many           as get, key by key
        get_view           touches nothing       a view of the bytes below, without a copy
        put, []=, update   holds the value       writes it ("cache": deletes the older one)
        put_many           as put, pair by pair, when all are measured and encoded
        add, setdefault    as put, when it is nowhere; setdefault else as get
        incr               replaces the int that it finds, deadline kept, as put does
        compare_and_set    replaces the value that it finds, deadline kept, as put does
        touch              makes most recent     with a ttl: writes it again
        delete, del, pop   removes               removes
        delete_many        as delete, key by key
        popitem            removes the victim-to-be, or any entry when L1 is empty
        clear              removes everything everywhere
        len, iter, keys, values, items, ==       all tiers, promoting nothing
        resize, expire     L1 alone: victims stay below ("cache": are written there first)
        flush              writes what only L1 holds, then waits for the device
        close              writes what only L1 holds; power loss may take what was not flushed
        stats, get_stats, check, verify          all tiers
        add_listener       hears what leaves the hierarchy; going down a tier is no leaving

    A listener gets the value that L1 held, or ``fastmem.NOT_LOADED`` when only lower tiers held it.
    ``"size"`` is what the last tier evicted, and what could not be spilled; ``"expired"`` is what
    expired in L1, while an entry that expires below is only counted; ``close`` tells nothing.

    ``get`` of what L1 does not hold reads a record of L2 (microseconds) or a frame of L3 and
    decodes it; a damaged record is a miss, counted and logged, and bytes that do not become a value
    are a SerializationError. Arrays come as copies, for L1 holds what it counts, and a view would
    hold a whole segment of L2; `get_view` and a SegmentStore have views. Values up to half of L2's
    budget go there, larger ones to L3 (up to half of its budget, 4 GiB when it has none), still
    larger ones are a ValueTooLargeError.

    The other keywords: `policy` of L1, "lru" or "s3fifo" (see L1Cache); `serializer`, "auto" or an
    object with ``dumps`` and ``loads`` that takes every value; `allow_pickle`, whether objects of
    other than plain types may go through pickle; `secret_key` (16 to 64 bytes), with which records
    are signed, and without whose signature they are misses; `read_only`, which writes not a byte;
    `sizer`, bytes of a value for L1's budget; `level` of zstd, 1 to 22.
    `progress` is called as ``progress(done_bytes, total_bytes)`` while an opening has to read the
    whole log, because there is no index to be trusted: in the thread that opens, between two files,
    from (0, total) to (total, total). What it raises, the constructor raises, and nothing is lost.

    What another process puts or deletes in the directories is found below at once. With `coherent`
    no hit in L1 returns what was replaced or deleted elsewhere once that operation has returned,
    for some nanoseconds a hit; without, a hit may be up to `max_stale_s` (and a tick of the clock)
    old. All that is not a hit (peek, in, entry, add, incr, compare_and_set, pop, ...) is exact in
    either case, and so is what a memoized function stores. Listeners hear of this process's changes
    only. `timeout_s` is how long a change waits for other processes: then it is a
    StoreTimeoutError, which tells whether, in ``"disk"``, all but the sync is done.

    The constructor raises StoreLockedError (another process has the directories for itself, or one
    of them without the other), DirectoryRefusedError (its owner, mode, links or file system; L2 and
    L3 swapped; not the secret_key it was made with), FormatError (newer, or a file that bears one
    of our names and is somebody else's: ``l2_path=".git"``), StoreNotFoundError (`read_only`, and
    no store is there), TypeError, ValueError (such as a budget under 16 MiB, or too small for the
    segments that are there) and OSError. Whatever was stored is then as it was; empty directories
    may have been made.

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
        policy: Literal["lru", "s3fifo"] = "lru",
        durability: Durability = "process",
        coherent: bool = False,
        max_stale_s: float = 1.0,
        serializer: Literal["auto"] | Serializer = "auto",
        allow_pickle: bool = True,
        secret_key: bytes | None = None,
        read_only: bool = False,
        sizer: Callable[[Any], int] | None = None,
        level: int = 3,
        timeout_s: float = TIMEOUT_S,
        progress: OnProgress | None = None,
    ) -> None:
        warm_path, cold_path = directory("l2_path", l2_path), directory("l3_path", l3_path)
        if os.path.abspath(warm_path) == os.path.abspath(cold_path):
            raise ValueError(f"l2_path and l3_path are the same directory, {warm_path!r}")
        l1_bytes = mebibytes("l1_size_mb", l1_size_mb)
        warm_bytes, cold_bytes = max(4 * l1_bytes, 64 * MIB), None
        if l2_size_mb is not None:
            warm_bytes = mebibytes("l2_size_mb", l2_size_mb, LEAST_BUDGET_BYTES)
        if l3_size_mb is not None:
            cold_bytes = mebibytes("l3_size_mb", l3_size_mb, LEAST_BUDGET_BYTES)
        self.max_stale_s = positive("max_stale_s", max_stale_s)
        self.coherent, self.timeout_s = flag("coherent", coherent), positive("timeout_s", timeout_s)
        super().__init__(l1_bytes, policy=policy, sizer=sizer)
        self._codec = ValueCodec(serializer, allow_pickle=allow_pickle)
        self._engine = Engine(
            warm_path,
            cold_path,
            warm_budget_bytes=warm_bytes,
            widen_warm=l2_size_mb is None,
            cold_budget_bytes=cold_bytes,
            durability=durability,
            level=level,
            secret_key=secret_key,
            read_only=flag("read_only", read_only),
            timeout_s=self.timeout_s,
            progress=callback(progress),
        )
        self._decode = partial(self._engine.contents.decode, self._codec)
        self._write_back = durability == "cache"
        self._spill_failed = 0
        self._expired_in_limbo = 0
        self._spilling = {}
        self._engine.dropped_keys = []
        stale_ns = 0 if coherent else bound_ns(self.max_stale_s)
        self._join(self._engine.log, None if self._write_back else stale_ns)
        if self._engine.files.attached:
            self._expect_others()
        # A dirty entry is nowhere below, a secret key signs, and "disk" waits: the long way.
        reads = durability != "cache" and secret_key is None
        self._serve(
            self._codec,
            *self._engine.counters,
            self._engine.dropped_keys,
            self._engine.room.provide,
            self._engine.settle,
            reads=reads,
            writes=reads and durability == "process" and not read_only,
        )
        _memories[id(self)] = self

    # -- writing -----------------------------------------------------------------------------

    def delete(self, key: Any) -> bool:
        """Remove the key from every tier. True when it was there."""
        self._engine.require_writable()
        encoded = encode_key(key)
        return bool(self._erase_all(key, encoded, MISSING, 0))

    def popitem(self) -> tuple[Any, Any]:
        """Remove and return the entry that L1 would evict next, or any entry when L1 is empty.

        Damaged ones, and those that do not decode (see the class), stay and are passed over.
        KeyError when nothing is left.
        """
        self._engine.require_writable()
        for keys in (self._l1_keys(), self):
            for key in keys:
                try:
                    value = self.pop(key, MISSING)
                except SerializationError:
                    continue
                if value is not MISSING:
                    return key, value
        raise KeyError("popitem(): the memory has no entry that can be read")

    def update(self, other: Any = (), /, **more: Any) -> None:
        """Put every pair of a mapping or of an iterable of pairs, then the keywords."""
        self._engine.require_writable()
        MutableMapping.update(self, other, **more)

    def clear(self) -> None:
        """Delete every entry of every tier, expired and damaged ones included: a tombstone each,
        O(entries). All of the log is read if an entry leads to a damaged record.
        """
        self._engine.require_writable()
        self._void_leases()
        for key in list(self):
            self._erase_all(key, encode_key(key), MISSING, 0, CAUSE_CLEARED)
        for key in list(self._l1_keys()):  # copies of records that are damaged
            self._erase_all(key, encode_key(key), MISSING, 0, CAUSE_CLEARED)
        clear_rest(self._engine)
        self.expire()

    def __repr__(self) -> str:
        if self.closed:
            return f"<{type(self).__name__} closed, {str(self.l2_path)!r}>"
        return super().__repr__()

    # -- the two hooks -----------------------------------------------------------------------

    def _load(self, key: TierKey, *, resident_only: bool = False) -> Any:
        """A miss of L1 that takes more than one plain record: look below, promote what is found.
        MISSING when it is nowhere.
        """
        encoded = encode_key(key)
        engine = self._engine
        if self._write_back or resident_only:
            held, found = self._look(key, encoded, mark=True, resident_only=resident_only)
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
        put_ns = record.written_ms * 1_000_000 - self._log.wall_offset_ns
        if self._admit(
            key,
            value,
            size_bytes,
            engine.contents.deadline_of(record),
            put_ns,
            record,
        ):
            counters.promotions += 1
        elif engine.files.was_shared:
            self._held(key)  # what another thread has loaded since may be older: drop it
        if record.word & TIER_BIT and record.read_before and not resident_only:
            promote(engine, record, content)
        if engine.dropped_keys:
            self._forget_dropped()
        return value

    def _load_resident(self, key: TierKey) -> Any:
        """As `_load`, of what is in memory. It moves nothing from L3 to L2, which might wait."""
        try:
            return self._load(key, resident_only=True)
        except BlockingIOError:
            self._engine.counters[WARM].not_resident += 1
            return MISSING

    def flush(self) -> None:
        """Return when everything put so far would survive power loss.

        In "cache" mode dirty entries are written to L2 first. One that cannot be stays dirty, and
        its SerializationError or ValueTooLargeError is raised when all others are safe.
        """
        self._engine.require_writable()
        unwritable = self._write_dirty()
        self._engine.sync()
        for error in unwritable.values():
            raise error

    def close(self) -> None:
        """Close both directories for the next opener. Idempotent.

        The death of the process loses nothing; power loss may take what was not flushed.

        In "cache" mode dirty entries are written first; one that cannot be encoded is dropped,
        counted and logged. OSError (no space): the memory stays open and whole.
        """
        if self.closed:
            return
        if self._write_back and not self._log.closed:
            self._write_dirty()  # the most of it, while puts go on
            self._seal(True)
            try:
                for key, error in self._write_dirty().items():
                    if self._erase_all(key, encode_key(key), MISSING, 0, CAUSE_SIZE):
                        self._note_spill_failed(key, error)
            except BaseException:
                self._seal(False)
                raise
        self._engine.close()
        super().close()
        self._part()
        _memories.pop(id(self), None)

    def __del__(self) -> None:
        # _engine is missing when the constructor failed.
        if getattr(self, "_engine", None) is not None and not self.closed:
            self._engine.hurry()
            self.close()

    def __delitem__(self, key: Any) -> None:
        if not self.delete(key):
            raise KeyError(key)

    def __enter__(self) -> Self:
        self._engine.files.require_open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def close_at_exit() -> None:
    """Called by the package when the interpreter ends."""
    for memory in list(_memories.values()):
        try:
            memory.close()
        except Exception:
            log_to.exception("%s: not closed at exit", memory.l2_path)


def _after_fork() -> None:
    for memory in list(_memories.values()):
        memory._void_leases()  # of threads that this process does not have
        if memory._log.closed:
            memory._abandon()
            del _memories[id(memory)]
        else:
            memory._expect_others()  # the parent, to begin with


os.register_at_fork(after_in_child=_after_fork)
