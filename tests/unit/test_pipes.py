"""A pipe under one of our names is refused, or a lost value: nobody waits for its other end."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from fastmem.storage.files import Directory
from tests.crash.directories import CLEAN_AT, open_archive, open_segments, open_tiers, set_word

SOON = pytest.mark.timeout(60)  # it would wait for ever
OPENERS = pytest.mark.parametrize("opener", [open_archive, open_segments, open_tiers])


@SOON
@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_RDWR | os.O_CREAT])
def test_only_files_are_opened(private_tmp: Path, flags: int) -> None:
    (private_tmp / "folder").mkdir()
    os.mkfifo(private_tmp / "pipe")
    (private_tmp / "file").write_bytes(b"")
    directory = Directory(private_tmp)
    for name, code in (("pipe", errno.ENXIO), ("folder", errno.EISDIR)):
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(OSError) as caught:
            directory.open(name, flags)
        assert caught.value.errno == code
        assert caught.value.filename == str(private_tmp / name)
        assert len(os.listdir("/proc/self/fd")) == before
    os.close(directory.open("file", flags))
    directory.close()


@SOON
@OPENERS
@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("clean", [False, True])
def test_in_place_of_a_value(private_tmp: Path, opener: Any, clean: bool, read_only: bool) -> None:
    with opener(private_tmp) as store:
        store.put("large", os.urandom(400_000))
        store.put("small", 1)
    (path,) = private_tmp.glob("*/val.*")
    path.unlink()
    os.mkfifo(path)
    if not clean:
        set_word(next(private_tmp.glob("*/super")), CLEAN_AT, 0)
    with opener(private_tmp, read_only=read_only) as store:
        assert store.get("large") is None
        assert store.get("small") == 1


@SOON
@OPENERS
@pytest.mark.parametrize("read_only", [False, True])
def test_in_place_of_the_lock(private_tmp: Path, opener: Any, read_only: bool) -> None:
    with opener(private_tmp) as store:
        store.put("k", 1)
    for lock in private_tmp.glob("*/procs"):
        lock.unlink()
        os.mkfifo(lock)
    with pytest.raises(OSError, match="procs") as caught:
        opener(private_tmp, read_only=read_only)
    assert caught.value.errno == errno.ENXIO
