"""The course of a demonstration where it goes wrong: the pipe, and a child that dies by itself."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Never, cast

import pytest

from fastmem import MemoryEntry, MemoryTier, TieredMemorySystem, cli
from fastmem.demo import command, run
from fastmem.demo.analysis import analyse_module
from fastmem.demo.ledger import Ledger, digest_of
from fastmem.demo.run import DemoError, Settings


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)


def never() -> None:
    pytest.fail("nothing was waited for")


def test_a_line_cut_off_by_the_kill_is_no_report(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    os.write(writer, b"one\ntwo\nthr")
    os.close(writer)
    assert list(run._lines(reader, never)) == [b"one", b"two"]


def test_a_line_may_come_in_pieces(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    lines = run._lines(reader, never)
    os.write(writer, b"a\nhal")
    assert next(lines) == b"a"
    os.write(writer, b"f\n")
    assert next(lines) == b"half"
    os.close(writer)
    assert list(lines) == []


def test_silence_is_told(pipe: tuple[int, int]) -> None:
    reader, writer = pipe

    def give_up() -> Never:
        raise DemoError("silence")

    with pytest.raises(DemoError, match="silence"):
        next(run._lines(reader, give_up))
    os.close(writer)


@pytest.fixture
def library(tmp_path: Path) -> Path:
    root = tmp_path / "library"
    root.mkdir()
    (root / "a.py").write_text("def a(): pass\n")
    return root


def settings(tmp_path: Path, library: Path, seconds: float = 1.0) -> Settings:
    place = tmp_path / "memory"
    place.mkdir(mode=0o700, exist_ok=True)
    return Settings(place, seconds=seconds, root=library)


def test_a_child_that_ends_by_itself_is_an_error(
    tmp_path: Path, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(DemoError, match="ended by itself with status 1"):
        run.run(settings(tmp_path, library))


def test_a_child_that_says_nothing_is_killed_in_time(
    tmp_path: Path, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleeper = tmp_path / "sleeper"
    sleeper.write_text("#!/bin/sh\nexec sleep 1000\n")
    sleeper.chmod(0o700)
    monkeypatch.setattr("sys.executable", str(sleeper))
    children: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen

    def popen(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        children.append(start(*arguments, **options))
        return children[-1]

    monkeypatch.setattr(subprocess, "Popen", popen)
    with pytest.raises(DemoError, match="reported nothing for 1 s"):
        run.run(settings(tmp_path, library))
    assert [child.returncode for child in children] == [-9]


def test_a_library_without_modules_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DemoError, match="no Python modules"):
        run.run(settings(tmp_path, tmp_path / "nothing"))


@pytest.mark.parametrize("seconds", ["3.9", "3601", "nan", "soon"])
def test_an_impossible_time_is_a_usage_error(
    capsys: pytest.CaptureFixture[str], seconds: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["demo", "--seconds", seconds])
    assert stop.value.code == 2
    assert "--seconds" in capsys.readouterr().err


def test_a_report_that_cannot_be_written_is_told_before_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["demo", "--report", str(tmp_path / "none" / "report.html")]) == 2
    assert "cannot write a report there" in capsys.readouterr().err


class Remains:
    """What a broken memory could hold after the kill: one value gone, one wrong, one beyond."""

    def __init__(self, held: dict[Any, Any]) -> None:
        self.held = held

    def entry(self, key: Any) -> MemoryEntry | None:
        value = self.held.get(key)
        return None if value is None else MemoryEntry(key, value, MemoryTier.L2_WARM, 0.0)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.held)


def remains(held: dict[Any, Any]) -> TieredMemorySystem:
    return cast(TieredMemorySystem, Remains(held))


@pytest.fixture
def broken(tmp_path: Path, library: Path) -> run.Outcome:
    outcome = run.Outcome(settings(tmp_path, library), Ledger(started=0))
    for key in ("gone", "wrong", "right"):
        outcome.ledger.computed(1, 1, 1, 1, (key,), digest_of(key))
    outcome.promised = 3
    run._verify(outcome, remains({("wrong",): "rwong", ("right",): "right"}), set())
    return outcome


def test_the_verification_finds_what_is_gone_and_what_is_wrong(broken: run.Outcome) -> None:
    assert broken.ledger.lost == {("gone",)}
    assert broken.ledger.wrong == [("wrong",)]
    assert broken.recovered == 1
    assert not broken.intact


def test_a_loss_is_status_1(
    broken: run.Outcome, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(command, "run", lambda _settings: broken)
    monkeypatch.setattr(command, "_print", lambda _outcome: None)
    monkeypatch.setattr(command, "write", lambda _outcome, _path: None)
    assert cli.main(["demo", "--dir", str(tmp_path / "memory")]) == 1


@pytest.mark.parametrize(("whole", "wrong"), [(True, 0), (False, 1)])
def test_a_value_beyond_the_promise_is_computed_anew_and_compared(
    tmp_path: Path, library: Path, whole: bool, wrong: int
) -> None:
    path = library / "a.py"
    facts = path.stat()
    key = ("module", "a.py", facts.st_size, facts.st_mtime_ns, sys.hexversion)
    value = analyse_module(path) if whole else {"path": "torn"}
    outcome = run.Outcome(settings(tmp_path, library), Ledger(started=0))
    run._verify(outcome, remains({key: value, ("inherited",): "old"}), {("inherited",)})
    assert outcome.beyond == 1
    assert len(outcome.ledger.wrong) == wrong
