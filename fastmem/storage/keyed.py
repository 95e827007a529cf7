"""What SegmentStore and Archive have in common: the verbs of a mapping over one engine."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, MutableMapping
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from fastmem._core import scan
from fastmem._core.clock import deadline_ns
from fastmem._core.keys import decode_key, encode_key
from fastmem._core.log import Record
from fastmem._core.sizing import measure
from fastmem.codecs import ValueCodec
from fastmem.errors import ClosedError
from fastmem.storage.counters import TierCounters
from fastmem.storage.engine import Engine

TierKey = str | bytes | int | tuple[Any, ...]
_ABSENT = object()


class KeyedStore(MutableMapping[TierKey, Any]):
    """The verbs of both stores. Values go in and out as copies; safe to use from any thread."""

    def __init__(self, engine: Engine, codec: ValueCodec) -> None:
        self._engine = engine
        self._codec = codec

    def put(
        self, key: TierKey, value: object, ttl_seconds: float | timedelta | None = None
    ) -> None:
        """Store a copy of `value`. It replaces the key's value, deadline included.

        One pass to encode, two hashes and one memcpy. KeyTypeError, ValueError (ttl_seconds not
        above zero), SerializationError, ValueTooLargeError or OSError (no space): nothing changed.
        """
        deadline = deadline_ns(ttl_seconds)
        encoded = encode_key(key)
        codec_id, body = self._codec.encode(value, measure(value)[1])
        self._write(encoded, codec_id, body, deadline)

    @abstractmethod
    def _write(self, key: bytes, codec_id: int, body: bytes, deadline_ns: int) -> None:
        """Append an encoded value to this store's tier."""

    def get(self, key: TierKey, default: Any = None) -> Any:
        """Return a fresh copy of the key's value, `default` when it is absent or expired.

        A damaged record is a miss, counted in ``stats()["errors"]`` and logged.
        """
        encoded = encode_key(key)
        found = self._engine.read(encoded)
        if found is None:
            self._counters.misses += 1
            return default
        record, content = found
        value = self._decode(record, content)
        self._counters.hits += 1
        return value

    def _decode(self, record: Record, content: bytes) -> object:
        return self._codec.decode(record.codec, content)

    @property
    @abstractmethod
    def _counters(self) -> TierCounters:
        """The counters of this store's tier."""

    def delete(self, key: TierKey) -> bool:
        """Remove the key. True when it was there."""
        return self._engine.delete(encode_key(key))

    def clear(self) -> None:
        """Delete every entry: a tombstone each, O(entries). No value is read."""
        for key in list(self):
            self.delete(key)

    def popitem(self) -> tuple[TierKey, Any]:
        """Remove and return some entry, passing over damaged ones; KeyError when there is none."""
        for key in self:
            value = self.pop(key, _ABSENT)
            if value is not _ABSENT:
                return key, value
        raise KeyError("popitem(): the store is empty")

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

        AssertionError names what is wrong. For tests and doubts: it reads every value in segments.
        """
        self._engine.check()

    def _records(self) -> Iterator[Record]:
        """Iterate the heads of all live records: key bytes, sizes, times; no bodies.

        Each key that is there throughout is met once; keys that come and go may be met or not.
        """
        return scan.heads(self._engine.log)

    def __getitem__(self, key: TierKey) -> Any:
        value = self.get(key, _ABSENT)
        if value is _ABSENT:
            raise KeyError(key)
        return value

    def __setitem__(self, key: TierKey, value: object) -> None:
        self.put(key, value)

    def __delitem__(self, key: TierKey) -> None:
        if not self.delete(key):
            raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        return self._engine.log.seek(encode_key(key)) != 0

    def __iter__(self) -> Iterator[TierKey]:
        for record in self._records():
            yield decode_key(record.key)

    def __len__(self) -> int:
        """Entries, those expired but not yet reclaimed included."""
        log = self._engine.log
        return int(log.warm_entries + log.cold_entries)

    def __enter__(self) -> Self:
        if self._engine.log.closed:
            raise ClosedError("the store is closed")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


__all__ = ["KeyedStore", "TierKey"]
