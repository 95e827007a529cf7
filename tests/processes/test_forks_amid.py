"""A signal handler or a finalizer forks while its thread is at work on the files of a store.

The child comes back into the middle of a call that is its parent's. It never waits for the parent,
nor gives a lock of it back, nor touches what the parent is about to make: its store is closed.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fastmem import ClosedError
from fastmem._core.ofd import held_byte
from fastmem._core.turns import wait_for_lock
from fastmem.storage.processes import SECTION
from tests.children import forked
from tests.crash.directories import (
    LOCK_AT,
    Opener,
    contents,
    engine_of,
    open_segments,
    open_tiers,
    set_word,
    word,
)
from tests.crash.test_nested_calls import DOOR

SMALL, LARGE = 200_000, 400_000
MOST_PLACES = 200

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


class Fork:
    """Forks at the nth call through the door to the files, once, and waits for the child."""

    def __init__(self, place: Path, nth: int) -> None:
        self._procs = place / "l2/procs"
        self._left = nth
        self.came = False
        self.said = ""
        self.told: int | None = None  # in the child: where to say what came of it

    def step(self) -> None:
        self._left -= 1
        if self._left or self.came:
            return
        self.came = True
        before = self.is_at_work()
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            self.told = writer
            return
        os.close(writer)
        if not select.select([reader], [], [], 20)[0]:
            os.kill(child, signal.SIGKILL)
        self.said = os.read(reader, 4096).decode() or "it hung"
        os.close(reader)
        os.waitpid(child, 0)
        assert self.is_at_work() == before

    def is_at_work(self) -> bool:
        """Does somebody, which is this process, have the byte of who is at work on files?"""
        fd = os.open(self._procs, os.O_RDWR)
        try:
            return held_byte(fd, SECTION, 1) is not None
        finally:
            os.close(fd)

    @contextmanager
    def watching(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            for owner, name in DOOR:
                patch.setattr(owner, name, self._noticed(getattr(owner, name)))
            yield

    def _noticed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def noticed(*args: Any, **options: Any) -> Any:
            self.step()
            return call(*args, **options)

        return noticed


def put_some(store: Any) -> dict[object, bytes]:
    """Put so that segments are begun, value files written, and all is synced."""
    expected: dict[object, bytes] = {}
    for number in range(8):
        expected[number] = bytes([number]) * SMALL
        store.put(number, expected[number])
    for name in ("large", "large", "larger"):
        expected[name] = os.urandom(LARGE)
        store.put(name, expected[name])
    store.flush()
    return expected


def in_child(fork: Fork, store: Any, error: BaseException | None) -> None:
    """Tell what came of the call that was the parent's, and end."""
    assert fork.told is not None
    said = f"{type(error).__name__}: {error}" if error else "done"
    if isinstance(error, ClosedError):
        said = "closed"
        try:
            store.put("k", 2)
            said = "and put to"
        except ClosedError:
            store.close()
    os.write(fork.told, said.encode())
    os._exit(0)


@pytest.mark.parametrize("opener", [open_segments, open_tiers])
def test_wherever_it_comes(private_tmp: Path, opener: Opener) -> None:
    outcomes = []
    for nth in range(1, MOST_PLACES):
        place = private_tmp / str(nth)
        place.mkdir(mode=0o700)
        with opener(place) as store:
            store.put("k", 1)
            fork, error = Fork(place, nth), None
            try:
                with fork.watching():
                    expected = put_some(store)
            except BaseException as raised:  # noqa: BLE001 - the child tells of it
                error = raised
            if fork.told is not None:
                in_child(fork, store, error)
            if error is not None:
                raise error
            store.check()
            assert contents(store) == {"k": 1, **expected} or fork.said == "done"
            assert fork.said in ("", "done", "closed"), f"at place {nth}"
        outcomes.append(fork.said)
        if not fork.came:
            break
    assert outcomes[-1] == ""
    assert outcomes.count("closed") > len(outcomes) / 2


def test_while_it_waits_for_a_dead_one_s_lock(private_tmp: Path) -> None:
    """What the child inherits as its name for the lock is none: it must not set it free."""
    with open_segments(private_tmp) as store:
        store.put("k", 1)
        page, dead = private_tmp / "l2/super", 9 << 48 | 7
        set_word(page, LOCK_AT, dead)

        def work() -> str:
            taken = [os.open(page, os.O_RDONLY) for _ in range(9)]  # the number of `procs`, too
            assert taken
            assert wait_for_lock(engine_of(store).log, 1) == 0
            return f"{word(page, LOCK_AT):x}"

        assert forked(work) == f"{dead:x}"
        store.put("k", 2)
        assert engine_of(store).log.steals == 1
