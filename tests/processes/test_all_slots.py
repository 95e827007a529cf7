"""As many processes as there may be: one more is refused, and comes in when one of them is gone."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fastmem import SegmentStore, TooManyProcessesError
from fastmem._core.layout import PROCESS_SLOTS
from tests.children import forked
from tests.crash.directories import engine_of, open_segments

LARGE = 300_000
HOLD = """
import os, sys
from fastmem._core.ofd import lock_bytes
fd = os.open(sys.argv[1], os.O_RDWR)
for slot in range(int(sys.argv[2]), int(sys.argv[3])):
    assert lock_bytes(fd, slot, 1, True)
print("held", flush=True)
sys.stdin.read()
"""
OPEN = """
import sys, time
from fastmem import SegmentStore
store = SegmentStore(sys.argv[1], budget_bytes=16 << 20)
print(store._engine.files.processes[0].slot, flush=True)
time.sleep(600)
"""

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@contextmanager
def holding(path: Path, first: int, end: int) -> Iterator[subprocess.Popen[str]]:
    """A process that has the bytes of some slots, as so many processes would."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, path / "l2/procs", str(first), str(end)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "held\n"
            yield child
        finally:
            child.kill()


def slot_of(store: SegmentStore) -> int:
    return int(engine_of(store).files.processes[0].slot)


def test_one_more_than_all(private_tmp: Path) -> None:
    with (
        open_segments(private_tmp, timeout_s=1) as store,
        holding(private_tmp, 1, PROCESS_SLOTS - 1),
        holding(private_tmp, PROCESS_SLOTS - 1, PROCESS_SLOTS) as last,
    ):
        store.put("k", 1)
        for _ in range(2):
            with pytest.raises(TooManyProcessesError, match=r"4,096 processes") as caught:
                open_segments(private_tmp, timeout_s=1)
            assert caught.value.errno == errno.EUSERS
            assert caught.value.filename == str(private_tmp / "l2")

        def work() -> str:
            store.put("k", 2)
            return "put"

        assert forked(work).startswith("TooManyProcessesError")
        assert store.get("k") == 1
        assert store.stats()["processes"] == PROCESS_SLOTS
        with open_segments(private_tmp, read_only=True) as reader:
            assert reader.get("k") == 1

        last.kill()
        last.wait()
        with open_segments(private_tmp, timeout_s=1) as another:
            assert slot_of(another) == PROCESS_SLOTS - 1
            another.put("k", 3)
            another.put("large", b"x" * LARGE)
            assert store.get("k") == 3
            assert store.get("large") == b"x" * LARGE
            with pytest.raises(TooManyProcessesError):
                open_segments(private_tmp, timeout_s=1)
        assert forked(work) == "put"
        assert store.get("k") == 2
        store.check()


def test_the_slot_of_a_killed_process_is_taken(private_tmp: Path) -> None:
    with open_segments(private_tmp) as store, holding(private_tmp, 2, PROCESS_SLOTS):
        child = subprocess.Popen(
            [sys.executable, "-c", OPEN, private_tmp / "l2"], stdout=subprocess.PIPE, text=True
        )
        with child:
            assert child.stdout is not None
            assert child.stdout.readline() == "1\n"
            with pytest.raises(TooManyProcessesError):
                open_segments(private_tmp)
            child.kill()
        with open_segments(private_tmp) as another:
            assert slot_of(another) == 1
            another.put("k", 1)
        assert store.get("k") == 1
        store.check()
