"""File systems that know no fallocate: zeros are written instead, and a full disk is still one."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastmem.storage import files
from fastmem.storage.files import Directory
from tests.crash.directories import (
    SEGMENT,
    contents,
    engine_of,
    open_archive,
    open_segments,
    open_tiers,
)

OPENERS = pytest.mark.parametrize("opener", [open_segments, open_archive, open_tiers])


@pytest.fixture(params=[errno.EOPNOTSUPP, errno.ENOSYS])
def no_fallocate(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    def refuse(_fd: int, _start: int, _length: int) -> None:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(files, "fallocate", refuse)


@pytest.mark.usefixtures("no_fallocate")
@OPENERS
def test_everything_works(private_tmp: Path, opener: Callable[..., Any]) -> None:
    values = {number: os.urandom(100 + number % 3000) for number in range(4_000)}
    with opener(private_tmp) as store:
        store.update(values)
        store.check()
        directory = engine_of(store).files.directory
        for name in directory.names():  # no hole anywhere, where writing would be a SIGBUS
            assert directory.allocated_bytes(name) >= directory.stat(name).st_size, name
    with opener(private_tmp) as store:
        assert contents(store) == values
        store.check()


@pytest.mark.usefixtures("no_fallocate")
def test_holes_of_a_copied_segment_are_filled_and_data_stays(private_tmp: Path) -> None:
    with open_segments(private_tmp) as store:
        store.put("k", "v" * 10_000)
    segment = private_tmp / "l2" / "seg.0"
    with segment.open("r+b") as file:  # as `cp --sparse=always` leaves it
        file.truncate(len(segment.read_bytes().rstrip(b"\0")))
        file.truncate(SEGMENT)
    assert segment.stat().st_blocks * 512 < SEGMENT
    with open_segments(private_tmp) as store:
        assert segment.stat().st_blocks * 512 >= SEGMENT
        assert store["k"] == "v" * 10_000


@pytest.mark.usefixtures("no_fallocate")
@pytest.mark.parametrize("calls", [0, 1, 3])
def test_a_full_disk_leaves_the_file_as_it_was(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    directory = Directory(private_tmp)
    directory.write("file", [b"data" * 1000], sync=False)
    left = [calls]
    real = os.pwrite

    def pwrite(fd: int, data: bytes, at: int) -> int:
        if not left[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        left[0] -= 1
        return real(fd, data, at)

    monkeypatch.setattr(os, "pwrite", pwrite)
    with pytest.raises(OSError, match="No space") as caught:
        directory.extend("file", 0, 5 << 20)
    assert caught.value.filename == str(private_tmp / "file")
    assert (private_tmp / "file").read_bytes() == b"data" * 1000
    left[0] = calls
    with pytest.raises(OSError, match="No space"):
        directory.create("other", 5 << 20, b"head")
    assert directory.names() == ["file"]
    directory.close()


def test_any_other_refusal_is_one(private_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_fd: int, _start: int, _length: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(files, "fallocate", refuse)
    with pytest.raises(OSError, match="Input/output"):
        open_segments(private_tmp)
