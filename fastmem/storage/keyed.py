"""What SegmentStore and Archive have in common: the verbs of a mapping over one engine."""

from __future__ import annotations

import os
from collections.abc import Callable, ItemsView, Iterator, MutableMapping, ValuesView
from functools import partial
from types import TracebackType
from typing import Any, Literal, NoReturn, Self

from fastmem._core import scan
from fastmem._core.cache import MISSING
from fastmem._core.drafts import Draft
from fastmem._core.keys import decode_key, encode_key
from fastmem._core.log import WARM, Record
from fastmem._core.many import ManyVerbs
from fastmem._core.sizing import measure
from fastmem.arguments import directory, flag, positive, whole
from fastmem.codecs import ValueCodec
from fastmem.entries import TierKey
from fastmem.errors import SerializationError, ValueTooLargeError
from fastmem.protocols import Serializer
from fastmem.storage.clearing import clear_rest
from fastmem.storage.engine import LEAST_BUDGET_BYTES, Engine
from fastmem.storage.progress import OnProgress, callback
from fastmem.storage.verification import OnCorrupt, verify
from fastmem.storage.warming import prewarm
from fastmem.views import PresentItems, PresentValues

Durability = Literal["process", "disk"]


class KeyedStore(
    ManyVerbs, MutableMapping[Any, Any]
):  # so that it is one of [str, int] where that is asked for
    """The verbs of both stores. Values go in and out as copies; safe to use from any thread."""

    def __init__(
        self,
        tier: int,
        path: str | os.PathLike[str],
        *,
        budget_bytes: int | None,
        durability: Durability,
        serializer: Literal["auto"] | Serializer,
        allow_pickle: bool,
        secret_key: bytes | None,
        read_only: bool,
        timeout_s: float,
        progress: OnProgress | None,
        level: int = 3,
    ) -> None:
        """Open the store of one tier. Each public constructor spells out what it takes of this."""
        warm = tier == WARM
        self._codec = ValueCodec(serializer, allow_pickle=allow_pickle, views=warm)
        if durability not in ("process", "disk"):
            raise ValueError(f'durability must be "process" or "disk", not {durability!r}')
        place = directory("path", path)
        budget = None
        if warm or budget_bytes is not None:
            budget = whole("budget_bytes", budget_bytes, LEAST_BUDGET_BYTES)
        self._engine = Engine(
            place if warm else None,
            None if warm else place,
            warm_budget_bytes=budget or 0 if warm else 0,
            cold_budget_bytes=None if warm else budget,
            durability=durability,
            level=level,
            secret_key=secret_key,
            read_only=flag("read_only", read_only),
            timeout_s=positive("timeout_s", timeout_s),
            progress=callback(progress),
        )
        self._tier = tier
        self._counters = self._engine.counters[tier]
        self._write = self._engine.put if warm else self._engine.archive_put
        self._read = self._engine.views.read if warm else self._engine.read
        self._decode = partial(self._engine.contents.decode, self._codec)
        # An archive compresses, a secret key signs, and "disk" waits: that is the engine's.
        reads = warm and secret_key is None
        self._serve(
            self._engine.log,
            self._codec,
            self._counters,
            self._engine.room.provide,
            self._engine.settle,
            reads=reads,
            writes=reads and durability == "process" and not read_only,
        )

    def _read_through(self, encoded: bytes) -> Any:
        """The value of whatever record a key has; MISSING."""
        found = self._read(encoded)
        return MISSING if found is None else self._decode(*found)

    def _write_through(self, encoded: bytes, codec_id: int, body: bytes, deadline: int) -> None:
        """Put whatever body a value has."""
        self._write(encoded, codec_id, body, deadline)

    def _require_writable(self) -> None:
        self._engine.require_writable()

    def _require_fits(self, size_bytes: int) -> None:
        """ValueTooLargeError for an encoded value of so many bytes that no put would take."""
        cold = self._engine.cold
        limit = self._engine.warm_value_limit if cold is None else cold.value_limit
        if size_bytes > limit:
            raise ValueTooLargeError(size_bytes, limit)

    def _remove(self, encoded: bytes) -> bool:
        return self._engine.delete(encoded)

    def _get_resident(self, key: TierKey) -> Any:
        """The value of whatever record a key has, as far as it is in memory; MISSING. Counted."""
        try:
            found = self._engine.contents.read_resident(encode_key(key))
        except BlockingIOError:
            self._counters.not_resident += 1
            return MISSING
        if found is None:
            self._counters.misses += 1
            return MISSING
        value = self._decode(*found)
        self._counters.hits += 1
        return value

    def prewarm(self, limit_bytes: int | None = None) -> int:
        """Read the index and the segments, newest first, into memory, and map them, so that what
        is got next waits for no device. Return how many bytes that was, those that were there
        already included.

        At most `limit_bytes`, in whole pages. Other threads go on meanwhile; about 0.1 s a GiB, and
        what the device takes. Values over 256 KiB, which have files of their own, are left out. The
        system may take the memory back at any time. 0 before Linux 5.14.
        """
        if limit_bytes is not None:
            whole("limit_bytes", limit_bytes, 0)
        self._engine.files.require_open()
        return prewarm(self._engine, limit_bytes)

    def peek(self, key: TierKey, default: Any = None) -> Any:
        """As `get`, but it counts neither as a hit or a miss nor, for reclaim, as a read."""
        found = self._read(encode_key(key), mark=False)
        return default if found is None else self._decode(*found)

    def clear(self) -> None:
        """Delete every entry, expired and damaged ones included: a tombstone each, O(entries). No
        value is read; all of the log is, if an entry leads to a damaged record.
        """
        for key in list(self):
            self.delete(key)
        clear_rest(self._engine)

    def pop(self, key: TierKey, default: Any = MISSING) -> Any:
        """Remove the key and return its value; `default`, or else KeyError, when it is absent.

        Of several threads one gets the value, and never one that another thread put meanwhile
        without being told of it. A value that does not decode (see `get`) stays.
        """
        encoded = encode_key(key)
        while (found := self._read(encoded)) is not None:
            value = self._decode(*found)
            self._counters.hits += 1  # before it is gone: a number takes memory
            if self._engine.delete(encoded, found[0].word):
                return value
        if default is MISSING:
            raise KeyError(key)
        self._counters.misses += 1
        return default

    def setdefault(self, key: TierKey, default: Any = None) -> Any:
        """Return a fresh copy of the key's value; put `default` and return it when there is none,
        as `get` would find.

        Of several threads that find none one puts, and all return what that one put. Raises as
        `get` and `put`.
        """
        encoded = encode_key(key)
        while True:
            word = self._engine.log.seek(encoded)  # first: not 0 for a record that is damaged
            found = self._read(encoded)
            if found is not None:
                value = self._decode(*found)
                self._counters.hits += 1
                return value
            self._counters.misses += 1
            codec_id, body = self._codec.encode(default, measure(default)[1])
            if self._write(encoded, codec_id, body, 0, self._only_if(encoded, word)):
                return default

    def _only_if(self, encoded: bytes, word: int) -> Callable[[Draft], bool]:
        """A step that puts a record only while `word` (0: no live record) is the key's."""
        log = self._engine.log
        put = log.put if self._tier == WARM else log.put_cold
        return lambda record: put(encoded, record, word)

    def popitem(self) -> tuple[TierKey, Any]:
        """Remove and return some entry. Damaged ones, and those that do not decode (see `get`),
        stay and are passed over. KeyError when nothing is left.
        """
        for key in self:
            try:
                value = self.pop(key, MISSING)
            except SerializationError:
                continue
            if value is not MISSING:
                return key, value
        raise KeyError("popitem(): the store has no entry that can be read")

    def flush(self) -> None:
        """Return when everything put so far would survive power loss. OSError when it would not."""
        self._engine.require_writable()
        self._engine.sync()

    def close(self) -> None:
        """Close the directory for the next opener. Idempotent.

        The death of the process loses nothing; power loss may take what was not flushed.
        """
        self._engine.close()

    def check(self) -> None:
        """Walk the index with every record it leads to, and compare the files with what is counted.

        AssertionError names what is wrong. For tests and doubts, and for a store at rest: what
        other threads have begun and not yet counted (a put of a large value, a put beyond the
        budget that it is about to pay for, a dictionary being stored) is told as wrong too. It
        reads every value in segments, and none in files of their own; see `verify`.
        """
        self._engine.check()

    def verify(self, *, on_corrupt: OnCorrupt | None = None) -> int:
        """Read every record to the last byte. Return how many there are.

        The first that is damaged (in the log, in a value file, as a frame, by its MAC) raises its
        CorruptRecordError, with path and offset; with `on_corrupt` each error is handed to that,
        and the walk goes on. Values are not decoded. Costs a read of the whole store in no order of
        the files, two checksums and, of an archive, a decompression a record; it takes no lock, so
        others go on reading and writing, and nothing counts, is marked as read, or changes.
        ClosedError; OSError for a file that cannot be opened at all.
        """
        return verify(self._engine, on_corrupt)

    def stats(self) -> dict[str, Any]:
        """Return entries, bytes of files, budget, what happened since the store was opened (all
        causes of evictions and kinds of errors, with zeros) and, of an archive, its dictionaries.
        """
        return self._engine.stats(self._tier)

    def _records(self) -> Iterator[Record]:
        """Iterate the heads of all live records: key bytes, sizes, times; no bodies.

        Each key that is there throughout is met once; keys that come and go may be met or not.
        """
        return scan.heads(self._engine.log)

    def __iter__(self) -> Iterator[TierKey]:
        for record in self._records():
            yield decode_key(record.key)

    def __len__(self) -> int:
        """Entries, those expired but not yet reclaimed included."""
        log = self._engine.log
        return int(log.warm_entries + log.cold_entries)

    def values(self) -> ValuesView[Any]:
        """A view of the values that can be read: those of `items`."""
        return PresentValues(self)

    def items(self) -> ItemsView[TierKey, Any]:
        """A view of the entries that can be read, each looked at as by `peek`.

        An entry that goes, expires or is found damaged meanwhile is passed over. One that does not
        decode is a SerializationError with its `key`, as in `get`, and ends the iteration: take
        ``for key in store`` and `get` to go on after it.
        """
        return PresentItems(self)

    def __repr__(self) -> str:
        engine, name = self._engine, type(self).__name__
        path = str(engine.files.directory.path)
        if engine.log.closed:
            return f"<{name} closed, {path!r}>"
        used, budget = engine.room.used(self._tier), engine.room.budget(self._tier)
        room = f"{used:,} bytes" if budget is None else f"{used:,} of {budget:,} bytes"
        return f"<{name} {len(self):,} entries, {room}, {path!r}>"

    def __reduce__(self) -> NoReturn:
        path = str(self._engine.files.directory.path)
        raise TypeError(
            f"cannot pickle or copy {type(self).__name__!r} object: it has {path!r} open"
        )

    def __enter__(self) -> Self:
        self._engine.files.require_open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


__all__ = ["Durability", "KeyedStore"]
