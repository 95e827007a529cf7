"""L1: hits, misses, puts, sizing. Each call is one pass of ``OPERATIONS``."""

from __future__ import annotations

import itertools
from typing import ClassVar

from benchmarks import workloads
from benchmarks.asv_suite.fixtures import get_all, need, put_all

ENTRIES = 100_000
OPERATIONS = 10_000
UNBOUNDED = 1 << 40
PATTERNS = {"hot": workloads.hot, "uniform": workloads.uniform, "zipf": workloads.zipf}


class Get:
    """Hits in a cache of 100,000 entries."""

    params: ClassVar = (list(PATTERNS), [False, True])
    param_names: ClassVar = ["access", "deadlines"]

    def setup(self, access: str, deadlines: bool) -> None:
        self.cache = need("L1Cache")(UNBOUNDED)
        keys = workloads.user_keys(ENTRIES)
        for key in keys:
            self.cache.put(key, 7, 3600.0 if deadlines else None)
        self.keys = workloads.take(keys, PATTERNS[access](OPERATIONS, ENTRIES))

    def time_get(self, *_: object) -> None:
        get_all(self.cache.get, self.keys)

    def time_getitem(self, *_: object) -> None:
        cache = self.cache
        for key in self.keys:
            cache[key]


class Miss:
    """Keys that were never put."""

    def setup(self) -> None:
        self.cache = need("L1Cache")(UNBOUNDED)
        put_all(self.cache.put, [(key, 7) for key in workloads.user_keys(ENTRIES)])
        self.keys = workloads.other_keys(OPERATIONS)

    def time_get(self) -> None:
        get_all(self.cache.get, self.keys)


class Put:
    """Puts over existing keys, and of new keys into a full cache."""

    def setup(self) -> None:
        make = need("L1Cache")
        keys = workloads.user_keys(ENTRIES)
        pairs = [(key, 7) for key in keys]
        probe = make(UNBOUNDED)
        put_all(probe.put, pairs)
        self.cache = make(int(probe.stats()["bytes"]))
        put_all(self.cache.put, pairs)
        self.over = [(key, 7) for key in workloads.take(keys, workloads.uniform(10_000, ENTRIES))]
        self.starts = itertools.count(0, OPERATIONS)

    def time_over(self) -> None:
        put_all(self.cache.put, self.over)

    def time_evict(self) -> None:
        new = workloads.other_keys(OPERATIONS, next(self.starts))
        put_all(self.cache.put, [(key, 7) for key in new])


class Sizing:
    """Deep size of a 258-node JSON document."""

    def setup(self) -> None:
        self.deep_size = need("deep_size", "fastmem._core.sizing")
        self.document = workloads.json_document()

    def time_json_document(self) -> None:
        self.deep_size(self.document)
