"""``fastmem check``: tells what is damaged and what that costs, and touches nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastmem import Archive, SegmentStore, TieredMemorySystem, cli
from fastmem.storage import opening
from tests.crash.directories import patch, snapshot

MARK = b"to be found in the file"


@pytest.fixture
def directory(private_tmp: Path) -> Path:
    at = private_tmp / "memory"
    at.mkdir(mode=0o700)
    with TieredMemorySystem(1, at / "cache", at / "archive", l2_size_mb=16) as memory:
        memory.put("replaced", "an older value")
        memory.update({number: {"number": number} for number in range(300)})
        memory.put("replaced", MARK)
        memory.put("large", os.urandom(300_000))
        memory.put("huge", os.urandom(9 << 20))  # goes to the archive
    return at


def check(directory: Path, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, str]:
    """Exit status and output; not a byte may change."""
    folders = [folder for folder in directory.iterdir() if folder.is_dir()] or [directory]
    before = [snapshot(folder) for folder in folders]
    capsys.readouterr()
    status = cli.main(["check", str(directory), *more])
    assert [snapshot(folder) for folder in folders] == before
    shown = capsys.readouterr()
    assert shown.err == ""
    return status, shown.out


def told(directory: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    status, text = check(directory, capsys, "--json")
    found: dict[str, Any] = json.loads(text)
    assert status == (0 if found["sound"] else 1)
    assert found["sound"] == (not found["damage"])
    return found


def flip(path: Path, at: int) -> None:
    patch(path, at, bytes([path.read_bytes()[at] ^ 1]))


def test_a_sound_directory(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, text = check(directory, capsys)
    assert status == 0
    *progress, counts, last = text.splitlines()
    assert (counts, last) == ("304 whole records in the log, 303 entries", "sound")
    assert "entries: 100 %" in progress
    assert "the log again: 100 %" in progress
    assert check(directory, capsys, "--l3", str(directory / "archive")) == (0, text)


def test_values_damaged_in_both_tiers(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = sorted(directory.rglob("val.*"))
    assert len(paths) == 2
    for path in paths:
        flip(path, 200_000)
    status, text = check(directory, capsys)
    assert status == 1
    lines = text.splitlines()
    assert lines[-1] == "damaged: places 2, entries that are missed 2"
    assert {line.split(": ")[0] for line in lines[-4:-2]} == set(map(str, paths))
    assert all("does not match its checksum (offset " in line for line in lines[-4:-2])
    assert {line.rsplit(": ")[-1] for line in lines[-4:-2]} == {
        "'large' is missed", "'huge' is missed",
    }  # fmt: skip


def body(at: Path) -> None:
    segment = at / "cache/seg.0"
    flip(segment, segment.read_bytes().index(MARK))


def header(at: Path) -> None:
    segment = at / "cache/seg.0"
    flip(segment, segment.read_bytes().index(MARK) - 12)


def rubbish(at: Path) -> None:
    segment = at / "cache/seg.0"
    patch(segment, segment.read_bytes().index(MARK) - 57, b"rubbish " * 12)


def segment_header(at: Path) -> None:
    flip(at / "cache/seg.0", 20)


def cut(at: Path) -> None:
    os.truncate(at / "cache/seg.0", 8192)


def gone(at: Path) -> None:
    (at / "cache/seg.0").unlink()


def no_value_file(at: Path) -> None:
    for path in (at / "cache").glob("val.*"):
        path.unlink()


def value_header(at: Path) -> None:
    for path in (at / "cache").glob("val.*"):
        flip(path, 20)


def foreign(at: Path) -> None:
    (at / "cache/seg.7").write_bytes((at / "cache/seg.0").read_bytes())


def clock(at: Path) -> None:
    flip(at / "cache/super", 322)


DAMAGES: dict[Callable[[Path], None], tuple[str, str]] = {
    body: ("index leads to no sound record of the key", "'replaced' is missed"),
    header: ("bytes that are no record", "1 key is missed, and nobody can tell which"),
    rubbish: ("bytes that are no record", "nobody can tell which"),
    segment_header: ("damaged header", "nothing is missed, records vouch for themselves"),
    cut: ("cut to 8,192 of 1,048,576 bytes", "what lay behind is missed, unless"),
    gone: ("segment is missing", "302 keys are missed, and nobody can tell which"),
    no_value_file: ("record whose value file is missing", "'large' is missed"),
    value_header: ("damaged header", "nothing is missed, its record tells the key"),
    foreign: ("no segment of this store", "nothing in it is read"),
    clock: ("line of the clock does not match its check", "deadlines may shift by a step"),
}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_every_sort_of_damage_is_told_with_what_it_costs(
    directory: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], None]
) -> None:
    damage(directory)
    found = told(directory, capsys)
    assert not found["sound"]
    what, means = DAMAGES[damage]
    assert any(what in one["what"] and means in one["means"] for one in found["damage"]), found
    for one in found["damage"]:
        assert Path(one["path"]).is_relative_to(directory)
    status, text = check(directory, capsys)
    assert status == 1
    assert what in text


@pytest.mark.parametrize("damage", [header, rubbish])
def test_an_older_value_that_would_return_is_told(
    directory: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], None]
) -> None:
    damage(directory)
    found = told(directory, capsys)
    assert found["index"] == "trusted"
    assert any("an older value of 'replaced' may return" in one["means"] for one in found["damage"])


def test_damage_that_no_index_knows_of(
    directory: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a restart the index is made anew, and knows nothing of a damaged header."""
    header(directory)
    monkeypatch.setattr(opening, "boot_id", lambda: b"another boot id!")
    found = told(directory, capsys)
    assert (found["index"], found["entries"], found["damage_count"]) == ("rebuilt", 303, 1)
    assert "an older value in its place" in found["damage"][0]["means"]
    _status, text = check(directory, capsys)
    assert text.startswith("opening: 0 %")
    assert "the index is not to be trusted" in text


def test_damage_under_what_was_replaced(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    segment = directory / "cache/seg.0"
    flip(segment, segment.read_bytes().index(b"an older value"))
    (one,) = told(directory, capsys)["damage"]
    assert one["what"] == "damaged record"
    assert one["means"] == "nothing is missed, it was replaced or deleted since"
    assert one["offset"] == 64


def test_a_long_list_is_cut(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    segment = directory / "cache/seg.0"
    data = bytearray(segment.read_bytes())
    at = 0
    for number in range(50):
        at = data.index(b"number", at + 1)
        data[at] ^= 1
        assert number >= 0
    patch(segment, 0, bytes(data))
    _status, text = check(directory, capsys)
    assert "... and 30 more (--json shows 1,000)" in text
    assert told(directory, capsys)["damage_count"] == 50


@pytest.mark.parametrize("kind", ["segments", "archive"])
def test_a_store_alone(private_tmp: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    at = private_tmp / kind
    store = SegmentStore(at, budget_bytes=16 << 20) if kind == "segments" else Archive(at)
    with store:
        store.update({i: str(i) * 100 for i in range(100)})
        store.put("marked", MARK)
    assert told(at, capsys)["sound"]
    (segment,) = [path for path in at.iterdir() if path.name in ("seg.0", "cold.0")]
    flip(segment, segment.read_bytes().index(MARK))
    assert told(at, capsys)["missed_keys"] == 1


def test_signatures_are_looked_at_with_the_key(
    private_tmp: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at = private_tmp / "signed"
    with SegmentStore(at, budget_bytes=16 << 20, secret_key=b"k" * 16) as store:
        store.put("a", 1)
    assert told(at, capsys)["sound"]
    key = private_tmp / "key"
    key.write_bytes(b"k" * 16)
    assert check(at, capsys, "--key-file", str(key), "--json")[0] == 0
    key.write_bytes(b"x" * 16)
    assert cli.main(["check", str(at), "--key-file", str(key)]) == 2
    assert "another secret_key" in capsys.readouterr().err
    key.write_bytes(b"x")
    assert cli.main(["check", str(at), "--key-file", str(key)]) == 2
    assert "a secret_key has 16 to 64 bytes, not 1" in capsys.readouterr().err


def test_what_cannot_be_opened_is_status_2(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["check", str(directory / "missing")]) == 2
    assert "missing: No such file" in capsys.readouterr().err
    (directory / "cache/super").write_bytes(b"someone else's file of that name")
    assert cli.main(["check", str(directory)]) == 2
    assert "not fastmem's" in capsys.readouterr().err


def test_what_a_process_has_open_is_status_2(directory: Path) -> None:
    """Asked from another process, as a user would."""
    with TieredMemorySystem(1, directory / "cache", directory / "archive", l2_size_mb=16):
        ran = subprocess.run(
            [sys.executable, "-m", "fastmem", "check", str(directory)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "another process" in ran.stderr
