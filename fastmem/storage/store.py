"""SegmentStore: the warm tier alone, in memory-mapped segments."""

from __future__ import annotations

import os
from typing import Literal

from fastmem._core.log import WARM
from fastmem.protocols import Serializer
from fastmem.storage.engine import TIMEOUT_S
from fastmem.storage.keyed import Durability, KeyedStore
from fastmem.storage.progress import OnProgress


class SegmentStore(KeyedStore):
    """A mapping on disk, read and written through memory: one log in mapped segments.

    The files take at most `budget_bytes` (at least 16 MiB, index and large values included). What
    is live is kept while it takes about a third of that; beyond, the oldest entries are evicted,
    those not read lately first. Eviction comes last in a put: while that is under way, a large
    value stands beside what it will push out, so the disk must have room for one more than the
    budget. ``durability="process"`` survives the death of any process;
    ``"disk"`` survives power loss, at the cost of a device write per put.

    ``progress(done_bytes, total_bytes)`` is called while an opening has to read the whole log, for
    want of an index to be trusted (the machine was restarted, the files are a copy): in the thread
    that opens, between two files, from (0, total) to (total, total). What it raises, the
    constructor raises, and nothing is lost.

    One process at a time: a second opener gets StoreLockedError. A directory that is another's, or
    holds an archive, is refused as it is: DirectoryRefusedError or FormatError, with the path. So
    is the L2 of a memory, whose deletes must reach its L3 too, unless with ``read_only=True``.

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
        timeout_s: float = TIMEOUT_S,
        progress: OnProgress | None = None,
    ) -> None:
        super().__init__(
            WARM,
            path,
            budget_bytes=budget_bytes,
            durability=durability,
            serializer=serializer,
            allow_pickle=allow_pickle,
            secret_key=secret_key,
            read_only=read_only,
            timeout_s=timeout_s,
            progress=progress,
        )


__all__ = ["SegmentStore"]
