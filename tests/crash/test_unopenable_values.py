"""A value file that cannot be opened, or is no file, is a lost value and stops nothing."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastmem.errors import CorruptRecordError
from fastmem.storage.files import Directory
from tests.crash.directories import CLEAN_AT, open_segments, open_tiers, set_word

OPENERS = pytest.mark.parametrize("opener", [open_segments, open_tiers])


def make_directory(path: Path) -> None:
    path.mkdir()
    (path / "somebody's").write_text("file")


def make_link(path: Path) -> None:
    path.symlink_to(path.parent / "super")


def make_socket(path: Path) -> None:
    with contextlib.chdir(path.parent), socket.socket(socket.AF_UNIX) as server:
        server.bind(path.name)  # of a whole path it would take 107 bytes only


PLACES = pytest.mark.parametrize("make", [make_directory, make_link, make_socket])


def replaced(top: Path, make: Callable[[Path], None]) -> Path:
    (path,) = (top / "l2").glob("val.*")
    path.unlink()
    make(path)
    return path


def reclaim_all(store: Any) -> None:
    """Puts enough for everything older to leave L2."""
    for number in range(400):
        store.put(number, os.urandom(50_000))
    assert store.get(399) is not None


@OPENERS
@PLACES
def test_what_is_no_file_is_a_miss_and_stops_nothing(
    private_tmp: Path, opener: Any, make: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    with opener(private_tmp) as store, caplog.at_level(logging.WARNING, "fastmem"):
        store.put("large", os.urandom(1_500_000))
        path = replaced(private_tmp, make)
        for _ in range(3):
            assert store.peek("large") is None  # what is read is moved on, to another place
        with pytest.raises(CorruptRecordError, match="cannot be read"):
            store.verify()
        store.flush()
        reclaim_all(store)
        assert "large" not in store
        assert not os.path.lexists(path)
        store.check()
        stats = store.stats()
        assert stats.get("l2", stats)["errors"]["corrupt"] == 1
        assert len([line for line in caplog.messages if "cannot be read" in line]) == 1
    if make is make_directory:  # nobody removes what somebody else has put there
        aside = path.with_name(f"foreign.{path.name}")
        assert (aside / "somebody's").read_text() == "file"
    with opener(private_tmp) as store:
        assert store.get(399) is not None


@OPENERS
@PLACES
@pytest.mark.parametrize("after", ["a close", "a kill", "the loss of the index"])
def test_a_store_with_one_opens(
    private_tmp: Path, opener: Any, make: Callable[[Path], None], after: str
) -> None:
    with opener(private_tmp) as store:
        store.put("large", os.urandom(1_500_000))
        store.put("small", 1)
    replaced(private_tmp, make)
    if after == "a kill":
        set_word(private_tmp / "l2" / "super", CLEAN_AT, 0)
    elif after == "the loss of the index":
        (private_tmp / "l2" / "index").unlink()
    for left in (None, 2):
        with opener(private_tmp) as store:
            assert store.get("large") == left
            assert store.get("small") == 1
            store.put("large", os.urandom(1_500_000))
            store.put("large", 2)
            assert store.get("large") == 2
            store.check()


class Refused:
    """Opening value files fails."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.code = 0
        opening = Directory.open

        def refuse(directory: Directory, name: str, flags: int) -> int:
            if self.code and name.startswith("val."):
                raise OSError(self.code, os.strerror(self.code), str(directory.path / name))
            return opening(directory, name, flags)

        monkeypatch.setattr(Directory, "open", refuse)


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> Refused:
    return Refused(monkeypatch)


@OPENERS
@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.EBADMSG, errno.ENODEV])
def test_what_may_not_be_read_is_a_miss_until_it_may(
    private_tmp: Path, opener: Any, refused: Refused, code: int
) -> None:
    """And reclaim, which cannot move it down, lets it go."""
    value = os.urandom(1_500_000)
    with opener(private_tmp) as store:
        store.put("large", value)
    with opener(private_tmp) as store:
        refused.code = code
        assert store.get("large") is None
        refused.code = 0
        assert store.peek("large") == value
        refused.code = code
        reclaim_all(store)
        refused.code = 0
        assert store.get("large") is None
        store.check()


@OPENERS
@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENOMEM])
def test_what_is_wrong_with_this_process_loses_no_value(
    private_tmp: Path, opener: Any, refused: Refused, code: int
) -> None:
    value = os.urandom(1_500_000)
    with opener(private_tmp) as store:
        store.put("large", value)
    with opener(private_tmp) as store:
        refused.code = code
        with pytest.raises(OSError) as caught:
            store.get("large")
        assert caught.value.errno == code
        refused.code = 0
        assert store.get("large") == value
