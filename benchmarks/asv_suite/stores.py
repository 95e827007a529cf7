"""L2, L3 and the tiers joined. Each call is one pass of the number of operations in its name."""

from __future__ import annotations

import itertools
from typing import ClassVar

from benchmarks import workloads
from benchmarks.asv_suite.fixtures import InDirectory, get_all, need, put_all

RECORDS = {"100B": 5000, "1KB": 5000, "64KB": 200, "1MB": 16}


class Segments(InDirectory):
    """SegmentStore with a warm page cache."""

    params: ClassVar = list(RECORDS)
    param_names: ClassVar = ["size"]

    def setup(self, size: str) -> None:
        make = need("SegmentStore")
        self.store = self.open(lambda path: make(path, budget_bytes=1 << 30))
        self.count = RECORDS[size]
        self.values = workloads.blobs(min(self.count, 64), workloads.SIZES[size])
        keys = workloads.session_keys(self.count)
        put_all(
            self.store.put, [(k, self.values[i % len(self.values)]) for i, k in enumerate(keys)]
        )
        self.keys = workloads.take(keys, workloads.uniform(self.count, self.count))
        self.starts = itertools.count(10_000_000, self.count)

    def time_get(self, _: str) -> None:
        get_all(self.store.get, self.keys)

    def time_contains(self, _: str) -> None:
        store = self.store
        for key in self.keys:
            key in store  # noqa: B015 - the operation is what is timed

    def time_put(self, _: str) -> None:
        keys = workloads.session_keys(self.count, next(self.starts))
        put_all(self.store.put, list(zip(keys, itertools.cycle(self.values), strict=False)))

    def time_put_delete(self, _: str) -> None:
        put, delete = self.store.put, self.store.delete
        for key in workloads.session_keys(self.count, next(self.starts)):
            put(key, self.values[0])
            delete(key)


class Tiered(InDirectory):
    """TieredMemorySystem: hits, reads from L2, puts."""

    def setup(self) -> None:
        make = need("TieredMemorySystem")
        self.memory = self.open(
            lambda path: make(l1_size_mb=1, l2_path=path / "l2", l3_path=path / "l3")
        )
        self.records = workloads.small_dicts(64)
        self.keys = workloads.session_keys(5000)
        values = workloads.blobs(64, workloads.SIZES["1KB"])
        put_all(self.memory.put, [(k, values[i % 64]) for i, k in enumerate(self.keys)])
        self.starts = itertools.count(10_000_000, 2000)

    def time_get_hot_10000(self) -> None:
        get_all(self.memory.get, self.keys[-100:] * 100)

    def time_get_from_l2_5000(self) -> None:
        get_all(self.memory.get, self.keys)

    def time_put_dict_2000(self) -> None:
        keys = workloads.session_keys(2000, next(self.starts))
        put_all(self.memory.put, list(zip(keys, itertools.cycle(self.records), strict=False)))


class Cold(InDirectory):
    """Archive on session-like records."""

    def setup(self) -> None:
        self.archive = self.open(need("Archive"))
        self.records = workloads.session_bytes(3000)
        self.keys = workloads.session_keys(len(self.records))
        put_all(self.archive.put, list(zip(self.keys, self.records, strict=True)))
        self.starts = itertools.count(10_000_000, len(self.records))

    def time_get_3000(self) -> None:
        get_all(self.archive.get, self.keys)

    def time_put_3000(self) -> None:
        keys = workloads.session_keys(len(self.records), next(self.starts))
        put_all(self.archive.put, list(zip(keys, self.records, strict=True)))


class ColdRatio(InDirectory):
    """Record bytes for each byte of their frames."""

    def setup(self) -> None:
        self.archive = self.open(need("Archive"))
        if "stored_bytes" not in self.archive.stats():
            raise NotImplementedError("Archive.stats() of this commit does not count frames")
        self.records = workloads.session_bytes(6000)
        keys = workloads.session_keys(len(self.records))
        put_all(self.archive.put, list(zip(keys, self.records, strict=True)))

    def track_ratio(self) -> float:
        return sum(map(len, self.records)) / float(self.archive.stats()["stored_bytes"])
