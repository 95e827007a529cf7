"""Calls of one Directory at once: each sees all names, and its own directory to the end."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastmem import ClosedError
from fastmem.storage import files
from fastmem.storage.files import Directory
from tests.crowd import together

NAMES = 1_500  # more than one system call lists


@pytest.mark.usefixtures("eager_switches")
def test_each_listing_is_whole(private_tmp: Path) -> None:
    for number in range(NAMES):
        (private_tmp / f"file.{number}").touch()
    directory = Directory(private_tmp)

    def look() -> None:
        for _ in range(150):
            assert len(directory.names()) == NAMES

    assert not together([look] * 3)
    directory.close()


def first_bytes(directory: Directory) -> bytes:
    fd = directory.open("file", os.O_RDONLY)
    try:
        return os.read(fd, 10)
    finally:
        os.close(fd)


CALLS: list[tuple[Any, str, Callable[[Directory], Any], Any]] = [
    (os, "listdir", lambda directory: directory.names(), ["file"]),
    (os, "stat", lambda directory: directory.stat("file").st_size, 4),
    (os, "open", first_bytes, b"ours"),
    (os, "open", lambda directory: directory.names(), ["file"]),
    (os, "unlink", lambda directory: directory.unlink("file"), None),
    (os, "rename", lambda directory: directory.rename("file", "other"), None),
    (files, "rename_new", lambda directory: directory.publish("file", "other"), None),
]


@pytest.mark.parametrize(("module", "name", "call", "told"), CALLS)
def test_a_close_in_the_middle_of_a_call(
    private_tmp: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    name: str,
    call: Callable[[Directory], Any],
    told: Any,
) -> None:
    """The number of the descriptor is not given to another directory before the call is done."""
    ours, theirs = private_tmp / "ours", private_tmp / "theirs"
    for folder in (ours, theirs):
        folder.mkdir(mode=0o700)
        (folder / "file").write_text("ours" if folder == ours else "theirs")
    (theirs / "more").touch()
    before = len(os.listdir("/proc/self/fd"))
    directory, taken = Directory(ours), list[int]()
    real, opening = getattr(module, name), os.open

    def closing(*args: Any, **options: Any) -> Any:
        if not taken:
            directory.close()
            taken.append(opening(str(theirs), os.O_RDONLY))
        return real(*args, **options)

    monkeypatch.setattr(module, name, closing)
    result = call(directory)
    monkeypatch.undo()
    assert result == told
    assert sorted(os.listdir(theirs)) == ["file", "more"]
    with pytest.raises(ClosedError):
        call(directory)
    os.close(taken[0])
    assert len(os.listdir("/proc/self/fd")) == before
