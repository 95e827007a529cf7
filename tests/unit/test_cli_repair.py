"""``fastmem repair``: what it prints, and what it asks before it begins."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fastmem import Archive, SegmentStore, TieredMemorySystem, cli
from tests.crash.directories import patch, snapshot

MARK = b"to be found in the file"


@pytest.fixture
def directory(private_tmp: Path) -> Path:
    at = private_tmp / "memory"
    at.mkdir(mode=0o700)
    with TieredMemorySystem(1, at / "cache", at / "archive", l2_size_mb=16) as memory:
        memory.put("marked", "an older value")
        memory.update({number: {"number": number} for number in range(300)})
        memory.put("marked", MARK)
        memory.put("large", os.urandom(300_000))
    flip(at / "cache/seg.0", (at / "cache/seg.0").read_bytes().index(MARK))
    return at


def flip(path: Path, at: int) -> None:
    patch(path, at, bytes([path.read_bytes()[at] ^ 1]))


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    capsys.readouterr()
    status = cli.main(["repair", *map(str, arguments)])
    shown = capsys.readouterr()
    assert shown.err == ""
    return status, shown.out


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    capsys.readouterr()
    assert cli.main(["repair", *map(str, arguments)]) == 2
    return capsys.readouterr().err


def test_what_was_kept_and_what_not_is_told(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, text = run(capsys, directory)
    assert status == 0
    lines = text.splitlines()
    (quarantine,) = directory.glob("cache/quarantine-*")
    assert [path.name for path in quarantine.iterdir()] == ["seg.0"]
    at = lines.index(f"quarantine {quarantine}")
    assert lines[at + 1 :][0] == "  seg.0: copied: index leads to no sound record of the key"
    assert "missed: 'marked'" in lines
    assert "kept: 301 entries" in lines
    assert lines[-1] == "sound"
    assert cli.main(["check", str(directory)]) == 0
    status, text = run(capsys, directory)
    assert (status, text.splitlines()[-1]) == (0, "sound: 301 entries, nothing to be repaired")
    with TieredMemorySystem(1, directory / "cache", directory / "archive", l2_size_mb=16) as memory:
        assert "marked" not in memory
        assert memory[7] == {"number": 7}


def test_a_dry_run_changes_nothing(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = [snapshot(folder) for folder in sorted(directory.iterdir())]
    status, text = run(capsys, directory, "--dry-run")
    assert status == 1
    assert text.splitlines()[-1] == (
        "a repair would keep 301 entries; missed then as they are now: 1"
    )
    assert [snapshot(folder) for folder in sorted(directory.iterdir())] == before


def test_only_with_the_key_it_was_made_with(
    private_tmp: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at, key = private_tmp / "signed", private_tmp / "key"
    with SegmentStore(at, budget_bytes=16 << 20, secret_key=b"k" * 16) as store:
        store.put("a", MARK)
        store.put("b", 1)
    flip(at / "seg.0", (at / "seg.0").read_bytes().index(MARK))
    assert "made with a secret_key" in refused(capsys, at)
    key.write_bytes(b"k" * 16)
    assert run(capsys, at, "--key-file", key)[0] == 0
    with SegmentStore(at, budget_bytes=16 << 20, secret_key=b"k" * 16) as store:
        assert dict(store) == {"b": 1}


def test_a_lost_first_page_leaves_open_whether_there_is_an_l3(
    private_tmp: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at = private_tmp / "store"
    with SegmentStore(at, budget_bytes=16 << 20) as store:
        store.put("a", 1)
    flip(at / "super", 30)
    assert cli.main(["check", str(at)]) == 1
    assert "say with --l3 where that is, or --alone" in refused(capsys, at)
    assert run(capsys, at, "--alone")[0] == 0
    with SegmentStore(at, budget_bytes=16 << 20) as store:
        assert dict(store) == {"a": 1}


@pytest.mark.parametrize("page", ["super", "archive"])
def test_a_lost_first_page_of_an_archive(
    private_tmp: Path, capsys: pytest.CaptureFixture[str], page: str
) -> None:
    at = private_tmp / "store"
    with Archive(at) as store:
        store.put("a", 1)
    flip(at / page, 30)
    assert run(capsys, at)[0] == 0
    with Archive(at) as store:
        assert dict(store) == {"a": 1}


def test_it_is_refused_while_a_process_has_the_directory_open(directory: Path) -> None:
    with TieredMemorySystem(1, directory / "cache", directory / "archive", l2_size_mb=16):
        ran = subprocess.run(
            [sys.executable, "-m", "fastmem", "repair", str(directory)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "another process" in ran.stderr
