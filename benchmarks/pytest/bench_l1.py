"""L1 and dict, on the workloads of the ratio table; each call is one pass of 10,000 operations."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks import workloads

ENTRIES = 100_000
OPERATIONS = 10_000
PATTERNS = {"hot": workloads.hot, "uniform": workloads.uniform, "zipf": workloads.zipf}
CACHES = ["dict", "L1Cache"]


@pytest.fixture
def make(need: Callable[[str], Any]) -> Callable[[str], Any]:
    def empty(name: str) -> Any:
        return {} if name == "dict" else need(name)(1 << 40)

    return empty


def fill(cache: Any, keys: Sequence[str]) -> None:
    for key in keys:
        cache[key] = 7


def get_all(get: Callable[[str], Any], keys: Sequence[str]) -> None:
    for key in keys:
        get(key)


@pytest.mark.parametrize("access", PATTERNS)
@pytest.mark.parametrize("name", CACHES)
def test_get(benchmark: BenchmarkFixture, make: Any, name: str, access: str) -> None:
    benchmark.group = f"get {access}"
    cache, keys = make(name), workloads.user_keys(ENTRIES)
    fill(cache, keys)
    benchmark(get_all, cache.get, workloads.take(keys, PATTERNS[access](OPERATIONS, ENTRIES)))
    assert cache.get(keys[-1]) == 7


@pytest.mark.parametrize("name", CACHES)
def test_miss(benchmark: BenchmarkFixture, make: Any, name: str) -> None:
    benchmark.group = "miss"
    cache = make(name)
    fill(cache, workloads.user_keys(ENTRIES))
    absent = workloads.other_keys(OPERATIONS)
    benchmark(get_all, cache.get, absent)
    assert cache.get(absent[0]) is None


@pytest.mark.parametrize("name", CACHES)
def test_put_over(benchmark: BenchmarkFixture, make: Any, name: str) -> None:
    benchmark.group = "put over"
    cache, keys = make(name), workloads.user_keys(ENTRIES)
    fill(cache, keys)
    benchmark(fill, cache, workloads.take(keys, workloads.uniform(OPERATIONS, ENTRIES)))
    assert len(cache) == ENTRIES


def test_put_evict(benchmark: BenchmarkFixture, make: Any, need: Any) -> None:
    benchmark.group = "put evict"
    keys = workloads.user_keys(ENTRIES)
    probe = make("L1Cache")
    fill(probe, keys)
    cache = need("L1Cache")(int(probe.stats()["bytes"]))
    fill(cache, keys)
    starts = itertools.count(0, OPERATIONS)

    def new_keys() -> tuple[tuple[Any, list[str]], dict[str, Any]]:
        return (cache, workloads.other_keys(OPERATIONS, next(starts))), {}

    benchmark.pedantic(fill, setup=new_keys, rounds=30)  # type: ignore[no-untyped-call]
    assert len(cache) <= ENTRIES
