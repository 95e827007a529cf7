"""The README's blocks, for two readers: the tests that run them and CI that installs by them.

``python tests/house/readme.py install`` prints the command that installs the project, ``test`` the
one that tests it; each exits with 1 if the README has none. Needs the standard library only: CI
calls it before anything is installed. What the blocks mean:

======================  ===========================================================================
```` ```console ````    a line ``$ command`` runs; the lines below it, if any, are its exact output
```` ```bash ````       every line is a command; the output is free
```` ```python ````     with ``>>>`` a doctest, else a script; a ``text`` block right below is its
                        exact output, and may end in a traceback
``<!-- not run: why --``  on the line above a block: an example that cannot run here
======================  ===========================================================================

Output is compared by the rules of doctest with ELLIPSIS: ``...`` stands for anything.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Literal, NamedTuple

Kind = Literal["setup", "install", "test", "run"]

FENCE = re.compile(
    r"(?P<skip><!-- not run: [^\n]*\S -->\n)?^```(?P<language>[a-z]+)\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
OUTPUT = re.compile(r"\n+```text\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
SHELL_TOKEN = re.compile(r"""'[^']*'|"[^"]*"|&&|.""")
INTERPRETER = r"(?:\w+=\S* )*(?:\S*/)?python(?:3(?:\.\d+)?)?"
SETUP = re.compile(
    rf"git clone\b|cd fastmem$|(?:source|\.) \S*bin/activate$|{INTERPRETER} -m venv\b"
)
INSTALL = re.compile(rf"(?:{INTERPRETER} -m )?pip install\b")
LOCAL = re.compile(r"""install (?:-e )?['"]?\.(?:\[[\w,]+\])?['"]?$""")
TEST = re.compile(rf"(?:{INTERPRETER} -m |(?:\w+=\S* )*)pytest\b")


class Command(NamedTuple):
    """One shell command; ``expected`` is None where the README shows no output."""

    text: str
    expected: str | None

    @property
    def kind(self) -> Kind:
        """What the suite does with it: only ``run`` is run by the tests."""
        if SETUP.match(self.text):
            return "setup"
        if INSTALL.match(self.text):
            return "install"
        return "test" if TEST.match(self.text) else "run"

    @property
    def installs_this(self) -> bool:
        """Installs the project from its own folder, not a package by name."""
        return self.kind == "install" and LOCAL.search(self.text) is not None


class Block(NamedTuple):
    """One fenced block that says something to a computer."""

    language: str
    line: int
    body: str
    output: str | None
    skipped: bool

    @property
    def commands(self) -> list[Command]:
        """The commands of a shell block."""
        if self.language == "console":
            return _console(self.body)
        if self.language == "bash":
            joined = self.body.replace("\\\n", " ")
            lines = [line.strip() for line in joined.splitlines()]
            lines = [line for line in lines if line and not line.startswith("#")]
            return [Command(part, None) for line in lines for part in _parts(line)]
        return []


def _parts(line: str) -> list[str]:
    """``install && run`` as two commands; a line of which all runs stays whole."""
    parts = [""]
    for token in SHELL_TOKEN.findall(line):
        if token == "&&":
            parts.append("")
        else:
            parts[-1] += token
    parts = [part.strip() for part in parts]
    return [line] if all(Command(part, None).kind == "run" for part in parts) else parts


def _console(body: str) -> list[Command]:
    commands: list[Command] = []
    expected: list[str] = []
    lines = body.splitlines()
    for line in lines:
        if not line.startswith("$ "):
            if not commands:
                raise ValueError(f"a console block begins with '$ command', not with {line!r}")
            expected.append(line)
            commands[-1] = commands[-1]._replace(expected="\n".join(expected) + "\n")
            continue
        expected = []
        commands += [Command(part, None) for part in _parts(line[2:])]
    return commands


def blocks(text: str) -> list[Block]:
    """The console, bash and python blocks of a document, in order."""
    found = []
    for match in FENCE.finditer(text):
        if match["language"] not in ("console", "bash", "python"):
            continue
        below = OUTPUT.match(text, match.end()) if match["language"] == "python" else None
        found.append(
            Block(
                match["language"],
                text.count("\n", 0, match.start("language")) + 1,
                match["body"],
                below["body"] if below else None,
                match["skip"] is not None,
            )
        )
    return found


def command(text: str, kind: str) -> str | None:
    """The first command that installs the project from its folder, or that tests it."""
    for block in blocks(text):
        for candidate in block.commands:
            if candidate.installs_this if kind == "install" else candidate.kind == kind:
                return candidate.text
    return None


def main(arguments: list[str]) -> int:
    """Print the README's command of one kind; 1 if it has none."""
    (kind,) = arguments
    if kind not in ("install", "test"):
        print(f"install or test, not {kind!r}", file=sys.stderr)
        return 2
    path = Path(__file__).resolve().parents[2] / "README.md"
    found = command(path.read_text(encoding="utf-8"), kind)
    if found is None:
        print(f"{path}: no command of the kind {kind!r}", file=sys.stderr)
        return 1
    print(found)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
