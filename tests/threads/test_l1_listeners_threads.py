"""Listeners of a cache that many threads change."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from fastmem._core.l1 import L1Cache
from tests.children import forked
from tests.crowd import Key, together

by_key = pytest.mark.parametrize("make_key", [int, Key], ids=["int", "compared by Python"])


@by_key
@pytest.mark.usefixtures("eager_switches")
def test_listeners_hear_the_changes_of_all_threads_in_order(make_key: Callable[[int], Any]) -> None:
    """Each value names the one before it: with one listener the chain has no break."""
    cache, at_work = L1Cache(100_000), threading.Lock()
    told: dict[int, int] = {}

    @cache.add_listener
    def on_evict(key: Any, value: Any, cause: str) -> None:
        assert at_work.acquire(blocking=False), "two listeners at once"
        number = getattr(key, "number", key)
        assert cause == "replaced"
        assert value == told.get(number, 0)
        told[number] = value + 1
        at_work.release()

    cache.update((make_key(i), 0) for i in range(3))
    assert (
        together(
            partial(lambda _: [cache.incr(make_key(i % 3)) for i in range(3_000)], number)
            for number in range(4)
        )
        == []
    )
    assert cache.stats()["untold"]["entries"] == 0
    assert cache.stats()["errors"]["listener"] == 0
    assert told == dict.fromkeys(range(3), 4_000)


def test_a_listener_that_blocks_holds_up_events_but_no_thread() -> None:
    cache, entered, leave, told = L1Cache(100_000), threading.Event(), threading.Event(), []

    @cache.add_listener
    def on_evict(key: Any, value: Any, cause: str) -> None:
        told.append(key)
        if key == "slow":
            entered.set()
            leave.wait()

    cache.update(slow=1, fast=2)
    thread = threading.Thread(target=cache.delete, args=("slow",))
    thread.start()
    entered.wait()
    cache.delete("fast")  # returns, though its event waits
    assert told == ["slow"]
    assert cache.stats()["untold"]["entries"] == 1
    assert cache.stats()["untold"]["bytes"] > 80
    leave.set()
    thread.join()
    assert told == ["slow", "fast"]
    cache._check()


def test_a_forked_child_tells_what_its_parents_thread_was_telling() -> None:
    cache, entered, leave = L1Cache(100_000), threading.Event(), threading.Event()

    @cache.add_listener
    def on_evict(key: Any, value: Any, cause: str) -> None:
        if os.getpid() != parent:
            told.append(key)
        elif key == "slow":
            entered.set()
            leave.wait()

    parent = os.getpid()
    told: list[Any] = []
    cache.update(slow=1, fast=2, last=3)
    thread = threading.Thread(target=cache.delete, args=("slow",))
    thread.start()
    entered.wait()
    cache.delete("fast")

    def deletes_another() -> list[str]:
        cache.delete("last")
        return told

    assert forked(deletes_another) == "['fast', 'last']"
    leave.set()
    thread.join()


def test_in_a_child_forked_by_a_listener_no_listener_runs_inside_it() -> None:
    cache, depth = L1Cache(100_000), [0]
    depths: list[int] = []

    def deletes_another() -> tuple[list[int], int]:
        cache.delete("b")
        return depths, cache.stats()["untold"]["entries"]

    said = []

    @cache.add_listener
    def on_evict(key: Any, value: Any, cause: str) -> None:
        depth[0] += 1
        depths.append(depth[0])
        if key == "a":
            said.append(forked(deletes_another))
        depth[0] -= 1

    cache.update(a=1, b=1)
    cache.delete("a")
    assert said == ["([1], 1)"]
