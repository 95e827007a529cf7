"""What a killed process leaves in the directory: nothing of value goes, and nothing else stays."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fastmem import SegmentStore
from tests.crash.directories import CLEAN_AT, engine_of, open_segments, word
from tests.processes.deaths import killed, put_half

LARGE = 400_000

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def write_unreferred(path: Path) -> None:
    """Write a large value's file in a process that dies before it appends the record."""

    def work() -> None:
        store = open_segments(path)
        values = engine_of(store).files.warm_values
        values.publish = lambda number: None
        engine_of(store).provided = lambda *step: os.kill(os.getpid(), signal.SIGKILL)
        store.put("never", bytes(LARGE))

    killed(work)
    assert value_files(path)


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


def test_a_file_without_a_record_goes_with_the_last_close(private_tmp: Path) -> None:
    with idle(private_tmp) as store:
        write_unreferred(private_tmp)
        store.put("k", 2)
    assert value_files(private_tmp) == set()
    assert word(private_tmp / "l2/super", CLEAN_AT) == 1


def test_no_close_is_clean_that_could_not_clear_up(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, "not now")

    with idle(private_tmp) as store:
        write_unreferred(private_tmp)
        monkeypatch.setattr(engine_of(store).files, "remove_orphans", refuse)
    assert word(private_tmp / "l2/super", CLEAN_AT) == 0
    with open_segments(private_tmp) as store:
        assert value_files(private_tmp) == set()
        store.check()
    assert word(private_tmp / "l2/super", CLEAN_AT) == 1  # the dead one is forgotten by now


def test_a_file_without_a_record_goes_when_somebody_joins(private_tmp: Path) -> None:
    """In another slot than the dead one's."""
    with idle(private_tmp) as store:
        second = open_segments(private_tmp)
        write_unreferred(private_tmp)
        second.close()
        with open_segments(private_tmp) as joined:
            assert engine_of(joined).files.processes[0].slot == 1
            assert value_files(private_tmp) == set()
        store.check()
    assert word(private_tmp / "l2/super", CLEAN_AT) == 1


def test_a_file_without_a_record_goes_with_the_work_on_files_of_others(private_tmp: Path) -> None:
    with idle(private_tmp) as store:
        write_unreferred(private_tmp)
        store.put("large", b"x" * LARGE)
        assert len(value_files(private_tmp)) == 1
        assert store.get("large") == b"x" * LARGE
        store.check()
    assert word(private_tmp / "l2/super", CLEAN_AT) == 1
