"""Whoever has the write lock of a shared directory, or is at work on its files, may be stopped or
die: a living one is waited for, a dead one succeeded.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fastmem import SegmentStore, StoreTimeoutError
from fastmem._core.turns import wait_for_lock
from fastmem.storage.processes import NEXT, SECTION
from tests.crash.directories import engine_of, open_segments
from tests.processes.syncers import Syncer
from tests.processes.writers import writing

SMALL, LARGE = 3_000, 300_000
OWN_PIDS = ("unshare", "--pid", "--fork", "--kill-child")


def check_at_rest(store: SegmentStore) -> None:
    """Check a store whose last writer was killed, with the lock perhaps: a put succeeds it.

    One that was killed with a value file in place, and had told nobody, is found by who joins.
    """
    with open_segments(engine_of(store).files.directory.path.parent) as joined:
        joined.put("at rest", bytes(LARGE))
    store.put("at rest", 1)
    with engine_of(store).lock:  # it looks at what the others have done to the files
        store.check()


def test_a_stopped_holder_delays_writers_and_no_reader(private_tmp: Path) -> None:
    with open_segments(private_tmp, timeout_s=0.3) as store:
        store.put("k", "before")
        with writing(private_tmp, "w", SMALL) as writer:
            writer.stop_when(writer.has_lock)
            with pytest.raises(StoreTimeoutError, match=rf"slot {writer.slot} .* 0\.3 s") as caught:
                store.put("k", "never")
            assert isinstance(caught.value, TimeoutError)
            assert caught.value.errno == errno.ETIMEDOUT
            assert caught.value.filename == str(private_tmp / "l2")
            with pytest.raises(StoreTimeoutError):
                store.delete("k")
            assert store.get("k") == "before"
            assert "k" in store
            assert len(list(store)) >= 1
            writer.go_on()
            store.put("k", "after")
            assert store.get("k") == "after"
            assert engine_of(store).log.waits >= 2
            assert engine_of(store).log.steals == 0
        check_at_rest(store)


def test_a_lock_that_was_freed_meanwhile_is_not_waited_for(private_tmp: Path) -> None:
    with open_segments(private_tmp) as store:
        assert wait_for_lock(engine_of(store).log, 100_000_000) == 0


def test_a_killed_holder_is_succeeded(private_tmp: Path) -> None:
    with open_segments(private_tmp) as store:
        for turn in range(5):
            with writing(private_tmp, "w", SMALL) as writer:
                writer.stop_when(writer.has_lock)
                writer.kill()
                began = time.monotonic()
                store.put("k", turn)
                assert time.monotonic() - began < store._engine._timeout_ns / 1e9
            assert store.get("k") == turn
            assert engine_of(store).log.steals == turn + 1
            store.check()
    with open_segments(private_tmp) as store:
        assert not store.stats()["rebuilt"]
        store.check()


def test_one_stopped_at_work_on_files_delays_only_who_needs_them(private_tmp: Path) -> None:
    with open_segments(private_tmp, timeout_s=0.3) as store:
        store.put("k", "v" * LARGE)
        with writing(private_tmp, "w", LARGE) as writer:
            writer.stop_when(writer.is_at_work)
            with pytest.raises(StoreTimeoutError, match="at work on its files"):
                store.put("large", b"x" * LARGE)
            assert "large" not in store
            assert store.get("k") == "v" * LARGE
            writer.go_on()
            store.put("large", b"x" * LARGE)
        assert store.get("large") == b"x" * LARGE
        check_at_rest(store)


STOP = """
import os, signal, sys
from fastmem._core.ofd import lock_bytes
fd = os.open(sys.argv[1], os.O_RDWR)
assert lock_bytes(fd, int(sys.argv[2]), 1, True)
os.kill(os.getpid(), signal.SIGSTOP)
"""


@contextmanager
def stopped_with(path: Path, byte: int) -> Iterator[None]:
    """A process that is stopped with a byte of `procs`."""
    child = subprocess.Popen([sys.executable, "-c", STOP, path / "l2/procs", str(byte)])
    try:
        assert os.WIFSTOPPED(os.waitpid(child.pid, os.WUNTRACED)[1])
        yield
    finally:
        child.kill()
        child.wait()


def test_one_stopped_next_in_line_delays_nobody_who_works_on_files(private_tmp: Path) -> None:
    with open_segments(private_tmp, timeout_s=5) as store, stopped_with(private_tmp, NEXT):
        for turn in range(5):
            store.put("large", bytes([turn]) * LARGE)
        assert store.get("large") == bytes([4]) * LARGE
        store.check()


def test_one_stopped_next_in_line_does_not_let_two_at_the_files(private_tmp: Path) -> None:
    with (
        open_segments(private_tmp, timeout_s=0.3) as store,
        stopped_with(private_tmp, NEXT),
        stopped_with(private_tmp, SECTION),
        pytest.raises(StoreTimeoutError, match="at work on its files"),
    ):
        store.put("large", b"x" * LARGE)


def test_a_put_that_waits_in_vain_for_its_sync_says_that_it_is_done(private_tmp: Path) -> None:
    with open_segments(private_tmp, durability="disk", timeout_s=0.3) as store:
        store.put("k", 1)
        with Syncer(private_tmp) as other:
            other.ask("hold")
            assert other.ask("put w") == "held"
            with pytest.raises(StoreTimeoutError, match=r"is done.*not synced.*0\.3 s") as caught:
                store.put("k", 2)
            assert caught.value.filename == str(private_tmp / "l2")
            assert store.get("k") == 2
            with pytest.raises(StoreTimeoutError, match="is done"):
                store.delete("k")
            assert store.get("k") is None
            with pytest.raises(StoreTimeoutError, match=r"^((?!done).)*$"):
                store.flush()
            assert other.ask("go").startswith("done")
            store.put("k", 3)
            assert engine_of(store).syncer.unsynced_bytes == 0
        check_at_rest(store)


def test_one_killed_at_work_on_files_leaves_none_behind(private_tmp: Path) -> None:
    with open_segments(private_tmp) as store:
        for turn in range(4):
            with writing(private_tmp, "w", LARGE, SMALL) as writer:
                writer.stop_when(writer.is_at_work)
                writer.kill()
            store.put("large", bytes([turn]) * LARGE)
            assert store.get("large") == bytes([turn]) * LARGE
            store.check()
        held = {name for name in engine_of(store).files.directory.names() if "new." in name}
        assert held == set()


def unshare_works() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*OWN_PIDS, "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not unshare_works(), reason="no right to make pid namespaces")
def test_processes_with_equal_pids_are_told_apart(private_tmp: Path) -> None:
    """Each in a pid namespace of its own, as in containers that share a directory."""
    with open_segments(private_tmp) as store:
        store.put("k", 0)
        with (
            writing(private_tmp, "a", SMALL, wrapper=OWN_PIDS) as one,
            writing(private_tmp, "b", SMALL, wrapper=OWN_PIDS) as two,
        ):
            assert one.own_pid == two.own_pid
            assert one.slot != two.slot
            one.stop_when(one.has_lock)
            timed_out = pytest.raises(StoreTimeoutError, match=f"slot {one.slot} ")
            with open_segments(private_tmp, timeout_s=0.2) as hasty, timed_out:
                hasty.put("k", 1)  # its namesake lives, and so does it
            one.kill()
            store.put("k", 2)  # its namesake lives, and it does not
            assert store.get("k") == 2
        check_at_rest(store)
