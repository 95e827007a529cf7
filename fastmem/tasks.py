"""How an ``async def`` is loaded: in a task of its own, for which all its callers wait.

So no caller is the one that the others depend on: a caller that is cancelled just leaves, and only
with the last of them the task ends too.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from functools import partial
from typing import Any

from fastmem._core.cache import MISSING
from fastmem._core.flights import FLYING, LOOK_AGAIN_S, Flight
from fastmem._core.memo import Memo

__all__ = ["load", "refresh"]

log_to = logging.getLogger("fastmem")

Args = tuple[Any, ...]
Kwargs = dict[str, Any]


async def load(memo: Memo[..., Any], key: object, args: Args, kwargs: Kwargs) -> Any:
    """What a call returns that missed: loads the value, or waits for who does."""
    loop = asyncio.get_running_loop()
    while True:
        fresh = Flight(key)
        flight = memo.enter(fresh)
        mine = False
        if flight is not fresh or not memo.cache_has(flight):
            mine = flight.claim(loop)
            if mine:
                _start(memo, flight, args, kwargs, loop, watched=True)
            await _wait(flight, loop)
        found = flight.result()
        if found is not MISSING:
            return found
        if mine:  # what it called was interrupted or cancelled, not this caller: as without a cache
            raise _interruption_of(flight.task)


def _interruption_of(task: asyncio.Task[Any] | None) -> BaseException:
    if task is None or not task.done() or task.cancelled():
        return asyncio.CancelledError()
    return task.exception() or asyncio.CancelledError()


def refresh(memo: Memo[..., Any], flight: Flight, args: Args, kwargs: Kwargs) -> None:
    """Has a flight made by a task that nobody waits for."""
    loop = asyncio.get_running_loop()
    if flight.claim(loop):
        flight.fly_unwatched()
        _start(memo, flight, args, kwargs, loop, watched=False)


def _start(
    memo: Memo[..., Any],
    flight: Flight,
    args: Args,
    kwargs: Kwargs,
    loop: asyncio.AbstractEventLoop,
    *,
    watched: bool,
) -> None:
    try:
        context = contextvars.copy_context()
        context.run(flight.depart)
        began_ns = time.monotonic_ns()
        task = loop.create_task(memo.function(*args, **kwargs), context=context)
        flight.task = task
        # Called in every case, also when the task is cancelled before its first step.
        task.add_done_callback(partial(_come_down, memo, flight, began_ns, watched))
    except BaseException:
        flight.abandon()
        raise


def _come_down(
    memo: Memo[..., Any], flight: Flight, began_ns: int, watched: bool, task: asyncio.Task[Any]
) -> None:
    error = None
    try:
        if not task.cancelled():
            error = task.exception()
            if error is None:
                memo.land(flight, task.result(), time.monotonic_ns() - began_ns)
            else:
                memo.fail(flight, error)
    except Exception as unstored:  # noqa: BLE001 - those who wait have it from the flight
        error = unstored
    finally:  # also when memory ran out on the way down; nobody may wait for it for ever
        flight.abandon()
    if error is not None and not watched:
        log_to.warning("could not refresh %r", flight.key, exc_info=error)


async def _wait(flight: Flight, loop: asyncio.AbstractEventLoop) -> None:
    """Until it has come down or is stalled."""
    if flight.state != FLYING:
        return
    outer = flight.begin_wait()
    landing = loop.create_future()
    try:
        if flight.wake_by(partial(_wake, loop, landing)):
            if flight.loop is None or flight.loop is loop:
                await landing
            while not landing.done() and not flight.is_stalled():
                await asyncio.wait([landing], timeout=LOOK_AGAIN_S)
    finally:
        if flight.end_wait(outer):
            flight.abandon()
            if flight.task is not None and flight.loop is not None:
                _cancel(flight.task, flight.loop, loop)


def _wake(loop: asyncio.AbstractEventLoop, landing: asyncio.Future[None]) -> None:
    if asyncio._get_running_loop() is loop:
        _land(landing)
    else:
        loop.call_soon_threadsafe(_land, landing)


def _land(landing: asyncio.Future[None]) -> None:
    if not landing.done():
        landing.set_result(None)


def _cancel(
    task: asyncio.Task[Any], its: asyncio.AbstractEventLoop, mine: asyncio.AbstractEventLoop
) -> None:
    if its.is_closed():
        return  # nothing of it runs again
    if its is mine:
        task.cancel()
    else:
        its.call_soon_threadsafe(task.cancel)
