"""What looks into the tiers and moves nothing: lookups, iteration, views and counts.

The map of the classes that make up a memory is in memory.py.
"""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterator, KeysView, Mapping, ValuesView
from pathlib import Path
from typing import Any

from fastmem._core import scan
from fastmem._core.clock import boottime_ns
from fastmem._core.keys import decode_key, encode_key
from fastmem._core.l1 import MISSING
from fastmem._core.layout import TIER_BIT
from fastmem._core.log import COLD, WARM, Record
from fastmem._core.sizing import measure
from fastmem._core.through import Through
from fastmem.arguments import MIB
from fastmem.codecs import ValueCodec
from fastmem.entries import MemoryEntry, MemoryTier, TierKey
from fastmem.storage.engine import Engine
from fastmem.storage.promotion import promote
from fastmem.storage.verification import OnCorrupt, verify
from fastmem.views import PresentItems, PresentValues

__all__ = ["TieredLookup"]

Held = tuple[Any, int, int, int, int, bool]  # see TieredL1._held


class TieredLookup(Through):
    """The reading half of TieredMemorySystem. A key goes down from L1 through limbo to below, and
    comes up only with `raised` counted: every lookup goes the same way and then looks at that.
    """

    _engine: Engine
    _codec: ValueCodec
    _decode: Callable[[Record, bytes], Any]  # a value from what `_look` found
    _write_back: bool
    _spill_failed: int
    _expired_in_limbo: int

    def _look(
        self, key: TierKey, encoded: bytes, *, mark: bool, resident_only: bool = False
    ) -> tuple[Held | None, tuple[Record, bytes] | None]:
        """What L1 or limbo holds of a key, or else its record below and the record's content.

        With `mark` it counts as read there, so that reclaim keeps it and a cold one comes up. With
        `resident_only` it always does, and BlockingIOError tells that it is not in memory.
        """
        while True:
            raised = self._raised
            held = self._held(key) or self._in_limbo(key)
            if held is not None:
                return held, None
            if resident_only:
                found = self._engine.contents.read_resident(encoded)
            else:
                found = self._engine.read(encoded, mark=mark)
            if found is not None or raised == self._raised:
                if self._engine.files.was_shared:
                    self._held(key)  # what another thread has loaded since may be older: drop it
                return None, found

    def _in_limbo(self, key: object) -> Held | None:
        value = self._limbo.get(key, MISSING)
        deadline = self._limbo_deadline.get(key, 0)
        if value is MISSING or (deadline and deadline <= boottime_ns()):
            return None
        return value, boottime_ns(), deadline, 0, 0, True

    def _find(self, key: TierKey, encoded: bytes, *, mark: bool = True) -> tuple[Any, int, int]:
        """(value, word of its record or 0, deadline_ns) wherever the key is; it is not promoted."""
        held, found = self._look(key, encoded, mark=mark)
        if held is not None:
            return held[0], held[4], held[2]
        if found is None:
            return MISSING, 0, 0
        return self._decode(*found), found[0].word, self._engine.contents.deadline_of(found[0])

    def _deadline(self, key: Any) -> int:
        held, found = self._look(key, encode_key(key), mark=False)
        if held is not None:
            return held[2]
        if found is None:
            raise KeyError(key)
        return self._engine.contents.deadline_of(found[0])

    def peek(self, key: Any, default: Any = None) -> Any:
        """Return the key's value from whatever tier, counting nothing and moving nothing, neither
        now nor later: it is no read."""
        value, _word, _deadline = self._find(key, encode_key(key), mark=False)
        return default if value is MISSING else value

    def get_view(self, key: Any, default: Any = None) -> Any:
        """Return a read-only memoryview of the bytes of a key's value, or `default`.

        As `SegmentStore.get_view`, without a copy, when they lie in L2, or in L3 as they are.
        What L3 holds compressed, and what only L1 holds ("cache"), comes as a view of a copy. L1
        takes nothing: neither its budget nor its recency hears of it. The tier below counts a hit
        and, for reclaim, a read; what L3 holds compressed moves up to L2 when it is read again.
        """
        encoded = encode_key(key)
        while True:
            raised = self._raised
            held = (self._held(key) or self._in_limbo(key)) if self._write_back else None
            if held is not None and held[5]:
                return self._codec.bytes_view(*self._codec.encode(held[0], measure(held[0])[1]))
            found = self._engine.views.view(encoded)
            if found is not None or raised == self._raised:
                break
        warm, cold = self._engine.counters
        if found is None:
            warm.misses += 1
            cold.misses += 1
            return default
        view = self._engine.contents.bytes_view(self._codec, *found)
        if found[0].word & TIER_BIT:
            warm.misses += 1
            cold.hits += 1
            if found[0].read_before and isinstance(found[1], bytes):
                promote(self._engine, found[0], found[1])
        else:
            warm.hits += 1
        return view

    def entry(self, key: Any) -> MemoryEntry | None:
        """Return what is known of a key, its value included, or None. A look, as `peek` is."""
        held, found = self._look(key, encode_key(key), mark=False)
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
        return (boottime + self._log.wall_offset_ns) / 1e9

    def __contains__(self, key: object) -> bool:
        encoded = encode_key(key)
        while True:
            raised = self._raised
            if self._held(key) is not None or self._in_limbo(key) is not None:
                return True
            if self._log.seek(encoded):
                return True
            if raised == self._raised:
                return False

    def __len__(self) -> int:
        """Entries of all tiers, those expired but not yet noticed included.

        O(1), but O(entries of L1) in "cache" mode.
        """
        below = self._log.warm_entries + self._log.cold_entries
        return below + (len(self._dirty()) + len(self._limbo) if self._write_back else 0)

    def __iter__(self) -> Iterator[Any]:
        """Iterate the keys of all tiers. Keys there throughout come once; changes never raise.

        In "cache" mode it notes the keys it has met, so that one that moves is not met again.
        """
        if not self._write_back:
            yield from self._keys_below()
            return
        met: set[TierKey] = set()
        while True:
            raised, before = self._raised, len(met)
            for keys in ([*self._dirty(), *self._limbo], self._keys_below()):
                for key in keys:
                    if key not in met:
                        met.add(key)
                        yield key
            if raised == self._raised or len(met) == before:
                return

    def _keys_below(self) -> Iterator[TierKey]:
        return (decode_key(record.key) for record in scan.heads(self._log))

    __reversed__ = None

    def keys(self) -> KeysView[Any]:
        """A view of the keys of all tiers."""
        return KeysView(self)

    def values(self) -> ValuesView[Any]:
        """A view of the values of all tiers; iterating promotes nothing."""
        return PresentValues(self)

    def items(self) -> ItemsView[Any, Any]:
        """A view of the entries of all tiers; iterating promotes nothing.

        An entry that goes, expires or is found damaged meanwhile is passed over. One that does not
        decode is a SerializationError with its `key`, as in `get`, and ends the iteration: take
        ``for key in memory`` and `peek` to go on after it.
        """
        return PresentItems(self)

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
    def l2_path(self) -> Path:
        """L2's directory."""
        return self._engine.files.paths[0]

    @property
    def l3_path(self) -> Path:
        """L3's directory."""
        return self._engine.files.paths[1]

    def stats(self) -> dict[str, dict[str, Any]]:
        """Return for each tier: entries, bytes, budget, hits, misses, promotions, demotions,
        expirations, evictions by cause, errors by kind (all there are, with zeros). Counts are of
        this process.

        Promotions are counted in the tier that the value came from, demotions and evictions in
        the one that it left. Each leaving is one or the other: what the tier below has, be it that
        it had it all along, was demoted; what no tier has any more was evicted. So L1 evicts only
        what could not be spilled, and whatever a tier evicts has left the memory.
        """
        l1 = super().stats()
        l1["promotions"] = 0
        l1["demotions"] = self._demoted
        l1["invalidations"] = self._invalidations
        l1["expirations"] += self._expired_in_limbo
        l1["evictions"] = {"spill_failed": self._spill_failed + self._unspilled}
        return {"l1": l1, "l2": self._engine.stats(WARM), "l3": self._engine.stats(COLD)}

    def get_stats(self) -> dict[str, Any]:
        """Return the flat view of `stats()`: `l1_entries`, `l2_files`, ... and `l1_usage_mb`,
        `l1_capacity_mb`. What is by cause or kind comes singly and in all: `l2_evictions_size` and
        `l2_evictions`, `l2_errors_corrupt` and `l2_errors`. The names are always the same."""
        flat: dict[str, Any] = {
            "l1_usage_mb": self.used_bytes / MIB,
            "l1_capacity_mb": self.budget_bytes / MIB,
        }
        for tier, counts in self.stats().items():
            for name, count in counts.items():
                if isinstance(count, dict):
                    if name in ("evictions", "errors"):
                        flat[f"{tier}_{name}"] = sum(count.values())
                    flat.update({f"{tier}_{name}_{kind}": n for kind, n in count.items()})
                else:
                    flat[f"{tier}_{name}"] = count
        return flat

    def verify(self, *, on_corrupt: OnCorrupt | None = None) -> int:
        """Read every record of L2 and L3 to the last byte. Return how many there are.

        As `SegmentStore.verify`: the first that is damaged raises its CorruptRecordError, or each
        is handed to `on_corrupt`. What only L1 holds ("cache") is no record yet.
        """
        return verify(self._engine, on_corrupt)

    def check(self) -> None:
        """Walk L1, the index with every record it leads to, and the files, and compare them with
        each other and with what is counted. AssertionError names what is wrong.

        For tests and doubts, and for a memory at rest: what other threads have begun and not yet
        counted (a put of a large value, say) is told as wrong too. What it asks is whether the
        memory's parts fit together; whether what is stored can be read, value files and
        signatures included, `verify` asks. The walk of L1 alone is `_check`, which every L1Cache
        has: a tool of fastmem's own tests, made of compiled asserts, and so nothing under
        ``python -O``.
        """
        self._check()
        self._engine.check()
        for key in () if self._write_back else self.l1:
            held = self._held(key)
            if held is not None and held[5]:
                raise AssertionError(f"{key!r} is dirty in a write-through memory")
            # Another process may have deleted it since.
            shared = self._engine.files.was_shared
            if held is not None and not self._log.seek(encode_key(key)) and not shared:
                raise AssertionError(f"{key!r} is only in L1")


class _HeldByL1(Mapping[Any, MemoryEntry]):
    """What L1 holds, as entries made when asked for."""

    def __init__(self, memory: TieredLookup) -> None:
        self._memory = memory

    def __getitem__(self, key: Any) -> MemoryEntry:
        held = self._memory._held(key)
        if held is None:
            raise KeyError(key)
        return self._memory._l1_entry(key, held)

    def peek(self, key: Any, default: Any = None) -> Any:
        """As `get`: a look at L1 moves nothing."""
        return self.get(key, default)

    def values(self) -> ValuesView[MemoryEntry]:
        return PresentValues(self)

    def items(self) -> ItemsView[Any, MemoryEntry]:
        return PresentItems(self)

    def __iter__(self) -> Iterator[Any]:
        return self._memory._l1_keys()

    def __len__(self) -> int:
        return sum(1 for _ in self)
