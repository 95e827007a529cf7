"""The dispatcher: exit statuses, one-line errors, and what importing it costs."""

import argparse
import subprocess
import sys
from typing import Any

import pytest

from fastmem import cli
from fastmem.errors import StoreLockedError, ValueTooLargeError


class Command:
    """A command module whose run does what the test wants."""

    HELP = "a command"

    def __init__(self, behaviour: int | BaseException) -> None:
        self.behaviour = behaviour

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        pass

    def run_command(self, _args: argparse.Namespace) -> int:
        if isinstance(self.behaviour, BaseException):
            raise self.behaviour
        return self.behaviour


def run(monkeypatch: pytest.MonkeyPatch, behaviour: int | BaseException) -> int:
    monkeypatch.setitem(cli.COMMANDS, "work", Command(behaviour))
    return cli.main(["work"])


@pytest.mark.parametrize("status", [0, 1])
def test_the_status_of_the_command_is_returned(
    monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    assert run(monkeypatch, status) == status


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (StoreLockedError("another process has it open", "/d"), "/d: another process has it open"),
        (ValueTooLargeError(5000, 4000), "value of 5,000 bytes is larger than"),
        (PermissionError(13, "Permission denied", "/x"), "/x: Permission denied"),
        (OSError("several\nlines"), "several lines"),
    ],
)
def test_an_error_is_one_line_and_status_2(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    told: str,
) -> None:
    assert run(monkeypatch, error) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("fastmem: ")
    assert told in shown.err
    assert shown.err.count("\n") == 1


def test_an_interrupt_is_status_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == "fastmem: interrupted\n"


def test_a_defect_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ZeroDivisionError):
        run(monkeypatch, ZeroDivisionError())


@pytest.mark.parametrize("arguments", [[], ["no-such-command"], ["stats"], ["replay"]])
def test_wrong_usage_is_status_2(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    assert "usage: fastmem" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["demo", "replay", "stats"])
def test_every_command_has_help(capsys: pytest.CaptureFixture[str], name: str) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main([name, "--help"])
    assert stop.value.code == 0
    assert f"usage: fastmem {name}" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith("fastmem ")


def python(*arguments: str, **options: Any) -> subprocess.CompletedProcess[Any]:
    return subprocess.run([sys.executable, *arguments], timeout=60, check=False, **options)


def test_python_m_fastmem_is_the_command() -> None:
    ran = python("-m", "fastmem", "--help", capture_output=True, text=True)
    assert ran.returncode == 0
    assert "usage: fastmem" in ran.stdout


def test_importing_the_command_line_does_not_import_rich() -> None:
    code = "import sys, fastmem.cli; sys.exit('rich' in sys.modules or 'numpy' in sys.modules)"
    assert python("-c", code).returncode == 0


def test_a_closed_pipe_ends_quietly() -> None:
    """The reader is gone before the first byte: no traceback, the status a shell gives SIGPIPE."""
    code = (
        "import os, sys; r, w = os.pipe(); os.close(r); os.dup2(w, 1)\n"
        "from fastmem import cli\n"
        "class Loud:\n"
        "    HELP = ''\n"
        "    def add_arguments(self, parser): pass\n"
        "    def run_command(self, _args): print('x' * 100_000); return 0\n"
        "cli.COMMANDS['loud'] = Loud()\n"
        "sys.exit(cli.main(['loud']))\n"
    )
    ran = python("-c", code, stderr=subprocess.PIPE)
    assert (ran.returncode, ran.stderr) == (141, b"")


@pytest.mark.parametrize("command", ["--version", "stats ."])
def test_without_standard_output_nothing_is_opened(command: str) -> None:
    """``fastmem ... >&-``: the first file to be opened would be what is printed to."""
    ran = subprocess.run(
        ["/bin/sh", "-c", f'"{sys.executable}" -m fastmem {command} >&-'],
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (2, b"fastmem: standard output is closed\n")
