"""Listeners hear what left, why, and in which order; nothing they do harms the cache."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from fastmem._core.l1 import L1Cache

BUDGET = 2_000


@pytest.fixture
def cache() -> Any:
    return L1Cache(BUDGET)


@pytest.fixture
def told(cache: L1Cache) -> Any:
    events = []
    cache.add_listener(lambda *event: events.append(event))
    return events


@pytest.fixture
def unraisable(monkeypatch: Any) -> Any:
    """What went to sys.unraisablehook: (exception, object)."""
    seen = []
    monkeypatch.setattr("sys.unraisablehook", lambda u: seen.append((u.exc_value, u.object)))
    return seen


def expired(cache: L1Cache, key: Any = "a") -> None:
    cache._set_deadline(key, 1)


CAUSES: dict[str, Callable[[L1Cache], object]] = {
    "size": lambda c: c.put("big", b"x" * 1_700),
    "size by resize": lambda c: c.resize(1),
    "expired at get": lambda c: (expired(c), c.get("a")),
    "expired at put": lambda c: (expired(c), c.put("a", 2)),
    "expired at add": lambda c: (expired(c), c.add("a", 2)),
    "expired by expire": lambda c: (expired(c), c.expire()),
    "expired at popitem": lambda c: (expired(c), c.put("b", 1), c.popitem(), c.clear()),
    "replaced by put": lambda c: c.put("a", 2),
    "replaced by incr": lambda c: c.incr("a"),
    "replaced by compare_and_set": lambda c: c.compare_and_set("a", 1, 2),
    "replaced by put_many": lambda c: c.put_many({"a": 2}),
    "deleted by delete": lambda c: c.delete("a"),
    "deleted by del": lambda c: c.__delitem__("a"),
    "deleted by pop": lambda c: c.pop("a"),
    "deleted by popitem": lambda c: c.popitem(),
    "deleted by delete_many": lambda c: c.delete_many(["a"]),
    "cleared by clear": lambda c: c.clear(),
    "cleared by close": lambda c: c.close(),
}


@pytest.mark.parametrize("name", CAUSES)
def test_each_cause_is_told(cache: L1Cache, told: list[Any], name: str) -> None:
    cache["a"] = 1
    CAUSES[name](cache)
    assert told[0] == ("a", 1, name.split()[0])
    assert len(told) == 1 + (name == "expired at popitem")


def test_what_changes_nothing_tells_nothing(cache: L1Cache, told: list[Any]) -> None:
    cache["a"] = 1
    cache.get("a")
    cache.touch("a", 60)
    cache.add("a", 2)
    cache.delete("b")
    cache.compare_and_set("a", 5, 6)
    with pytest.raises(ValueError):
        cache.put("a", b"x" * BUDGET)
    assert told == []


def test_the_order_is_that_of_the_changes(cache: L1Cache, told: list[Any]) -> None:
    for i in range(40):
        cache[i % 3] = i
    cache.resize(1)
    causes = [cause for *_, cause in told]
    assert causes == ["replaced"] * 37 + ["size"] * 3
    assert [value for _, value, _ in told] == list(range(40))


def test_listeners_come_and_go(cache: L1Cache) -> None:
    calls = []

    class Owner:
        def on_evict(self, *event: Any) -> None:
            calls.append("method")

    owner = Owner()
    assert cache.add_listener(owner.on_evict) == owner.on_evict
    once = cache.add_listener(lambda *_: calls.append("once"))
    cache.add_listener(once)
    cache.update(a=1)
    cache.update(a=2)
    assert calls == ["method", "once", "once"]
    cache.remove_listener(owner.on_evict)  # another bound method, equal to the first
    cache.remove_listener(once)
    cache.update(a=3)
    assert calls == ["method", "once", "once", "once"]
    cache.remove_listener(once)
    cache.update(a=4)
    assert len(calls) == 4
    with pytest.raises(ValueError):
        cache.remove_listener(once)
    with pytest.raises(TypeError, match="callable"):
        cache.add_listener(3)  # type: ignore[type-var]


def test_what_a_listener_raises_is_counted_and_reported_and_stops_nobody(
    cache: L1Cache, unraisable: list[Any]
) -> None:
    heard = []

    @cache.add_listener
    def fails(key: Any, value: Any, cause: str) -> None:
        raise ZeroDivisionError(key)

    cache.add_listener(lambda key, *_: heard.append(key))
    cache.update(a=1, b=2)
    assert cache.delete_many(["a", "b"]) == 2
    assert heard == ["a", "b"]
    assert cache.stats()["errors"]["listener"] == 2
    assert [str(error) for error, _ in unraisable] == ["a", "b"]
    assert [listener for _, listener in unraisable] == [fails, fails]
    assert unraisable[0][0].__traceback__ is not None


def test_an_interrupt_comes_out_when_everything_is_told(
    cache: L1Cache, unraisable: list[Any]
) -> None:
    heard = []

    @cache.add_listener
    def interrupted(key: Any, value: Any, cause: str) -> None:
        if key in ("a", "c"):
            raise KeyboardInterrupt(key)

    cache.add_listener(lambda key, *_: heard.append(key))
    cache.update(a=1, b=2, c=3)
    with pytest.raises(KeyboardInterrupt, match="a"):
        cache.clear()
    assert heard == ["a", "b", "c"]
    assert len(cache) == 0
    assert [str(error) for error, _ in unraisable] == ["c"]  # one can come out, none is lost
    assert cache.stats()["errors"]["listener"] == 0
    cache.update(a=1, b=2)
    cache.delete("b")
    assert heard == ["a", "b", "c", "b"]


def test_a_listener_may_use_the_cache_and_hears_of_that_afterwards(cache: L1Cache) -> None:
    events, depth = [], [0]

    @cache.add_listener
    def on_evict(key: Any, value: Any, cause: str) -> None:
        depth[0] += 1
        assert depth[0] == 1
        cache._check()
        events.append((key, cause))
        if key == "a":
            cache.delete("b")
            cache["c"] = 2
            assert ("b", "deleted") not in events
        depth[0] -= 1

    cache.update(a=1, b=1, c=1)
    cache.delete("a")
    assert events == [("a", "deleted"), ("b", "deleted"), ("c", "replaced")]


def test_a_chain_of_events_needs_no_stack(cache: L1Cache) -> None:
    @cache.add_listener
    def on_evict(key: Any, value: Any, cause: str) -> None:
        if value:
            cache["a"] = value - 1
            cache.delete("a")

    cache["a"] = 20_000
    cache.delete("a")
    assert len(cache) == 0


def test_listeners_registered_and_removed_by_listeners(cache: L1Cache) -> None:
    events = []

    def late(key: Any, *_: Any) -> None:
        events.append(("late", key))

    def doomed(key: Any, *_: Any) -> None:
        events.append(("doomed", key))

    @cache.add_listener
    def first(key: Any, *_: Any) -> None:
        events.append(("first", key))
        if key == "a":
            cache.add_listener(late)
            cache.remove_listener(doomed)

    cache.add_listener(doomed)
    cache.update(a=1, b=2)
    cache.clear()
    assert events == [("first", "a"), ("first", "b"), ("late", "b")]


def test_a_listener_may_close_the_cache(cache: L1Cache, told: list[Any]) -> None:
    cache.add_listener(lambda *_: cache.close())
    cache.update(a=1, b=2)
    cache["a"] = 3
    assert told == [("a", 1, "replaced"), ("b", 2, "cleared"), ("a", 3, "cleared")]


def test_references_go_when_all_is_told(cache: L1Cache) -> None:
    class Value:
        pass

    value = Value()
    alive = weakref.ref(value)
    seen = []
    cache.add_listener(lambda key, value, cause: seen.append(alive() is value))
    cache["a"] = value
    del value
    cache.clear()
    assert seen == [True]
    assert alive() is None


def test_what_the_death_of_a_value_changes_is_told_after_it(cache: L1Cache) -> None:
    class Value:
        def __del__(self) -> None:
            events.append("dead")
            cache.delete("b")

    events = []
    cache.add_listener(lambda key, *_: events.append(key))
    cache.update(a=Value(), b=1)
    cache.delete("a")
    assert events == ["a", "dead", "b"]
    cache._check()


def test_a_cycle_through_a_listener_is_collected() -> None:
    class Owner:
        def __init__(self) -> None:
            self.cache = L1Cache(BUDGET)
            self.cache.add_listener(self.on_evict)
            self.cache["a"] = self

        def on_evict(self, *_: Any) -> None:
            raise AssertionError("a forgotten cache tells nothing")

    owner = weakref.ref(Owner())
    gc.collect()
    assert owner() is None


def test_nothing_is_kept_for_listeners_when_there_are_none(cache: L1Cache) -> None:
    cache["a"] = 1
    cache.clear()
    assert cache.stats()["untold"] == {"entries": 0, "bytes": 0}
    events = []
    cache.add_listener(lambda *event: events.append(event))
    cache["b"] = 1
    assert events == []


def test_a_registration_taken_back_while_it_waits_is_not_called(cache: L1Cache) -> None:
    events = []

    def twice(key: Any, *_: Any) -> None:
        events.append(key)

    cache.add_listener(lambda *_: cache.remove_listener(twice))
    cache.add_listener(twice)
    cache.add_listener(twice)
    cache["a"] = 1
    cache["a"] = 2
    assert events == ["a"]
