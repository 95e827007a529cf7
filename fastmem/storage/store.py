"""SegmentStore: the warm tier alone, in memory-mapped segments."""

from __future__ import annotations

import os
from typing import Any, Literal

from fastmem._core.cache import MISSING
from fastmem._core.keys import encode_key
from fastmem._core.log import WARM, Record
from fastmem.entries import TierKey
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

    Up to 4,096 processes open one directory at once, and see each other's puts and deletes when
    these return. Readers take no lock. Writers take one while they append; who died with it is
    succeeded, and one that is stopped is waited for up to `timeout_s`: then it is a
    StoreTimeoutError, and nothing has changed (in ``"disk"`` perhaps all but the sync is done: its
    message says so). In a forked child the store goes on, unless it comes back to a call of its
    parent's (a signal handler forked in the middle of it): then it is closed. What was opened
    `read_only` while nobody wrote keeps writers out. A directory that is another's, or holds an
    archive, is refused as it is: DirectoryRefusedError or FormatError, with the path. So
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
        views = self._engine.views
        self._load, self._follow, self._memory = views.load, views.follow, views.memory

    def _read_through(self, encoded: bytes) -> Any:
        """The value of whatever record a key has, arrays where they lie; MISSING."""
        loaded = self._load(encoded)
        if loaded is not None and type(loaded) is not Record:
            return loaded  # an array
        found = self._follow(loaded)
        return MISSING if found is None else self._decode(*found)

    def get_view(self, key: TierKey, default: Any = None) -> Any:
        """Return a read-only memoryview of the bytes of a key's value where they lie, without a
        copy; `default` when it is absent or expired. It counts as `get` does.

        For bytes, a bytearray, an array.array, and a numpy array (its elements, in the order in
        which they are stored); any other value is a SerializationError, which is a TypeError. O(1),
        a fraction of a microsecond, but for the first time that a process looks at a value of 4 KiB
        or more, when its checksum is verified (a smaller one's is each time), and a file of its own
        is mapped, as a value over 256 KiB has. A damaged value is a miss, as in `get`.

        The bytes never change and the view stays good, whatever becomes of the entry: replaced,
        deleted, reclaimed, the store closed. While it lives its segment, or its file, takes room on
        the disk, which `pinned_bytes` in `stats` counts once that is unlinked: copy what you keep.
        What no view can promise: where the device cannot read a page of it, or another process cuts
        the file, touching it ends this process with SIGBUS.

        >>> import tempfile
        >>> with SegmentStore(tempfile.mkdtemp(), budget_bytes=16 << 20) as store:
        ...     store.put("frame", bytes(100_000))
        ...     view = store.get_view("frame")
        >>> view.nbytes, view.readonly
        (100000, True)
        """
        view = self._memory(key)
        if view is None:
            encoded = encode_key(key)
            found = self._engine.views.view(encoded)
            if found is None:
                self._counters.misses += 1
                return default
            view = self._engine.contents.bytes_view(self._codec, *found)
        self._counters.hits += 1
        return view


__all__ = ["SegmentStore"]
