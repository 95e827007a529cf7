"""User code that runs inside the cache may use the cache, fail, or both; nothing breaks.

Each hostile action is tried from every place where the cache runs user code.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable
from typing import Any, Literal

import pytest

from fastmem._core.l1 import L1Cache
from fastmem.errors import ValueTooLargeError

BUDGET = 20_000
POLICIES: tuple[Literal["lru", "s3fifo"], ...] = ("lru", "s3fifo")
chosen = [POLICIES[0]]


@pytest.fixture(autouse=True, params=POLICIES)
def policy(request: pytest.FixtureRequest) -> None:
    """Everything holds under both."""
    chosen[0] = request.param


def filled() -> L1Cache:
    cache = L1Cache(BUDGET, policy=chosen[0])
    for i in range(20):
        cache[i] = bytes(100)
    return cache


def refused(cache: L1Cache) -> None:
    with contextlib.suppress(ValueTooLargeError):
        cache.put("huge", b"x" * BUDGET)


Action = Callable[[L1Cache], object]
Operation = Callable[[L1Cache, Any], object]

ACTIONS: dict[str, Action] = {
    "get": lambda c: c.get(3),
    "put new": lambda c: c.put("new", b"x" * 50),
    "put same": lambda c: c.put("target", "inner"),
    "put large": lambda c: c.put("large", b"x" * (BUDGET - 1000)),
    "put too large": lambda c: refused(c),
    "put many": lambda c: c.update({f"m{i}": i for i in range(300)}),
    "delete": lambda c: [c.delete(i) for i in range(20)],
    "pop": lambda c: c.popitem() if len(c) else None,
    "clear": lambda c: c.clear(),
    "resize": lambda c: c.resize(BUDGET),
    "iterate": lambda c: list(c.items()),
    "expire": lambda c: ([c._set_deadline(i, 1) for i in list(c) if i in range(9)], c.expire()),
    "collect": lambda _: gc.collect(),
}


class Acts:
    """Runs an action once, when `armed`, from the place a subclass chooses."""

    def __init__(self, cache: L1Cache, action: Action) -> None:
        self.cache, self.action, self.armed, self.runs = cache, action, True, 0

    def act(self) -> None:
        if self.armed:
            self.armed = False
            self.runs += 1
            self.action(self.cache)
            self.cache._check()


class ActsInEq(Acts):
    def __hash__(self) -> int:
        return 77

    def __eq__(self, other: object) -> bool:
        self.act()
        return self is other


class ActsInHash(Acts):
    def __hash__(self) -> int:
        self.act()
        return 77


class ActsInDel(Acts):
    def __del__(self) -> None:
        self.act()


def is_sound(cache: L1Cache) -> None:
    cache._check()
    assert cache.used_bytes <= cache.budget_bytes
    cache["after"] = 1
    assert cache["after"] == 1
    for i in range(300):
        cache[f"fill {i}"] = bytes(50)
    cache._check()


everywhere = pytest.mark.parametrize("action", ACTIONS.values(), ids=ACTIONS)


def subscript(cache: L1Cache, key: Any) -> None:
    with contextlib.suppress(KeyError):
        cache[key]


def counted(cache: L1Cache, key: Any) -> None:
    with contextlib.suppress(TypeError):  # what another stored is no number
        cache.incr(key)


OPERATIONS: dict[str, Operation] = {
    "put": lambda c, k: c.put(k, 1),
    "get": lambda c, k: c.get(k),
    "subscript": lambda c, k: subscript(c, k),
    "pop": lambda c, k: c.pop(k, None),
    "delete": lambda c, k: c.delete(k),
    "touch": lambda c, k: c.touch(k, 60),
    "setdefault": lambda c, k: c.setdefault(k, 1),
    "contains": lambda c, k: k in c,
    "add": lambda c, k: c.add(k, 1),
    "incr": lambda c, k: counted(c, k),
    "compare_and_set": lambda c, k: c.compare_and_set(k, "target", 1),
    "get_many": lambda c, k: c.get_many([k]),
    "put_many": lambda c, k: c.put_many([(k, 1)]),
    "delete_many": lambda c, k: c.delete_many([k]),
}
operations = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)


@operations
@everywhere
def test_eq_may_use_the_cache(action: Action, operation: Operation) -> None:
    cache = filled()
    stored, other = ActsInEq(cache, action), ActsInEq(cache, action)
    other.armed = stored.armed = False
    cache[stored] = "target"
    other.armed = True
    operation(cache, other)
    assert other.runs + stored.runs <= 1
    is_sound(cache)


@operations
@everywhere
def test_hash_may_use_the_cache(action: Action, operation: Operation) -> None:
    cache = filled()
    key = ActsInHash(cache, action)
    operation(cache, key)
    assert key.runs == 1
    is_sound(cache)


LEAVINGS: dict[str, Action] = {
    "replaced": lambda c: c.put("target", "outer"),
    "evicted": lambda c: c.put("big", b"x" * (BUDGET - 400)),
    "deleted": lambda c: c.delete("target"),
    "popped": lambda c: c.pop("target"),
    "cleared": lambda c: c.clear(),
    "resized": lambda c: c.resize(100),
    "expired": lambda c: (c._set_deadline("target", 1), c.get("target")),
    "expired by sweep": lambda c: (c._set_deadline("target", 1), c.expire()),
    "popitem": lambda c: [c.popitem() for _ in range(len(c))],
    "closed": lambda c: c.close(),
}


@pytest.mark.parametrize("leave", LEAVINGS.values(), ids=LEAVINGS)
@everywhere
def test_del_may_use_the_cache(action: Action, leave: Action) -> None:
    cache = filled()
    runs = []

    def noted(c: Any) -> None:
        runs.append(1)
        if not c.closed:
            c.resize(BUDGET)
            action(c)

    cache["target"] = ActsInDel(cache, noted)
    cache.get("target")
    leave(cache)
    gc.collect()
    assert len(runs) == 1
    if not cache.closed:
        cache.resize(BUDGET)
        is_sound(cache)


@everywhere
def test_a_sizer_may_use_the_cache(action: Action) -> None:
    armed: list[bool] = []

    def sizer(_: Any) -> int:
        if armed:
            armed.pop()
            action(cache)
        return 10

    cache = L1Cache(BUDGET, policy=chosen[0], sizer=sizer)
    for i in range(20):
        cache[i] = i
    armed.append(True)
    cache.put("target", "outer")
    assert cache["target"] == "outer"
    assert not armed
    is_sound(cache)


def test_a_sizer_that_closes_the_cache() -> None:
    cache = L1Cache(BUDGET, policy=chosen[0], sizer=lambda _: (cache.close(), 1)[1])
    with pytest.raises(ValueError, match="closed"):
        cache["a"] = 1
    cache._check()


def test_a_sizer_that_shrinks_the_budget_below_the_value() -> None:
    cache = L1Cache(BUDGET, policy=chosen[0], sizer=lambda _: (cache.resize(100), 500)[1])
    with pytest.raises(ValueError, match="limit of 100 bytes"):
        cache["a"] = 1
    assert len(cache) == 0
    cache._check()


class Raises:
    def __init__(self, in_hash: bool = False, in_eq: bool = False) -> None:
        self.in_hash, self.in_eq = in_hash, in_eq

    def __hash__(self) -> int:
        if self.in_hash:
            raise ZeroDivisionError("hash")
        return 500

    def __eq__(self, other: object) -> bool:
        if self.in_eq:
            raise ZeroDivisionError("eq")
        return self is other


@operations
@pytest.mark.parametrize("trouble", ["in_hash", "in_eq"])
def test_what_hash_and_eq_raise_comes_out_and_changes_nothing(
    operation: Operation, trouble: str
) -> None:
    cache = filled()
    stored = Raises()
    cache[stored] = "kept"
    stored.in_eq = trouble == "in_eq"
    before = list(cache.items()), cache.used_bytes
    with pytest.raises(ZeroDivisionError, match=trouble[3:]):
        operation(cache, Raises(**{trouble: True}))
    assert (list(cache.items()), cache.used_bytes) == before
    cache._check()


def test_a_stored_key_whose_eq_raises_hurts_only_keys_of_its_hash() -> None:
    cache = filled()
    key = Raises()
    cache[key] = 1
    key.in_eq = True
    with pytest.raises(ZeroDivisionError):
        cache.get(Raises())
    with pytest.raises(ZeroDivisionError):
        cache.get(500)  # int of the same hash
    assert cache[key] == 1  # identity asks nobody
    assert cache[6] == bytes(100)


def test_an_eq_that_always_changes_the_cache_ends_with_an_error() -> None:
    class Churns:
        def __hash__(self) -> int:
            return 900

        def __eq__(self, other: object) -> bool:
            cache.delete("x")
            cache["x"] = 1
            return False

    cache = filled()
    cache[Churns()] = 1
    with pytest.raises(RuntimeError, match="comparing keys changed the cache"):
        cache.get(Churns())
    is_sound(cache)


def test_an_eq_that_removes_the_entry_it_is_asked_about() -> None:
    class Vanishes:
        def __hash__(self) -> int:
            return 9

        def __eq__(self, other: object) -> bool:
            cache.clear()
            return True

    cache = filled()
    cache[Vanishes()] = 1
    assert cache.get(Vanishes(), "miss") == "miss"
    cache[Vanishes()] = 2
    cache[Vanishes()] = 3  # found equal, gone meanwhile: a new entry
    assert list(cache.values()) == [3]
    cache._check()


def test_a_key_dropped_during_its_own_comparison() -> None:
    """The lookup holds the stored key's last reference, and its __del__ changes the cache."""

    class Key:
        def __hash__(self) -> int:
            return 9

        def __eq__(self, other: object) -> bool:
            cache.clear()
            return True

        def __del__(self) -> None:
            cache.update({i: i for i in range(50)})

    cache = filled()
    cache[Key()] = 1
    query = Key()
    cache.get(query)
    del query
    is_sound(cache)


def test_nested_deletions_unwind() -> None:
    """Each dying value replaces the next one, hundreds of levels down."""

    class Chain:
        def __init__(self, depth: int) -> None:
            self.depth = depth

        def __del__(self) -> None:
            if self.depth:
                cache.put(("level", self.depth - 1), None)

    cache = L1Cache(10_000_000)
    for depth in range(200):
        cache["level", depth] = Chain(depth)
    cache.put(("level", 199), None)
    assert all(value is None for value in cache.values())
    cache._check()


def test_the_last_reference_to_the_cache_dies_inside_an_operation() -> None:
    class Drops:
        def __del__(self) -> None:
            holder.clear()

    holder = [L1Cache(1_000)]
    holder[0]["a"] = Drops()
    assert holder[0].delete("a") is True
    assert holder == []
