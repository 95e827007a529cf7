"""Directories copied, renamed, removed or made read-only while processes have them open."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fastmem._core.log import WARM
from tests.conftest import PROFILE
from tests.crash.directories import (
    BUDGET,
    contents,
    engine_of,
    linked_bytes,
    open_archive,
    open_segments,
    open_tiers,
)
from tests.fuzz.hostile import Remote, build
from tests.house.tree import ROOT

KINDS: dict[str, Any] = {"segments": open_segments, "archive": open_archive, "tiers": open_tiers}
TRIED = KINDS if PROFILE == "nightly" else ("segments", "tiers")


@contextmanager
def pair(kind: str, *places: Path) -> Iterator[list[Remote]]:
    """Two processes, the one with the first place open and the other with the last."""
    remotes: list[Remote] = []
    try:
        for name, at in zip("ab", (places[0], places[-1]), strict=True):
            remotes.append(Remote(name))
            told = asked(remotes[-1], "open", kind, at)
            assert told["came"] == {}
        yield remotes
    finally:
        for remote in remotes:
            remote.end()


def asked(remote: Remote, *words: object) -> dict[str, Any]:
    remote.ask(*words)
    told = remote.answer()
    assert told["wrong"] == []
    return told


def well(remote: Remote, *words: object) -> None:
    """No error, and no miss of what was put."""
    came = asked(remote, *words)["came"]
    assert not [what for what in came if ":" in what or what == "miss"], came


def copied(source: Path, target: Path) -> Path:
    """As `cp -r`: other inodes, the same bytes."""
    shutil.copytree(source, target)
    return target


@pytest.mark.parametrize("kind", TRIED)
def test_a_copy_taken_while_two_write(private_tmp: Path, kind: str) -> None:
    """It is a store of its own: rebuilt, and no byte is shared. Two processes go on with each."""
    origin = private_tmp / "origin"
    origin.mkdir()
    build(kind, origin)
    with pair(kind, origin) as writers:
        for remote in writers:
            remote.ask("work", 1, 200)
        copy = copied(origin, private_tmp / "copy")
        for remote in writers:
            assert remote.answer()["wrong"] == []
        for remote in writers:
            well(remote, "verify")
        with KINDS[kind](copy) as one, KINDS[kind](copy) as two:
            assert stats_of(one)["rebuilt"]
            held = contents(one)
            for number in range(200):
                (one, two)[number % 2].put(f"a-{number % 40}", b"of the copy")
            assert two.get("a-1") == one.get("a-2") == b"of the copy"
            two.check()
            for remote in writers:
                well(remote, "verify")
                well(remote, "work", 2, 100)
                well(remote, "verify")
            assert held.keys() - {f"a-{i}" for i in range(40)} <= set(one)
            assert all(one.get(f"a-{i}") == b"of the copy" for i in range(40))
            one.check()
        for remote in writers:
            well(remote, "close")
    with KINDS[kind](origin) as store:
        assert not stats_of(store)["rebuilt"]
        store.check()
        assert b"of the copy" not in contents(store).values()
    with KINDS[kind](copy) as store:
        assert not stats_of(store)["rebuilt"]  # it has settled in
        assert store.get("a-0") == b"of the copy"


def stats_of(store: Any) -> dict[str, Any]:
    stats = store.stats()
    found: dict[str, Any] = stats.get("l2", stats)
    return found


@pytest.mark.parametrize("kind", TRIED)
def test_a_directory_renamed_while_two_write(private_tmp: Path, kind: str) -> None:
    """Who has it open has the directory, not its name. By the new one others join them; under the
    old one may lie another store.
    """
    origin = private_tmp / "origin"
    origin.mkdir()
    build(kind, origin)
    with pair(kind, origin) as writers:
        well(writers[0], "work", 1, 60)
        origin.rename(private_tmp / "renamed")
        for seed in range(4):
            for remote in writers:
                well(remote, "work", seed, 80)
                well(remote, "verify")
        origin.mkdir()
        with KINDS[kind](private_tmp / "renamed") as joined, KINDS[kind](origin) as other:
            assert engine_of(joined).files.attached
            assert not engine_of(other).files.attached
            other.put("a-1", b"of another store")
            joined.put("a-x", b"seen by all")
            assert joined.get("a-x") == b"seen by all"
            joined.check()
            other.check()
            for remote in writers:
                well(remote, "work", "again", 80)
                well(remote, "verify")
        for remote in writers:
            well(remote, "close")
    with KINDS[kind](private_tmp / "renamed") as store:
        assert not stats_of(store)["rebuilt"]
        assert store.get("a-x") == b"seen by all"
        store.check()


@pytest.mark.parametrize("kind", TRIED)
def test_a_directory_removed_while_two_have_it_open(private_tmp: Path, kind: str) -> None:
    """What is mapped is read on; what needs a file is an error or a miss; closing works, and a new
    store in its place is not theirs.
    """
    origin = private_tmp / "origin"
    origin.mkdir()
    build(kind, origin)
    with pair(kind, origin) as writers:
        for remote in writers:
            well(remote, "work", 1, 60)
        shutil.rmtree(origin)
        for seed in range(3):
            for remote in writers:
                asked(remote, "work", seed, 200)
                asked(remote, "verify")
        assert not origin.exists()
        origin.mkdir()
        with KINDS[kind](origin) as store:
            assert not engine_of(store).files.attached
            store.put("k", b"of the new store")
            for remote in writers:
                asked(remote, "work", "again", 100)
                asked(remote, "close")
            assert contents(store) == {"k": b"of the new store"}
            store.check()
        for remote in writers:
            assert asked(remote, "open", kind, origin)["came"] == {}


READ_ONLY = """
import errno, subprocess, sys
from pathlib import Path
from tests.crash.directories import contents
from tests.processes.test_elsewhere_and_gone import KINDS
kind, at, held = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
mount = ["mount", "--bind", str(at), str(at)]
for command in (mount, ["mount", "-o", "remount,ro,bind", str(at)]):
    if subprocess.run(command, capture_output=True).returncode:
        print("refused")
        sys.exit()
try:
    KINDS[kind](at)
except OSError as error:
    assert error.errno == errno.EROFS, error
    assert str(error.filename).startswith(str(at)), error.filename
else:
    raise AssertionError("opened for writing")
with KINDS[kind](at, read_only=True) as store:
    assert len(contents(store)) == int(held)
    store.check()
print("well")
"""


def in_namespace(kind: str, at: Path, held: int) -> str:
    """What a process says that has the directory mounted read-only."""
    program = [sys.executable, "-c", READ_ONLY, kind, str(at), str(held)]
    wrapper = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    try:
        done = subprocess.run(
            [*wrapper, *program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
        )
    except FileNotFoundError:
        pytest.skip("no unshare command")
    if "unshare failed" in done.stderr or done.stdout == "refused\n":
        pytest.skip(f"no right to mount: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize("open_elsewhere", [False, True], ids=["alone", "beside a writer"])
@pytest.mark.parametrize("kind", TRIED)
def test_a_read_only_file_system(private_tmp: Path, kind: str, open_elsewhere: bool) -> None:
    """An error that says so, for writing; reading needs no right to write, even beside a writer."""
    build(kind, private_tmp)
    with KINDS[kind](private_tmp) as store:
        held = len(contents(store))
        if not open_elsewhere:
            store.close()
        assert in_namespace(kind, private_tmp, held) == "well\n"
        if open_elsewhere:
            store.put("c", 1)
            store.check()
    with KINDS[kind](private_tmp) as store:
        assert len(contents(store)) == held + open_elsewhere


def test_an_idle_process_keeps_no_space(private_tmp: Path) -> None:
    """It maps everything, and does nothing more. The others' reclaim goes on; what it keeps mapped
    takes room until it looks again, and `pinned_bytes` says how much of it views keep.
    """
    with open_segments(private_tmp) as idle, open_segments(private_tmp) as busy:
        for number in range(30):
            busy.put(number, os.urandom(200_000))
        busy.put("large", os.urandom(300_000))
        assert len(contents(idle)) == 31  # all is mapped
        view = idle.get_view(0)
        copy = bytes(view)
        tail = engine_of(busy).files.tail_segment(WARM)
        mapped = mapped_files(private_tmp) - {f"seg.{tail + 1}"}  # made ahead, and not idle's yet
        for number in range(400):
            busy.put(("more", number), os.urandom(200_000))
        assert linked_bytes(private_tmp / "l2") <= BUDGET
        assert busy.stats()["bytes"] <= BUDGET
        busy.check()
        gone = {name for name in mapped if not (private_tmp / "l2" / name).exists()}
        assert len([name for name in gone if name.startswith("seg.")]) >= 5
        assert gone <= mapped_files(private_tmp, deleted=True)
        assert bytes(view) == copy
        assert idle.get(("more", 399)) is not None  # it reads again
        held = mapped_files(private_tmp, deleted=True)
        assert len(held) == 1, held  # what the view lies in
        assert idle.stats()["pinned_bytes"] == 1 << 20
        view.release()
        assert idle.stats()["pinned_bytes"] == 0
        assert mapped_files(private_tmp, deleted=True) == set()
        idle.check()


def mapped_files(at: Path, *, deleted: bool = False) -> set[str]:
    """The segments and value files that this process has mapped; of those that are unlinked."""
    found = set()
    for line in Path("/proc/self/maps").read_text().splitlines():
        _, _, path = line.partition(f"{at}/l2/")
        if path.startswith(("seg.", "val.")) and path.endswith(" (deleted)") >= deleted:
            found.add(path.removesuffix(" (deleted)"))
    return found
