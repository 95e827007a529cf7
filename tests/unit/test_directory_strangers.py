"""Somebody else's files under names of ours: refused before anything is touched."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastmem import DirectoryRefusedError, FormatError
from tests.crash.directories import (
    contents,
    engine_of,
    open_archive,
    open_segments,
    open_tiers,
    snapshot,
)

Opener = Callable[..., Any]
WARM_NAMES = ["super", "index", "overflow", "procs", "seg.0", "val.0123456789abcdef"]
COLD_NAMES = ["archive", "procs", "cold.0", "val.0123456789abcdef", "dict.1"]
WORK = ["new.super", "new.seg.3", "rebuilt.index", "new.rebuilt.overflow", "new.archive"]
CASES = [
    *((open_segments, "l2", name) for name in WARM_NAMES + WORK),
    *((open_archive, "l3", name) for name in {*WARM_NAMES, *COLD_NAMES} - {"seg.0"}),
    *((open_tiers, "l2", name) for name in WARM_NAMES + WORK),
    *((open_tiers, "l3", name) for name in COLD_NAMES + WORK),
]
TEXT = b"DIRC\0\0\0\2 somebody else's, and longer than any magic " + bytes(range(64))


def everything(at: Path) -> dict[str, Any]:
    return {str(path): snapshot(path) for path in sorted(at.rglob("*")) if path.is_dir()}


def stranger(at: Path, folder: str, name: str) -> Path:
    (at / folder).mkdir(mode=0o700)
    (at / folder / name).write_bytes(TEXT)
    return at / folder / name


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize(("opener", "folder", "name"), sorted(CASES, key=str))
def test_a_file_of_somebody_elses(
    private_tmp: Path, opener: Opener, folder: str, name: str, read_only: bool
) -> None:
    path = stranger(private_tmp, folder, name)
    before = everything(private_tmp)
    with pytest.raises(OSError) as caught:
        opener(private_tmp, read_only=read_only)
    if not read_only:
        assert isinstance(caught.value, FormatError)
        assert caught.value.filename == str(path)
    assert everything(private_tmp) == before


@pytest.mark.parametrize("opener", [open_segments, open_tiers])
def test_a_git_directory(private_tmp: Path, opener: Opener) -> None:
    git = private_tmp / "l2"
    (git / "objects").mkdir(parents=True, mode=0o700)
    git.chmod(0o700)
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    (git / "index").write_bytes(b"DIRC\0\0\0\2\0\0\0\0")
    with pytest.raises(FormatError, match="DIRC"):
        opener(private_tmp)
    assert sorted(os.listdir(git)) == ["HEAD", "index", "objects"]
    assert not (private_tmp / "l3").exists()


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/")])
def test_no_regular_file(private_tmp: Path, make: Callable[[Path], object]) -> None:
    (private_tmp / "l2").mkdir(mode=0o700)
    make(private_tmp / "l2" / "index")
    with pytest.raises(FormatError, match="no regular file") as caught:
        open_segments(private_tmp)
    assert caught.value.filename == str(private_tmp / "l2" / "index")
    assert os.listdir(private_tmp / "l2") == ["index"]


@pytest.mark.parametrize("name", ["index.html", "val.txt", "seg.", "new.index.bak", "dict.en"])
def test_names_like_ours_are_nothing_to_us(private_tmp: Path, name: str) -> None:
    path = stranger(private_tmp, "l2", name)
    for _again in range(2):
        with open_segments(private_tmp) as store:
            store.put("k", "v")
    assert path.read_bytes() == TEXT


def test_the_archive_may_lie_in_the_directory_of_l2(private_tmp: Path) -> None:
    from fastmem import TieredMemorySystem

    for _again in range(2):
        with TieredMemorySystem(1, private_tmp / "l2", private_tmp / "l2" / "archive") as memory:
            memory["k"] = "v"
            memory.check()


@pytest.mark.parametrize("lost", ["remove", "empty", "zeros"])
@pytest.mark.parametrize(
    ("opener", "page"),
    [
        (open_segments, "l2/super"),
        (open_archive, "l3/archive"),
        (open_archive, "l3/super"),
        (open_tiers, "l2/super"),
        (open_tiers, "l3/archive"),
    ],
)
def test_what_is_ours_is_recovered(private_tmp: Path, opener: Opener, page: str, lost: str) -> None:
    """With every sort of file in it, and another that a process left half written."""
    values = {i: os.urandom(300_000) if i < 3 else "x" * i for i in range(2000)}
    with opener(private_tmp) as store:
        store.update(values)
    path = private_tmp / page
    (path.parent / "new.index").write_bytes(b"FMIND")
    (path.parent / "new.val.0123456789abcdef").write_bytes(bytes(100))
    path.unlink()
    if lost != "remove":
        path.write_bytes(bytes(4096) if lost == "zeros" else b"")
    with opener(private_tmp) as store:
        assert contents(store) == values
        store.check()
    assert not list(path.parent.glob("new.*"))


# -- another tier's ----------------------------------------------------------------------------


@pytest.mark.parametrize("filled", [True, False])
def test_swapped_paths(private_tmp: Path, filled: bool) -> None:
    with open_tiers(private_tmp) as memory:
        if filled:
            memory["k"] = "v"
    (private_tmp / "l2").rename(private_tmp / "other")
    (private_tmp / "l3").rename(private_tmp / "l2")
    (private_tmp / "other").rename(private_tmp / "l3")
    before = everything(private_tmp)
    with pytest.raises(DirectoryRefusedError, match="swapped") as caught:
        open_tiers(private_tmp)
    assert str(private_tmp / "l2") in str(caught.value)
    assert str(private_tmp / "l3") in str(caught.value)
    assert everything(private_tmp) == before


@pytest.mark.parametrize("filled", [True, False])
@pytest.mark.parametrize(
    ("made", "made_at", "opener", "given_as"),
    [
        (open_archive, "l3", open_segments, "l2"),
        (open_archive, "l3", open_tiers, "l2"),
        (open_segments, "l2", open_archive, "l3"),
        (open_segments, "l2", open_tiers, "l3"),
    ],
)
def test_a_directory_of_the_other_tier(
    private_tmp: Path, made: Opener, made_at: str, opener: Opener, given_as: str, filled: bool
) -> None:
    with made(private_tmp) as store:
        if filled:
            store.put("k", "v")
    (private_tmp / made_at).rename(private_tmp / given_as)
    before = everything(private_tmp)
    with pytest.raises(DirectoryRefusedError, match="holds an") as caught:
        opener(private_tmp)
    assert caught.value.filename == str(private_tmp / given_as)
    assert everything(private_tmp) == before
    (private_tmp / given_as).rename(private_tmp / made_at)
    with made(private_tmp) as store:
        assert contents(store) == ({"k": "v"} if filled else {})


def test_the_l2_of_a_memory_is_not_written_alone(private_tmp: Path) -> None:
    """What it shadows in L3 would be forgotten, and old values return with the next memory."""
    for _again in range(2):
        with open_tiers(private_tmp) as memory:
            memory["k"] = "v"
            partner = engine_of(memory).files.archive.uuid.hex()
        before = snapshot(private_tmp / "l2")
        with pytest.raises(DirectoryRefusedError, match=f"together with .* {partner}") as caught:
            open_segments(private_tmp)
        assert caught.value.filename == str(private_tmp / "l2")
        assert snapshot(private_tmp / "l2") == before
        with open_segments(private_tmp, read_only=True) as store:
            assert contents(store) == {"k": "v"}
        open_archive(private_tmp).close()


def test_an_empty_directory_replaces_an_l3_that_was_lost(private_tmp: Path) -> None:
    with open_tiers(private_tmp) as memory:
        memory["k"] = "v"
    shutil.rmtree(private_tmp / "l3")
    with open_tiers(private_tmp) as memory:
        assert memory["k"] == "v"
        assert memory.delete("k")


# -- no directory ------------------------------------------------------------------------------


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("below", ["", "/below"])
def test_a_file_is_no_directory(private_tmp: Path, read_only: bool, below: str) -> None:
    file = private_tmp / "file"
    file.write_text("precious")
    at = Path(f"{file}{below}")
    with pytest.raises(DirectoryRefusedError, match="no directory") as caught:
        open_segments(at, read_only=read_only)
    assert caught.value.filename == str(at / "l2")
    assert file.read_text() == "precious"
    file.rename(private_tmp / "l3")
    with pytest.raises(DirectoryRefusedError, match="is no directory") as caught:
        open_tiers(private_tmp)
    assert caught.value.filename == str(private_tmp / "l3")
    assert not (private_tmp / "l2").exists()
