"""SegmentStore, Archive and TieredMemorySystem, a pass of records a call."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks import workloads

RECORDS = {"100B": 2000, "1KB": 2000, "64KB": 100, "1MB": 16}


def get_all(get: Callable[[str], Any], keys: Sequence[str]) -> None:
    for key in keys:
        get(key)


def put_all(put: Callable[[str, Any], Any], pairs: Sequence[tuple[str, Any]]) -> None:
    for key, value in pairs:
        put(key, value)


@pytest.fixture
def segments(need: Any, opened: Any) -> Any:
    make = need("SegmentStore")
    return opened(lambda path: make(path, budget_bytes=1 << 30))


@pytest.mark.parametrize("size", RECORDS)
def test_segments_get(benchmark: BenchmarkFixture, segments: Any, size: str) -> None:
    benchmark.group = f"segments get {size}"
    keys = workloads.session_keys(RECORDS[size])
    values = workloads.blobs(len(keys), workloads.SIZES[size])
    put_all(segments.put, list(zip(keys, values, strict=True)))
    benchmark(get_all, segments.get, keys)
    assert segments.get(keys[0]) == values[0]


@pytest.mark.parametrize("size", RECORDS)
def test_segments_put(benchmark: BenchmarkFixture, segments: Any, size: str) -> None:
    benchmark.group = f"segments put {size}"
    count = RECORDS[size]
    values = workloads.blobs(min(count, 64), workloads.SIZES[size])
    starts = itertools.count(0, count)

    def new_pairs() -> tuple[tuple[Any, list[tuple[str, bytes]]], dict[str, Any]]:
        keys = workloads.session_keys(count, next(starts))
        return (segments.put, list(zip(keys, itertools.cycle(values), strict=False))), {}

    benchmark.pedantic(put_all, setup=new_pairs, rounds=20)  # type: ignore[no-untyped-call]
    assert segments.get(workloads.session_keys(1)[0]) in (values[0], None)


def test_archive_get(benchmark: BenchmarkFixture, need: Any, opened: Any) -> None:
    benchmark.group = "archive get"
    archive = opened(need("Archive"))
    records = workloads.session_bytes(1000)
    keys = workloads.session_keys(len(records))
    put_all(archive.put, list(zip(keys, records, strict=True)))
    benchmark(get_all, archive.get, keys)
    assert archive.get(keys[0]) == records[0]


def test_tiered_put_dict(benchmark: BenchmarkFixture, need: Any, opened: Any) -> None:
    benchmark.group = "tiered put dict"
    make = need("TieredMemorySystem")
    memory = opened(lambda path: make(l2_path=path / "l2", l3_path=path / "l3"))
    records = workloads.small_dicts(64)
    starts = itertools.count(0, 2000)

    def new_pairs() -> tuple[tuple[Any, list[tuple[str, Any]]], dict[str, Any]]:
        keys = workloads.session_keys(2000, next(starts))
        return (memory.put, list(zip(keys, itertools.cycle(records), strict=False))), {}

    benchmark.pedantic(put_all, setup=new_pairs, rounds=20)  # type: ignore[no-untyped-call]
    assert memory.get(workloads.session_keys(1)[0]) == records[0]
