"""SegmentStore: the warm tier alone, in memory-mapped segments."""

from __future__ import annotations

import os
from typing import Any, Literal

from fastmem._core.log import WARM
from fastmem.codecs import ValueCodec
from fastmem.protocols import Serializer
from fastmem.storage.counters import TierCounters
from fastmem.storage.engine import Engine
from fastmem.storage.keyed import KeyedStore

Durability = Literal["process", "disk"]


class SegmentStore(KeyedStore):
    """A mapping on disk, read and written through memory: one log in mapped segments.

    The files take at most `budget_bytes` (at least 16 MiB, index and large values included). What
    is live is kept while it takes about a third of that; beyond, the oldest entries are evicted,
    those not read lately first. ``durability="process"`` survives the death of any process;
    ``"disk"`` survives power loss, at the cost of a device write per put.

    One process at a time: a second opener gets StoreLockedError.

    >>> import tempfile
    >>> with SegmentStore(tempfile.mkdtemp(), budget_bytes=16 << 20) as store:
    ...     store.put("user:7", {"name": "Ada"})
    ...     store.get("user:7")
    {'name': 'Ada'}
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        budget_bytes: int,
        durability: Durability = "process",
        serializer: Literal["auto"] | Serializer = "auto",
        allow_pickle: bool = True,
        secret_key: bytes | None = None,
        read_only: bool = False,
    ) -> None:
        codec = ValueCodec(serializer, allow_pickle=allow_pickle)
        if durability not in ("process", "disk"):
            raise ValueError(f'durability must be "process" or "disk", not {durability!r}')
        engine = Engine(
            path,
            None,
            warm_budget_bytes=budget_bytes,
            durability=durability,
            secret_key=secret_key,
            read_only=read_only,
        )
        super().__init__(engine, codec)

    @property
    def _counters(self) -> TierCounters:
        return self._engine.counters[WARM]

    def _write(self, key: bytes, codec_id: int, body: bytes, deadline_ns: int) -> None:
        self._engine.append(key, self._engine.prepare(key, codec_id, body, deadline_ns))

    def stats(self) -> dict[str, Any]:
        """Return entries, bytes of files, budget, and what happened since the store was opened."""
        return self._engine.warm_stats()


__all__ = ["SegmentStore"]
