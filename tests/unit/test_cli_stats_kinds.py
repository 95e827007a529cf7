"""``fastmem stats`` of every kind of directory, with the bytes that are linked there."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from fastmem import Archive, SegmentStore, TieredMemorySystem, cli
from fastmem.storage import opening
from tests.crash.directories import linked_bytes, open_archive, open_segments


def told(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    assert cli.main(["stats", *map(str, arguments), "--json"]) == 0
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert cli.main(["stats", *map(str, arguments)]) == 0
    assert "entries" in capsys.readouterr().out
    return answer


def failure(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert cli.main(["stats", *map(str, arguments)]) == 2
    return capsys.readouterr().err


def filled(top: Path) -> TieredMemorySystem:
    memory = TieredMemorySystem(1, top / "cache", top / "archive", l2_size_mb=16)
    memory.update(dict.fromkeys(range(100), "x" * 100))
    return memory


def test_a_segment_store(private_tmp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open_segments(private_tmp) as store:
        store.update({number: "x" * number for number in range(100)})
    (private_tmp / "archive").mkdir(mode=0o700)  # of somebody else
    answer = told(capsys, private_tmp / "l2")
    assert answer["l2"]["entries"] == 100
    assert answer["l2_path"] == str(private_tmp / "l2")
    assert "l3" not in answer
    assert answer["l2"]["bytes"] == pytest.approx(linked_bytes(private_tmp / "l2"), abs=8192)


def test_an_archive(private_tmp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open_archive(private_tmp) as archive:
        archive.update({number: "x" * number for number in range(100)})
    for options in ([], ["--l3", private_tmp / "l3"]):
        answer = told(capsys, private_tmp / "l3", *options)
        assert answer["l3"]["entries"] == 100
        assert answer["l3_path"] == str(private_tmp / "l3")
        assert "l2" not in answer


def test_halves_of_a_memory(private_tmp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    filled(private_tmp).close()
    assert "the L3 of a memory" in failure(capsys, private_tmp / "archive")
    (private_tmp / "archive").rename(private_tmp / "elsewhere")
    assert "--l3" in failure(capsys, private_tmp / "cache")
    answer = told(capsys, private_tmp / "cache", "--l3", private_tmp / "elsewhere")
    assert answer["l2"]["entries"] == 100


@pytest.mark.parametrize("after", ["a close", "a lost index", "a reboot"])
def test_bytes_are_those_of_the_files(
    private_tmp: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    after: str,
) -> None:
    filled(private_tmp).close()
    if after == "a lost index":
        (private_tmp / "cache" / "index").unlink()
    elif after == "a reboot":
        monkeypatch.setattr(opening, "boot_id", lambda: b"another boot id!")
    answer = told(capsys, private_tmp)
    for tier, folder in (("l2", "cache"), ("l3", "archive")):
        linked = linked_bytes(private_tmp / folder)
        assert answer[tier]["bytes"] == pytest.approx(linked, abs=8192)
    most = 100 * 256
    assert answer["l2"]["unsynced_bytes"] == (
        0 if after == "a reboot" else pytest.approx(most, abs=most)
    )


def test_unsynced_bytes_after_a_reopening_for_writing(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(private_tmp).close()
    (private_tmp / "cache" / "index").unlink()
    with filled(private_tmp) as memory:
        assert memory.stats()["l2"]["unsynced_bytes"] < 2 * 100 * 256
        memory.flush()
        assert memory.stats()["l2"]["unsynced_bytes"] == 0
        memory.put("k", 1)
        assert 0 < memory.stats()["l2"]["unsynced_bytes"] < 256


@pytest.mark.parametrize("lost", [None, "index"])
def test_not_even_the_times_of_reading_change(
    private_tmp: Path, capsys: pytest.CaptureFixture[str], lost: str | None
) -> None:
    filled(private_tmp).close()
    if lost:
        (private_tmp / "cache" / lost).unlink()
    places = [path for folder in ("cache", "archive") for path in (private_tmp / folder).iterdir()]
    places += [private_tmp / "cache", private_tmp / "archive"]
    for path in places:
        os.utime(path, ns=(10**18, 2 * 10**18))  # older than the change: reading would be noted
    before = {path: path.stat() for path in places}
    told(capsys, private_tmp)
    after = {path: path.stat() for path in places}
    changed = [path for path in places if after[path].st_atime_ns != before[path].st_atime_ns]
    assert changed == []


@pytest.mark.parametrize("command", ["stats", "check"])
@pytest.mark.parametrize("warm", ["l2", "segments"])
@pytest.mark.parametrize("cold", ["other", "alone"])
def test_an_archive_that_belongs_elsewhere(
    private_tmp: Path, capsys: pytest.CaptureFixture[str], command: str, warm: str, cold: str
) -> None:
    """Their figures together would be nobody's."""
    for name in ("l2", "other-l2"):
        l3 = private_tmp / ("l3" if name == "l2" else "other")
        with TieredMemorySystem(1, private_tmp / name, l3, l2_size_mb=16) as memory:
            memory["k"] = name
    with SegmentStore(private_tmp / "segments", budget_bytes=16 << 20) as store:
        store["k"] = 1
    with Archive(private_tmp / "alone") as archive:
        archive["k"] = 2
    first, second = private_tmp / warm, private_tmp / cold
    assert cli.main([command, str(first), "--l3", str(second)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == f"fastmem: {second} is not the L3 of {first}\n"
    assert cli.main([command, str(private_tmp / "l2"), "--l3", str(private_tmp / "l3")]) == 0
