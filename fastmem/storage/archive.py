"""Archive: the cold tier alone, one zstd frame a record, with a dictionary learnt from its data."""

from __future__ import annotations

import os
from typing import Literal

from fastmem._core.log import COLD
from fastmem.protocols import Serializer
from fastmem.storage.catalogue import Catalogue
from fastmem.storage.engine import TIMEOUT_S
from fastmem.storage.keyed import Durability, KeyedStore
from fastmem.storage.progress import OnProgress


class Archive(KeyedStore):
    """A compressed mapping on disk. Unbounded unless `budget_bytes` (at least 16 MiB) is given,
    which then drops the oldest records.

    Each record is a frame of its own at zstd `level`, so a read costs microseconds. Once it holds
    2 MiB of values of at most 8 KiB a dictionary is trained on them (in a thread) and stored with
    it; later records compress against it. Safe to use from any thread, and
    shared by processes as a SegmentStore is.

    `progress` is called while an opening reads the whole log, as that of SegmentStore.

    The archive of a memory can be opened like this without its L2, but then with no budget
    (DirectoryRefusedError): of what it evicts the L2 may hold older values, which would return.

    >>> import tempfile
    >>> with Archive(tempfile.mkdtemp()) as archive:
    ...     archive.put("2026/11/22", {"visits": 12})
    ...     archive.get("2026/11/22")
    {'visits': 12}
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        level: int = 3,
        budget_bytes: int | None = None,
        durability: Durability = "process",
        serializer: Literal["auto"] | Serializer = "auto",
        allow_pickle: bool = True,
        secret_key: bytes | None = None,
        read_only: bool = False,
        timeout_s: float = TIMEOUT_S,
        progress: OnProgress | None = None,
    ) -> None:
        super().__init__(
            COLD,
            path,
            budget_bytes=budget_bytes,
            durability=durability,
            serializer=serializer,
            allow_pickle=allow_pickle,
            secret_key=secret_key,
            read_only=read_only,
            timeout_s=timeout_s,
            progress=progress,
            level=level,
        )

    def catalogue(self) -> Catalogue:
        """Return a sorted snapshot of what the archive holds: keys, sizes, times; no values.

        O(n log n) to build; 1M records take a few seconds and about 150 B each.
        """
        return Catalogue(self._records())

    def check(self) -> None:
        """As `SegmentStore.check`; the dictionaries and a catalogue are looked at too."""
        super().check()
        problems = self.catalogue().check()
        if problems:
            raise AssertionError("; ".join(problems))


__all__ = ["Archive"]
