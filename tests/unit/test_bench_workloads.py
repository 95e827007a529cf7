"""The workloads are append-only: what they return is pinned here, digest by digest."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from benchmarks import workloads

COUNT = 60
SEQUENCES: dict[str, Callable[[int], Any]] = {
    "user_keys": workloads.user_keys,
    "other_keys": workloads.other_keys,
    "session_keys": workloads.session_keys,
    "uniform": lambda n: workloads.uniform(n, 1000),
    "hot": lambda n: workloads.hot(n, 5000),
    "zipf": lambda n: workloads.zipf(n, 1000),
    **{f"blobs {n}": partial(workloads.blobs, size=s) for n, s in workloads.SIZES.items()},
    "small_dicts": workloads.small_dicts,
    "session_records": workloads.session_records,
    "session_bytes": workloads.session_bytes,
    "arrays": lambda n: [a.tobytes() for a in workloads.arrays(n)],
}
PINNED = {
    "user_keys": "c12252f440a22b83",
    "other_keys": "6b2ca1ddc2235de5",
    "session_keys": "9029b8b9d579ae64",
    "uniform": "b5da1191fa25631c",
    "hot": "b29d0f15a6513879",
    "zipf": "d8ec412092489be2",
    "blobs 100B": "2bca6d0e40935637",
    "blobs 1KB": "6dd60fecc246bce2",
    "blobs 64KB": "6b273a0a9b826d77",
    "blobs 1MB": "747ecc63f9312246",
    "small_dicts": "0f472201b911604f",
    "session_records": "e41d2bf195b22203",
    "session_bytes": "0990e24fbeceee55",
    "arrays": "e646ab3023bfc3af",
    "json_document": "3354b62019108889",
}


def digest(value: Any) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]


@pytest.mark.parametrize("name", SEQUENCES)
def test_a_workload_never_changes(name: str) -> None:
    assert digest(SEQUENCES[name](COUNT)) == PINNED[name]


def test_the_json_document_never_changes() -> None:
    assert digest(workloads.json_document()) == PINNED["json_document"]


@pytest.mark.parametrize("name", SEQUENCES)
def test_a_shorter_workload_is_a_prefix(name: str) -> None:
    assert digest(SEQUENCES[name](COUNT)[:7]) == digest(SEQUENCES[name](7))


def test_keys_are_distinct_and_absent_ones_are_absent() -> None:
    keys = set(workloads.user_keys(50_000))
    assert len(keys) == 50_000
    assert keys.isdisjoint(workloads.other_keys(50_000))
    assert len(set(workloads.other_keys(10, start=10)) & set(workloads.other_keys(15))) == 5


def test_too_many_user_keys_are_refused() -> None:
    with pytest.raises(ValueError, match="900,000"):
        workloads.user_keys(900_001)


@pytest.mark.parametrize("size", workloads.SIZES.values())
def test_blobs_have_their_size(size: int) -> None:
    assert [len(value) for value in workloads.blobs(3, size)] == [size] * 3


def test_session_records_have_the_stated_sizes() -> None:
    sizes = sorted(map(len, workloads.session_bytes(2000)))
    assert 200 <= sizes[0] <= 400
    assert 900 <= sizes[1000] <= 1500
    assert 3500 <= sizes[-1] <= 4700


def test_hot_touches_the_stated_number_of_keys() -> None:
    assert len(set(workloads.hot(50_000, 100_000))) == 1000


def test_zipf_prefers_low_indices() -> None:
    drawn = workloads.zipf(20_000, 1000)
    assert drawn.count(0) > drawn.count(1) > drawn.count(10)
    assert max(drawn) < 1000
