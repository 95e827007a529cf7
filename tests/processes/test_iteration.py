"""Keys while another process writes: who is there throughout comes once, and none comes twice."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import xxhash

from fastmem import SegmentStore, TieredMemorySystem
from fastmem._core.keys import encode_key
from tests.conftest import PROFILE
from tests.crash.directories import BUDGET, engine_of, open_segments, open_tiers

LISTINGS = 2_000 if PROFILE == "nightly" else 20
STABLE = [f"stable {i}" for i in range(500)]
OPEN = {
    open_segments: f"fastmem.SegmentStore(sys.argv[1] + '/l2', budget_bytes={BUDGET})",
    open_tiers: "fastmem.TieredMemorySystem(1, sys.argv[1] + '/l2', sys.argv[1] + '/l3',"
    " l2_size_mb=16)",
}
# The table grows twice over and more, segments are reclaimed, the stable keys are replaced.
GROW = """
for i in range(10 ** 9):
    store.put(i % 60_000, "x" * 400)
    if i % 3 == 0:
        store.put(f"stable {i % 500}", i)
    if i % 5 == 0:
        store.delete((i - 1000) % 60_000)
    if i == 2000:
        print("at work", flush=True)
"""
# The first and the last of a chain change places, without end.
SWAP = """
one, other = eval(sys.argv[2])
print("at work", flush=True)
while True:
    store.delete(one), store.delete(other), store.put(other, 1), store.put(one, 1)
    one, other = other, one
"""


@contextmanager
def writing(at: Path, opener: Any, course: str, *arguments: str) -> Iterator[None]:
    script = f"import sys, fastmem\nstore = {OPEN[opener]}\n{course}"
    child = subprocess.Popen(
        [sys.executable, "-c", script, at, *arguments], stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "at work\n"
        yield
        assert child.poll() is None
    finally:
        child.kill()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()


@pytest.mark.parametrize("opener", [open_segments, open_tiers])
def test_while_the_table_grows_and_segments_go(private_tmp: Path, opener: Any) -> None:
    store: SegmentStore | TieredMemorySystem
    with opener(private_tmp) as store:
        for key in STABLE:
            store[key] = "there"
        before = engine_of(store).log.buckets[0]
        with writing(private_tmp, opener, GROW):
            listings = 0
            while listings < LISTINGS or engine_of(store).log.buckets[0] == before:
                met = Counter(iter(store))
                assert [key for key, count in met.items() if count > 1] == []
                assert [key for key in STABLE if key not in met] == []
                listings += 1
        store.check()


def test_keys_that_go_and_come_back_in_another_place(private_tmp: Path) -> None:
    with open_segments(private_tmp) as store:
        chain = of_one_bucket(store, 60)
        for key in chain:
            store[key] = 1
        with writing(private_tmp, open_segments, SWAP, repr((chain[0], chain[-1]))):
            for _ in range(150 * LISTINGS):
                met = Counter(iter(store))
                assert [key for key, count in met.items() if count > 1] == []
                assert met.keys() >= set(chain[1:-1])


def of_one_bucket(store: SegmentStore, count: int) -> list[int]:
    """Keys whose entries lie in one chain."""
    engine = engine_of(store)
    buckets, salt = engine.log.buckets[0], engine.files.super.salt
    found: list[int] = []
    number = 0
    while len(found) < count:
        number += 1
        digest = xxhash.xxh3_64_intdigest(encode_key(number), seed=salt)
        if digest % buckets == 7:
            found.append(number)
    return found
