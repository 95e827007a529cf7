"""The way to a directory: nobody else may be able to rename on it, and what is made is private."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fastmem import DirectoryRefusedError
from fastmem.workplace import working_directory
from tests.crash.directories import open_archive, open_segments, open_tiers

NOBODY = 65_534


@pytest.mark.parametrize("opener", [open_segments, open_archive, open_tiers])
@pytest.mark.parametrize("mode", [0o777, 0o707, 0o722])
def test_a_parent_that_others_may_write(
    private_tmp: Path, opener: Callable[..., Any], mode: int
) -> None:
    top = private_tmp / "shared"
    (top / "mine").mkdir(parents=True)
    top.chmod(mode)
    with pytest.raises(DirectoryRefusedError, match=f"below {top}, where others.*chmod go-w"):
        opener(top / "mine")
    assert list((top / "mine").iterdir()) == []
    top.chmod(mode | 0o1000)  # sticky, as /tmp: others rename only what is theirs
    opener(top / "mine").close()
    top.chmod(mode)
    with pytest.raises(DirectoryRefusedError):
        opener(top / "mine", read_only=True)
    top.chmod(0o755)
    opener(top / "mine").close()


def named(monkeypatch: pytest.MonkeyPatch, user: str, group: str, *members: str) -> None:
    entry = SimpleNamespace(pw_name=user, pw_gid=os.getgid())
    monkeypatch.setattr(pwd, "getpwuid", lambda _uid: entry)
    told = SimpleNamespace(gr_name=group, gr_mem=list(members))
    monkeypatch.setattr(grp, "getgrgid", lambda _gid: told)


@pytest.mark.parametrize("members", [[], ["ada"]])
def test_a_private_group_is_nobody_else(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch, members: list[str]
) -> None:
    private_tmp.chmod(0o775)  # as umask 002 makes it
    named(monkeypatch, "ada", "ada", *members)
    open_segments(private_tmp).close()


@pytest.mark.parametrize(
    ("group", "members"), [("ada", ["eve"]), ("ada", ["ada", "eve"]), ("users", []), ("staff", [])]
)
def test_any_other_group_is(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch, group: str, members: list[str]
) -> None:
    private_tmp.chmod(0o775)
    named(monkeypatch, "ada", group, *members)
    with pytest.raises(DirectoryRefusedError, match="where others may replace it"):
        open_segments(private_tmp)


def test_a_group_without_a_name(private_tmp: Path) -> None:
    if os.geteuid():
        pytest.skip("only root can give a directory away")
    private_tmp.chmod(0o775)
    os.chown(private_tmp, 0, 54_321)
    with pytest.raises(DirectoryRefusedError, match="where others may replace it"):
        open_segments(private_tmp)


def test_missing_parents_are_private(private_tmp: Path) -> None:
    old = os.umask(0)
    try:
        open_tiers(private_tmp / "a" / "b").close()
        with working_directory(private_tmp / "c" / "d", "test") as made:
            assert made.is_dir()
    finally:
        os.umask(old)
    for name in ("a", "a/b", "a/b/l2", "a/b/l3", "c", "c/d"):
        assert (private_tmp / name).stat().st_mode & 0o7777 == 0o700, name


@pytest.mark.parametrize("umask", [0o777, 0o400, 0o277])
def test_a_umask_that_masks_the_owner(private_tmp: Path, umask: int) -> None:
    old = os.umask(umask)
    try:
        with open_tiers(private_tmp / "a") as memory:
            memory.put("large", os.urandom(300_000))
    finally:
        os.umask(old)
    for path in (private_tmp / "a", *(private_tmp / "a").rglob("*")):
        assert path.stat().st_mode & 0o7777 == (0o700 if path.is_dir() else 0o600), path


def test_the_names_of_new_directories_are_synced(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    real = os.fsync

    def fsync(fd: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{fd}"))
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    open_segments(private_tmp / "a" / "b", durability="disk").close()
    for folder in (private_tmp, private_tmp / "a", private_tmp / "a" / "b"):
        assert synced.count(str(folder)) == 1, folder
    synced.clear()
    open_segments(private_tmp / "a" / "b", durability="disk").close()
    assert not {str(private_tmp), str(private_tmp / "a")} & set(synced)
