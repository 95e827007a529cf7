"""``fastmem stats``: tells what is there and touches nothing."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from fastmem import cli, holdings
from fastmem.errors import StoreLockedError
from fastmem.memory import TieredMemorySystem


def footprint(top: Path) -> dict[Path, Any]:
    """Every path below *top* with its bytes and every time stamp but that of reading."""
    seen = {}
    for directory, _, names in os.walk(top):
        for path in [Path(directory), *(Path(directory, name) for name in names)]:
            facts = path.stat()
            content = b"" if path.is_dir() else path.read_bytes()
            seen[path] = (facts.st_mtime_ns, facts.st_ctime_ns, facts.st_mode, content)
    return seen


def memory_in(top: Path) -> TieredMemorySystem:
    return TieredMemorySystem(1, str(top / "cache"), str(top / "archive"), l2_size_mb=16)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    top = tmp_path / "memory"
    top.mkdir(mode=0o700)
    with memory_in(top) as memory:
        for number in range(300):
            memory.put(("row", number), {"number": number, "text": "x" * number})
    return top


@pytest.mark.parametrize("below", ["", "cache"])
def test_it_tells_the_entries_and_changes_nothing(
    directory: Path, capsys: pytest.CaptureFixture[str], below: str
) -> None:
    before = footprint(directory)
    assert cli.main(["stats", str(directory / below), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["l2"]["entries"] + told["l3"]["entries"] == 300
    assert told["l2_path"] == str(directory / "cache")
    assert cli.main(["stats", str(directory / below)]) == 0
    shown = capsys.readouterr().out
    assert "entries" in shown
    assert "300" in shown
    assert footprint(directory) == before


def test_the_archive_can_be_elsewhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    warm, cold = tmp_path / "warm", tmp_path / "cold"
    with TieredMemorySystem(1, str(warm), str(cold), l2_size_mb=16) as memory:
        memory.put("key", "value")
    before = footprint(tmp_path)
    assert cli.main(["stats", str(warm), "--l3", str(cold), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["l3_path"] == str(cold)
    assert footprint(tmp_path) == before


def ask(directory: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """What another process says about *directory*."""
    return subprocess.run(
        [sys.executable, "-m", "fastmem", "stats", str(directory), *options],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def failure(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line on stderr of a command that could not be carried out."""
    assert cli.main(list(arguments)) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("fastmem: ")
    assert shown.err.count("\n") == 1
    return shown.err


def test_a_missing_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "missing"
    assert f"{missing}: No such file" in failure(capsys, "stats", str(missing))
    assert not missing.exists()


def test_a_file_instead_of_a_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "file"
    path.write_text("x")
    assert f"{path}: Not a directory" in failure(capsys, "stats", str(path))


def test_a_missing_archive_that_was_named(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = directory / "missing"
    told = failure(capsys, "stats", str(directory / "cache"), "--l3", str(missing))
    assert f"{missing}: No such file" in told


@pytest.mark.parametrize("beside", ["archive", "something-else"])
def test_a_foreign_directory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], beside: str
) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir(mode=0o700)
    (foreign / "notes.txt").write_text("not a store")
    (tmp_path / beside).mkdir(mode=0o700)
    before = footprint(tmp_path)
    assert str(foreign) in failure(capsys, "stats", str(foreign))
    assert footprint(tmp_path) == before


def test_an_empty_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir(mode=0o700)
    assert "empty: no store is in it" in failure(capsys, "stats", str(tmp_path / "empty"))


def test_a_directory_made_with_larger_budgets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with TieredMemorySystem(
        1, str(tmp_path / "cache"), str(tmp_path / "archive"), l2_size_mb=2000
    ) as memory:
        memory.put("key", "value")
    assert cli.main(["stats", str(tmp_path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["l2"]["entries"] == 1
    assert "budget" not in told["l2"]


def test_a_directory_whose_index_has_grown(directory: Path) -> None:
    """In a process of its own: writing to pages mapped read-only would end it."""
    with memory_in(directory) as memory:
        for number in range(30_000):
            memory.put(number, number)
    before = footprint(directory)
    ran = ask(directory, "--json")
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["l2"]["entries"] + told["l3"]["entries"] == 30_300
    assert footprint(directory) == before


def test_a_directory_whose_process_was_killed(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from fastmem.memory import TieredMemorySystem\n"
        "memory = TieredMemorySystem(1, sys.argv[1], sys.argv[2], l2_size_mb=16)\n"
        "for number in range(3000): memory.put(number, 'x' * number)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    paths = [str(tmp_path / "cache"), str(tmp_path / "archive")]
    killed = subprocess.run([sys.executable, "-c", code, *paths], timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL
    before = footprint(tmp_path)
    ran = ask(tmp_path, "--json")
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["l2"]["entries"] + told["l3"]["entries"] == 3000
    assert footprint(tmp_path) == before


def looks(capsys: pytest.CaptureFixture[str], directory: Path, *more: str) -> list[dict[str, Any]]:
    """The objects that a bounded watch printed."""
    assert cli.main(["stats", str(directory), "--json", "--watch", "0.001", *more]) == 0
    text, found, at = capsys.readouterr().out, [], 0
    while text[at:].strip():
        one, end = json.JSONDecoder().raw_decode(text[at:].lstrip())
        at += len(text[at:]) - len(text[at:].lstrip()) + end
        found.append(one)
    return found


def test_a_watch_looks_again_and_again(
    directory: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = footprint(directory)
    first, second, third = looks(capsys, directory, "--count", "3")
    assert first == second == third
    assert first["l2"]["entries"] == 300
    assert footprint(directory) == before

    def put_meanwhile(_seconds: float) -> None:
        with memory_in(directory) as memory:
            memory.put(("more", len(memory)), 1)

    monkeypatch.setattr(time, "sleep", put_meanwhile)
    told = looks(capsys, directory, "--count", "3")
    assert [one["l2"]["entries"] for one in told] == [300, 301, 302]


def test_the_reading_of_a_whole_log_is_drawn(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (directory / "cache/index").unlink()
    assert cli.main(["stats", str(directory), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["l2"]["rebuilt"]
    assert cli.main(["stats", str(directory)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("opening: 0 %\n")
    assert "opening: 100 %\n" in shown


def test_a_watch_ends_when_it_is_interrupted(
    directory: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupted)
    assert cli.main(["stats", str(directory), "--watch", "7.5"]) == 0
    shown = capsys.readouterr()
    assert shown.out.count("What they hold") == 1
    assert shown.err == ""


def test_a_watch_goes_on_while_the_directory_is_another_process_s(
    directory: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(*_given: object) -> None:
        raise StoreLockedError("another process has it open", directory)

    monkeypatch.setattr(holdings, "open_found", locked)
    assert [one["locked"] for one in looks(capsys, directory, "--count", "2")] == [True, True]
    assert cli.main(["stats", str(directory), "--watch", "0.001", "--count", "2"]) == 0
    assert capsys.readouterr().out.count("another process has it to itself") == 2


@pytest.mark.parametrize("wrong", [["--watch", "0"], ["--watch", "x"], ["--count", "0"]])
def test_a_watch_that_makes_no_sense(
    directory: Path, capsys: pytest.CaptureFixture[str], wrong: list[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["stats", str(directory), *wrong])
    assert caught.value.code == 2
    assert "invalid" in capsys.readouterr().err


def test_a_directory_that_a_process_has_open_is_looked_at_live(directory: Path) -> None:
    """Asked from another process, again and again, of which the writer notices nothing."""
    with memory_in(directory) as memory:
        for more in range(3):
            ran = ask(directory, "--json")
            assert ran.returncode == 0, ran.stderr
            told = json.loads(ran.stdout)
            assert told["l2"]["entries"] + told["l3"]["entries"] == len(memory) == 300 + more
            memory.put(("more", more), more)
        memory.check()


def test_a_directory_that_a_process_has_open(directory: Path) -> None:
    """Asked from another process, as a user would."""
    with memory_in(directory) as memory:
        memory.put("new", 1)
        ran = ask(directory)
        assert memory.get(("row", 7)) == {"number": 7, "text": "x" * 7}
    assert ran.returncode == 0, ran.stderr
    assert "301" in ran.stdout
