"""Run a README block as a reader would: in an empty folder, this interpreter first on PATH."""

from __future__ import annotations

import doctest
import os
import subprocess
import sys
from pathlib import Path

from tests.house.readme import Block

TIMEOUT_S = 240


class Mismatch(AssertionError):
    """What a block did is not what the README says."""


def _environment() -> dict[str, str]:
    here = str(Path(sys.executable).parent)
    path = os.pathsep.join([here, os.environ.get("PATH", os.defpath)])
    # a plain terminal of known width, so that tables come out the same everywhere
    return {**os.environ, "PATH": path, "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}


def _run(arguments: list[str], folder: Path) -> tuple[int, str]:
    done = subprocess.run(
        arguments,
        cwd=folder,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    return done.returncode, done.stdout


def _trimmed(text: str) -> str:
    """Tables pad their lines; nobody types those blanks into a README."""
    return "".join(line.rstrip() + "\n" for line in text.rstrip().splitlines())


def compare(what: str, expected: str, got: str) -> None:
    """Raise Mismatch with a diff unless the output is the expected one."""
    example = doctest.Example(what, _trimmed(expected))
    checker, flags = doctest.OutputChecker(), doctest.ELLIPSIS
    if not checker.check_output(example.want, _trimmed(got), flags):
        difference = checker.output_difference(example, _trimmed(got), flags | doctest.REPORT_NDIFF)
        raise Mismatch(f"{what}\n{difference}")


def _succeed(what: str, code: int, output: str) -> None:
    if code != 0:
        raise Mismatch(f"{what}\nexit code {code}, output:\n{output}")


def _python(block: Block, folder: Path) -> None:
    what = f"README.md:{block.line}"
    is_session = ">>>" in block.body
    # doctest reads a .py file as a module with docstrings, any other as a document
    script = folder / f"readme_line_{block.line}.{'txt' if is_session else 'py'}"
    script.write_text(block.body, encoding="utf-8")
    options = ["-m", "doctest", "-o", "ELLIPSIS"] if is_session else []
    code, output = _run([sys.executable, *options, str(script)], folder)
    expected = None if is_session else block.output
    if expected is None or "Traceback (most recent call last):" not in expected:
        _succeed(what, code, output)
    if expected is not None:
        compare(what, expected, output)


def run(block: Block, folder: Path) -> int:
    """Run a block's commands and compare what it prints; returns how many commands ran."""
    if block.skipped:
        return 0
    if block.language == "python":
        _python(block, folder)
        return 1
    ran = 0
    for command in block.commands:
        if command.kind != "run":
            continue
        code, output = _run(["bash", "-euo", "pipefail", "-c", command.text], folder)
        _succeed(command.text, code, output)
        if command.expected is not None:
            compare(command.text, command.expected, output)
        ran += 1
    return ran
