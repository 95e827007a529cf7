"""Failing allocations change nothing; an entry owns a reference to its key and one to its value."""

import subprocess
import sys

import pytest

from fastmem._core.l1 import L1Cache

INJECTED = """
import contextlib, sys
from _testcapi import set_nomemory, remove_mem_hooks
from fastmem._core.l1 import L1Cache

class Odd:
    __slots__ = ("name",)
    def __init__(self, name): self.name = name
    def __hash__(self): return 5
    def __eq__(self, other): return self is other

def snapshot(cache):
    return list(cache.items()), cache.used_bytes, len(cache)

def grown():
    cache = L1Cache(10**7, policy={policy!r})
    for i in range({entries}):
        cache[i] = i
    return cache

def crowded():
    cache = L1Cache(10**7, policy={policy!r})
    for name in range({entries}):
        cache[Odd(name)] = name
    return cache

new, wide = "new", {{str(i): [i, str(i)] for i in range(100)}}
odd = Odd("new")
deep = []
for _ in range(100):
    deep = [deep, "x"]
OPERATIONS = {{
    "put": lambda c: c.put(new, wide),
    "put deep": lambda c: c.put(new, deep),
    "put ttl": lambda c: c.put(new, 1, 60.5),
    "replace": lambda c: c.put(3, wide),
    "evict": lambda c: c.put(new, "x" * (10**7 - 3000)),
    "odd": lambda c: c.put(odd, 1),
    "popitem": lambda c: c.popitem(),
    "pop": lambda c: c.pop(3, None),
    "items": lambda c: list(c.items()),
    "setdefault": lambda c: c.setdefault(new, wide),
    "add": lambda c: c.add(new, wide, 60),
    "incr": lambda c: c.incr(3, 10**30, initial=5) if type(next(iter(c))) is int else c.incr(new),
    "compare_and_set": lambda c: c.compare_and_set(3, 3, wide, 60),
    "clear": lambda c: c.clear(),
    "too large": lambda c: c.put(new, "x" * 10**7) ,
}}
failed = 0
for make in (grown, crowded):
    for name, operation in OPERATIONS.items():
        for nth in range(200):
            cache = make()
            before = snapshot(cache)
            raised = None
            set_nomemory(nth, nth + 1)
            try:
                operation(cache)
            except MemoryError as error:
                raised = True
            except ValueError:
                raised = False
            remove_mem_hooks()
            cache._check()
            if raised is not None:
                assert snapshot(cache) == before, (make.__name__, name, nth)
                cache.put(new, 1)
                cache._check()
            failed += raised is True
            if raised is None and nth > 40:
                break
print(failed)
"""


@pytest.mark.parametrize("entries", [1, 7, 12, 200])  # 7: the arena is full, 12: the slots are
@pytest.mark.parametrize("policy", ["lru", "s3fifo"])
def test_a_failing_allocation_changes_nothing(policy: str, entries: int) -> None:
    script = INJECTED.format(entries=entries, policy=policy)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=250, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 20, "nothing was injected"


def test_references_are_exactly_one_per_entry() -> None:
    cache = L1Cache(100_000)
    key, value = tuple(["a", 1]), [1]  # noqa: C409 - a constant may be immortal
    before = sys.getrefcount(key), sys.getrefcount(value)
    cache[key] = value
    assert (sys.getrefcount(key), sys.getrefcount(value)) == (before[0] + 1, before[1] + 1)
    cache[key] = value
    cache.get(key)
    cache.peek(key)
    cache.touch(key, 60)
    list(cache.items())
    assert (sys.getrefcount(key), sys.getrefcount(value)) == (before[0] + 1, before[1] + 1)
    cache.popitem()
    assert (sys.getrefcount(key), sys.getrefcount(value)) == before
