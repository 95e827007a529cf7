"""``fastmem stats``: tells what is there and touches nothing."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fastmem import cli
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


def test_a_directory_that_a_process_has_open(directory: Path) -> None:
    """Asked from another process, as a user would."""
    with memory_in(directory) as memory:
        memory.put("new", 1)
        ran = ask(directory)
        assert memory.get(("row", 7)) == {"number": 7, "text": "x" * 7}
    assert ran.returncode == 0, ran.stderr
    assert "301" in ran.stdout
