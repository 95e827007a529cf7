"""Who has a directory open: any number of processes, by locks that die with them."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastmem import ClosedError, StoreLockedError
from tests.children import forked
from tests.crash.directories import (
    BUDGET,
    contents,
    copy,
    engine_of,
    open_archive,
    open_segments,
    open_tiers,
    set_word,
)

HOLDER = """
import sys
from fastmem import SegmentStore
store = SegmentStore(sys.argv[1], budget_bytes={budget}, read_only={read_only})
print("open", flush=True)
sys.stdin.read()
"""


def hold(at: Path, *, read_only: bool = False) -> subprocess.Popen[str]:
    """A process that has the store open until its input ends."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER.format(budget=BUDGET, read_only=read_only), at / "l2"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "open\n"
    return child


def finish(child: subprocess.Popen[str]) -> None:
    child.kill()
    child.wait()
    for stream in (child.stdin, child.stdout):
        if stream is not None:
            stream.close()


@pytest.mark.parametrize("opener", [open_segments, open_archive, open_tiers])
def test_a_second_opener_joins(private_tmp: Path, opener: Any) -> None:
    with opener(private_tmp) as store:
        store.put("k", 1)
        with opener(private_tmp) as other, opener(private_tmp, read_only=True) as looker:
            assert other.get("k") == looker.get("k") == 1
            other.put("l", [2])
            assert store.get("l") == looker.get("l") == [2]
            other.put("large", b"x" * 300_000)
            assert store.get("large") == looker.get("large") == b"x" * 300_000
            assert other.delete("k")
        assert store.get("k") is None or opener is open_tiers  # L1 has it for a while
        store.check()
    with opener(private_tmp) as store:
        assert contents(store) == {"l": [2], "large": b"x" * 300_000}
        assert engine_of(store).files.was_clean


@pytest.mark.parametrize("opener", [open_segments, open_archive, open_tiers])
def test_one_that_came_before_the_first_segment_finds_all(private_tmp: Path, opener: Any) -> None:
    values = {number: random.Random(number).randbytes(100_000) for number in range(30)}
    with opener(private_tmp) as store, opener(private_tmp) as other:
        store.update(values)
        other.put("last", 1)  # into the newest segment, the first that this one maps
        assert [number for number in values if other.get(number) != values[number]] == []
        assert store.get("last") == 1
        other.check()


def test_a_memory_takes_both_directories_or_neither(private_tmp: Path) -> None:
    open_tiers(private_tmp).close()
    with open_archive(private_tmp), pytest.raises(StoreLockedError, match="another partner"):
        open_tiers(private_tmp)
    open_tiers(private_tmp).close()
    with open_tiers(private_tmp), pytest.raises(StoreLockedError, match="another partner"):
        open_archive(private_tmp)


def test_write_back_is_alone(private_tmp: Path) -> None:
    for first, second in (("process", "cache"), ("cache", "process"), ("cache", "cache")):
        with open_tiers(private_tmp, durability=first):
            with pytest.raises(StoreLockedError):
                open_tiers(private_tmp, durability=second)
            if first == "cache":
                with pytest.raises(StoreLockedError):
                    open_tiers(private_tmp, read_only=True)
        open_tiers(private_tmp, durability=second).close()


def test_a_second_process_and_its_death(private_tmp: Path) -> None:
    open_segments(private_tmp).close()
    child = hold(private_tmp)
    try:
        with open_segments(private_tmp) as store:
            assert engine_of(store).files.attached
            child.send_signal(signal.SIGKILL)
            child.wait()
            store.put("k", 1)
        with open_segments(private_tmp) as store:
            assert not engine_of(store).files.attached
            assert store.get("k") == 1
    finally:
        finish(child)


def test_readers_share_and_keep_a_writer_out(private_tmp: Path) -> None:
    open_segments(private_tmp).close()
    child = hold(private_tmp, read_only=True)
    try:
        with open_segments(private_tmp, read_only=True), pytest.raises(StoreLockedError):
            open_segments(private_tmp)
        with pytest.raises(StoreLockedError):
            open_segments(private_tmp)
    finally:
        finish(child)
    open_segments(private_tmp).close()


def test_an_idle_forked_child_does_not_keep_a_dead_parents_lock(private_tmp: Path) -> None:
    script = (
        "import os, sys, time\n"
        "from fastmem import SegmentStore\n"
        f"store = SegmentStore(sys.argv[1], budget_bytes={BUDGET})\n"
        "store.put('k', 'v')\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    print(os.getpid(), flush=True)\n"
        "    sys.stdin.read()\n"
        "    os._exit(0)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, private_tmp / "l2"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert parent.stdout is not None
        grandchild = int(parent.stdout.readline())
        parent.kill()
        parent.wait()
        os.kill(grandchild, 0)  # it lives
        with open_segments(private_tmp) as store:
            assert store.get("k") == "v"
    finally:
        finish(parent)  # ends the grandchild's input


@pytest.mark.parametrize("opener", [open_segments, open_archive, open_tiers])
def test_a_forked_child_goes_on_at_once(private_tmp: Path, opener: Any) -> None:
    with opener(private_tmp) as store:
        store.put("k", "v")
        store.put("large", b"x" * 300_000)

        def use() -> str:
            assert store.get("k") == "v"
            assert engine_of(store).log.orphaned
            store.put("child", os.getpid())
            store.put("large of child", b"y" * 300_000)
            assert not engine_of(store).log.orphaned
            assert store.get("large") == b"x" * 300_000
            assert store.delete("k")
            store.flush()
            store.close()
            return str(os.getpid())

        child = int(forked(use))
        store.put("after", 1)
        found = contents(store)
        assert found == {
            "large": b"x" * 300_000, "large of child": b"y" * 300_000, "child": child, "after": 1
        }  # fmt: skip
        store.check()
        # One that touches nothing takes no slot, and closes nothing of its parent's.
        assert forked(lambda: (store.close(), "closed")[1]) == "closed"
        store.put("last", 2)
    with opener(private_tmp) as store:
        assert contents(store) == {**found, "last": 2}


def test_a_forked_child_of_one_who_is_alone_finds_it_closed(private_tmp: Path) -> None:
    with open_tiers(private_tmp, durability="cache") as memory:
        memory.put("k", "v")

        def use() -> str:
            calls: list[Callable[[], object]] = [
                lambda: memory.put("k", 1),
                lambda: memory.get("absent"),
                lambda: memory.flush(),
            ]
            for call in calls:
                with pytest.raises(ClosedError):
                    call()
            memory.close()
            return "fine"

        assert forked(use) == "fine"
        memory.put("after", 1)
    with open_tiers(private_tmp) as memory:
        assert contents(memory) == {"k": "v", "after": 1}


def test_a_fork_while_another_thread_is_at_work_inside(private_tmp: Path) -> None:
    """The child must not wait for a lock that only a thread of its parent could release."""
    with open_segments(private_tmp) as store:
        engine = engine_of(store)
        taken, release = threading.Event(), threading.Event()

        def work() -> None:
            with engine.lock:
                taken.set()
                release.wait(30)

        thread = threading.Thread(target=work)
        thread.start()
        taken.wait(10)
        try:
            if sys.version_info >= (3, 12):
                with pytest.warns(DeprecationWarning, match="fork"):
                    said = forked(lambda: (store.close(), "closed")[1])
            else:
                said = forked(lambda: (store.close(), "closed")[1])
        finally:
            release.set()
            thread.join()
        assert said == "closed"
        store.put("k", 1)


def test_read_only_after_a_kill_under_the_write_lock(private_tmp: Path) -> None:
    with open_tiers(private_tmp) as memory:
        memory.update({i: "v" * i for i in range(300)})
        at = copy(private_tmp, private_tmp / "killed")
    set_word(at / "l2" / "super", 128, 1 << 32)
    with open_tiers(at, read_only=True) as memory:
        assert contents(memory) == {i: "v" * i for i in range(300)}
