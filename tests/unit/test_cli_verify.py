"""``fastmem verify``: names what is damaged and touches nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fastmem import TieredMemorySystem, cli
from tests.crash.directories import patch, snapshot


@pytest.fixture
def directory(private_tmp: Path) -> Path:
    at = private_tmp / "memory"
    at.mkdir(mode=0o700)
    with TieredMemorySystem(1, at / "cache", at / "archive", l2_size_mb=16) as memory:
        memory.update({number: {"number": number} for number in range(300)})
        memory.put("large", os.urandom(300_000))
        memory.put("huge", os.urandom(9 << 20))  # goes to the archive
    return at


def verify(directory: Path, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, str]:
    """Exit status and output; not a byte may change."""
    folders = [directory / "cache", directory / "archive"]
    before = [snapshot(folder) for folder in folders]
    status = cli.main(["verify", str(directory), *more])
    assert [snapshot(folder) for folder in folders] == before
    shown = capsys.readouterr()
    assert shown.err == ""
    return status, shown.out


def test_a_sound_directory(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(directory, capsys) == (0, "records: 302 read, 0 damaged\n")
    more = "--l3", str(directory / "archive")
    assert verify(directory, capsys, *more) == (0, "records: 302 read, 0 damaged\n")


def test_damage_in_both_tiers(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = sorted(directory.rglob("val.*"))
    assert len(paths) == 2
    for path in paths:
        patch(path, 200_000, bytes([path.read_bytes()[200_000] ^ 1]))
    status, told = verify(directory, capsys)
    assert status == 1
    *lines, last = told.splitlines()
    assert last == "records: 302 read, 2 damaged"
    assert {line.split(": ")[0] for line in lines} == set(map(str, paths))
    assert all("does not match its checksum (offset " in line for line in lines)


def test_what_cannot_be_opened_is_status_2(
    private_tmp: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["verify", str(private_tmp / "missing")]) == 2
    assert "missing: No such file" in capsys.readouterr().err


def test_a_record_that_a_rebuild_passed_over(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A copy's index is not to be trusted; made anew it knows nothing of a damaged header."""
    segment = directory / "cache/seg.0"
    (directory / "cache/index").unlink()
    patch(segment, segment.read_bytes().find(b"number") - 30, bytes(8))
    status = cli.main(["verify", str(directory)])
    told = capsys.readouterr().out
    assert status == 1
    assert told == (
        "damaged places whose records, if any, are gone: 1\nrecords: 301 read, 0 damaged\n"
    )
