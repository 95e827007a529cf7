"""What a killed process leaves in the directory: nothing of value goes, and nothing else stays."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fastmem import SegmentStore
from tests.crash.directories import (
    LOCK_AT,
    TAIL_AT,
    engine_of,
    open_segments,
    patch,
    set_word,
    word,
)

LARGE = 400_000

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def killed(work: Callable[[], object]) -> None:
    """Do something in a forked child that is killed when it is done with that, or before."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL


def put_half(path: Path, key: str, value: bytes) -> None:
    """Put in a process that dies under the write lock: the record is whole, no slot leads to it."""

    def work() -> None:
        store = open_segments(path)
        files = [path / "l2" / name for name in ("index", "overflow")]
        before = [file.read_bytes() for file in files]
        tail = word(path / "l2/super", TAIL_AT)
        store.put(key, value)
        for file, data in zip(files, before, strict=True):
            patch(file, 0, data)
        set_word(path / "l2/super", TAIL_AT, tail)
        own = engine_of(store).files.processes[0]
        set_word(path / "l2/super", LOCK_AT, own.slot << 48 | own.incarnation)

    killed(work)


def value_files(path: Path) -> set[str]:
    return {file.name for file in (path / "l2").glob("val.*")}


@contextmanager
def idle(path: Path) -> Iterator[SegmentStore]:
    with open_segments(path) as store:
        store.put("k", 1)
        yield store


def test_a_record_that_waits_to_be_redone_keeps_its_file(private_tmp: Path) -> None:
    """Who comes in the dead one's slot clears up before anybody has wanted the write lock."""
    with idle(private_tmp) as store:
        put_half(private_tmp, "k", b"n" * LARGE)
        with open_segments(private_tmp) as heir:
            heir.put("other", 1)
            assert heir.get("k") == b"n" * LARGE
        assert store.get("k") == b"n" * LARGE
        assert len(value_files(private_tmp)) == 1
        store.check()
