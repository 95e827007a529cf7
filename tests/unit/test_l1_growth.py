"""Growth moves a few slots on every put. In between, both arrays together are the table."""

import random
import subprocess
import sys
from typing import Any

import pytest

from fastmem._core.l1 import L1Cache

ABSENT = object()


def agrees(cache: L1Cache, model: dict[Any, Any]) -> None:
    cache._check()
    assert len(cache) == len(model)
    assert dict(cache.items()) == model
    for key, value in model.items():
        assert cache.peek(key, ABSENT) == value


def test_every_state_on_the_way_answers_for_every_key() -> None:
    """Small enough to look at the whole table after each put, through some twenty growths."""
    cache, model = L1Cache(10**9), {}
    for key in range(1_500):
        cache[key] = model[key] = str(key)
        if key % 7 == 3:
            gone = key // 2
            assert cache.pop(gone, ABSENT) == model.pop(gone, ABSENT)
        if key < 400 or key % 37 == 0:
            agrees(cache, model)
    agrees(cache, model)


@pytest.mark.parametrize("seed", range(4))
def test_puts_deletes_and_replacements_while_it_grows(seed: int) -> None:
    random_ = random.Random(seed)
    cache, model = L1Cache(10**9), {}
    for step in range(30_000):
        key = random_.randrange(20_000)
        if random_.random() < 0.7:
            cache[key] = model[key] = step
        else:
            assert cache.pop(key, ABSENT) == model.pop(key, ABSENT)
        if step % 1_500 == 0:
            agrees(cache, model)
    agrees(cache, model)


def test_growth_goes_on_over_gaps_where_entries_were_deleted() -> None:
    cache, model = L1Cache(10**9), {}
    for key in range(8_000):
        cache[key] = model[key] = key
    slots = cache._arena_bytes()
    key = 8_000
    while cache._arena_bytes() == slots:  # until a growth has begun, of which most is undone
        cache[key] = model[key] = key
        key += 1
    for gone in list(model)[::2] + list(model)[1::4]:
        del cache[gone], model[gone]
    agrees(cache, model)
    for _ in range(2_000):
        cache[key] = model[key] = key
        key += 1
        cache._check()
    agrees(cache, model)


def test_clearing_in_the_middle_of_growth() -> None:
    for size in range(13, 200):
        cache = L1Cache(10**9)
        for key in range(size):
            cache[key] = key
        cache.clear()
        agrees(cache, {})
        cache["again"] = 1
        agrees(cache, {"again": 1})


class Equal:
    """All of one hash: the run of slots is as long as there are keys."""

    def __init__(self, name: Any) -> None:
        self.name = name

    def __hash__(self) -> int:
        return 5

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Equal) and self.name == other.name


def test_equal_hashes_move_together() -> None:
    cache, model = L1Cache(10**9), {}
    for name in range(300):
        for key in (Equal(name), name):
            cache[key] = model[key] = name
        if name % 20 == 0:
            agrees(cache, model)
    agrees(cache, model)


def test_crafted_hashes_slow_down_nothing_but_themselves() -> None:
    """Keys of one hash are compared with one another; the others find their places at once."""
    cache = L1Cache(10**9)
    for name in range(400):
        cache[Equal(name)] = name
    for key in range(20_000):
        cache[key] = key
    assert cache._longest_probe() < 400 + 200
    compared = []

    class Counts(Equal):
        def __eq__(self, other: object) -> bool:
            compared.append(other)
            return Equal.__eq__(self, other)

        __hash__ = Equal.__hash__

    assert cache.get(Counts("absent"), ABSENT) is ABSENT
    assert len(compared) <= 2 * 400  # each side may be asked
    compared.clear()
    assert all(cache.get(key) == key for key in range(20_000))
    assert not compared


def test_what_runs_inside_a_lookup_may_make_the_table_grow() -> None:
    cache = L1Cache(10**9)

    class Grows(Equal):
        def __eq__(self, other: object) -> bool:
            for _ in range(40):
                cache[len(cache)] = None
            cache._check()
            return Equal.__eq__(self, other)

        __hash__ = Equal.__hash__

    for name in range(10):
        cache[Equal(name)] = name
    for absent_or_not in (3, "absent", 9):
        with pytest.raises(RuntimeError, match="comparing keys changed the cache"):
            cache.get(Grows(absent_or_not))
        cache._check()


def test_a_value_dropped_while_it_grows_may_put_and_delete() -> None:
    cache = L1Cache(40_000)

    class Busy:
        def __init__(self, name: Any) -> None:
            self.name = name

        def __del__(self) -> None:
            if self.name % 3 == 0:
                cache[self.name + 1_000_000] = None
                cache.delete(self.name - 1)
                cache._check()

    for name in range(3_000):
        cache[name] = Busy(name)
        if name % 50 == 0:
            cache._check()
    for _ in range(5):
        cache.resize(cache.budget_bytes * 4)
        for name in range(1_000):
            cache[("more", cache.budget_bytes, name)] = Busy(name)
    cache._check()
    cache.clear()
    cache._check()


OUT_OF_SPACE = """
import resource, sys
from fastmem._core.l1 import L1Cache

cache = L1Cache(10**12)
keys = [f"key:{i}" for i in range(600_000)]
with open("/proc/self/statm") as statm:
    used = int(statm.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 40 * 2**20, resource.RLIM_INFINITY))
held, failed = 0, 0
for key in keys:
    try:
        cache[key] = 7
        held += 1
    except MemoryError:
        failed += 1
        assert key not in cache
        if failed > 1000:
            break
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert len(cache) == held
cache._check()
for key in keys:  # room may have come back between two failures
    if key not in cache:
        cache[key] = 7
cache._check()
assert all(cache.get(key) == 7 for key in keys)
cache.clear()
cache._check()
print(failed, held)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of address space are Linux's here")
def test_growth_that_the_system_refuses_changes_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", OUT_OF_SPACE],
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    failed, held = map(int, done.stdout.split())
    assert failed > 0
    assert held > 100_000
