"""Memory: peaks beside a reference row, and bytes per entry.

A peak includes what ``setup`` and the interpreter needed. ``peakmem_reference`` runs the same setup
and nothing else: subtract it.
"""

from __future__ import annotations

import gc
import os
from typing import ClassVar

from benchmarks import workloads
from benchmarks.asv_suite.fixtures import InDirectory, need, put_all

ENTRIES = 100_000


class Held:
    """100,000 entries held by L1, against the same in a dict."""

    def setup(self) -> None:
        self.make = need("L1Cache")
        self.pairs = [(key, 7) for key in workloads.user_keys(ENTRIES)]

    def peakmem_reference(self) -> None:
        """Setup alone."""

    def peakmem_dict(self) -> None:
        held: dict[str, int] = {}
        put_all(held.__setitem__, self.pairs)

    def peakmem_l1(self) -> None:
        cache = self.make(1 << 40)
        put_all(cache.put, self.pairs)


class BytesPerEntry:
    """Growth of the resident set for each entry, keys and values aside."""

    unit = "bytes"

    def setup(self) -> None:
        self.make = need("L1Cache")
        self.pairs = [(key, 7) for key in workloads.user_keys(ENTRIES)]

    def track_l1(self) -> float:
        gc.collect()
        before = _resident()
        cache = self.make(1 << 40)
        put_all(cache.put, self.pairs)
        return (_resident() - before) / len(cache)


class Stored(InDirectory):
    """20 MB of 1 KB records put through a store with a 64 MiB budget."""

    params: ClassVar = [20_000]
    param_names: ClassVar = ["records"]

    def setup(self, records: int) -> None:
        self.make = need("SegmentStore")
        values = workloads.blobs(64, workloads.SIZES["1KB"])
        keys = workloads.session_keys(records)
        self.pairs = [(key, values[i % 64]) for i, key in enumerate(keys)]

    def peakmem_reference(self, _: int) -> None:
        """Setup alone."""

    def peakmem_segment_store(self, _: int) -> None:
        store = self.open(lambda path: self.make(path, budget_bytes=64 << 20))
        put_all(store.put, self.pairs)


def _resident() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
