"""The reader and runner of README blocks, on small examples."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.house.readme import Block, Command, blocks, command
from tests.house.readme_run import Mismatch, compare, run


def fenced(language: str, body: str) -> str:
    return f"```{language}\n{body}```\n"


def only(text: str) -> Block:
    (block,) = blocks(text)
    return block


def test_blocks_come_in_order_with_their_lines() -> None:
    text = "# Title\n\n" + fenced("console", "$ a\n") + "\nprose\n" + fenced("python", "b\n")
    found = blocks(text + fenced("toml", "c = 1\n") + fenced("bash", "d\n"))
    assert [(block.language, block.line) for block in found] == [
        ("console", 3),
        ("python", 8),
        ("bash", 14),
    ]


def test_console_lines_are_commands_and_their_output() -> None:
    block = only(fenced("console", "$ first\n$ second 'x'\nout\n\nmore\n$ third\n"))
    assert block.commands == [
        Command("first", None),
        Command("second 'x'", "out\n\nmore\n"),
        Command("third", None),
    ]


@pytest.mark.parametrize(
    ("line", "commands"),
    [
        ("pip install -e '.[test]' && fastmem demo", ["pip install -e '.[test]'", "fastmem demo"]),
        (
            "git clone x && cd fastmem && echo 'a && b'",
            ["git clone x", "cd fastmem", "echo 'a && b'"],
        ),
        ("mkdir x && cd x && touch y", ["mkdir x && cd x && touch y"]),
        ("echo it\\'s 2>&1 && pytest", ["echo it\\'s 2>&1", "pytest"]),
    ],
)
def test_a_line_is_split_only_to_leave_an_install_or_test_out(
    line: str, commands: list[str]
) -> None:
    for language, body in (("console", f"$ {line}\n"), ("bash", f"{line}\n")):
        assert [found.text for found in only(fenced(language, body)).commands] == commands


def test_console_block_without_a_command_is_refused() -> None:
    with pytest.raises(ValueError, match="begins with"):
        assert only(fenced("console", "first\n")).commands


def test_bash_lines_are_joined_and_comments_left_out() -> None:
    block = only(fenced("bash", "# why\none \\\n  two\n\nthree && four\n"))
    assert [found.text for found in block.commands] == ["one    two", "three && four"]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("git clone https://example.org/x", "setup"),
        ("python3.11 -m venv .venv", "setup"),
        (". .venv/bin/activate", "setup"),
        ("pip install -e '.[test]'", "install"),
        ("python -m pip install fastmem", "install"),
        (".venv/bin/python -m pytest -q", "test"),
        ("pytest", "test"),
        ("FASTMEM_PROFILE=nightly python -m pytest tests/unit", "test"),
        ("cd elsewhere", "run"),
        ("fastmem demo", "run"),
        ("python -m fastmem demo", "run"),
        ("python -m pytest_benchmark compare", "run"),
        ("python -m pytest_cov", "run"),
    ],
)
def test_commands_are_told_apart(text: str, kind: str) -> None:
    assert Command(text, None).kind == kind


def test_the_install_command_is_the_one_for_this_folder() -> None:
    text = fenced("console", "$ pip install fastmem\n$ pip install -e '.[test]' && fastmem demo\n")
    assert command(text, "install") == "pip install -e '.[test]'"
    assert command(text, "test") is None
    assert command(fenced("bash", "python -m pytest\n"), "test") == "python -m pytest"
    assert command(fenced("bash", "pip install fastmem\n"), "install") is None


def test_only_free_commands_run(tmp_path: Path) -> None:
    text = "$ pip install -e . && python -m pytest\n$ echo hello > made\n$ cat made\nhello\n"
    assert run(only(fenced("console", text)), tmp_path) == 2
    assert (tmp_path / "made").read_text() == "hello\n"


@pytest.mark.parametrize(
    ("language", "body"),
    [
        ("console", "$ false\n"),
        ("console", "$ false | true\n"),
        ("console", "$ echo one\ntwo\n"),
        ("console", "$ echo one; echo two\none\n"),
        ("bash", "true\nexit 3\n"),
        ("python", "assert False\n"),
        ("python", ">>> 1 + 1\n3\n"),
    ],
)
def test_a_wrong_claim_is_seen(tmp_path: Path, language: str, body: str) -> None:
    with pytest.raises(Mismatch):
        run(only(fenced(language, body)), tmp_path)


@pytest.mark.parametrize(
    ("language", "body"),
    [
        ("console", "$ echo took 12.5 ms; echo done\ntook ... ms\n...\n"),
        ("console", "$ python -c 'import sys; print(sys.prefix != \"\")'\nTrue\n"),
        ("python", "import json\nprint(json.dumps(1))\n"),
        ("python", ">>> x = {'a': 1.25}\n>>> x\n{'a': ...}\n"),
    ],
)
def test_a_right_claim_passes(tmp_path: Path, language: str, body: str) -> None:
    assert run(only(fenced(language, body)), tmp_path) == 1


def test_the_interpreter_is_this_one(tmp_path: Path) -> None:
    block = only(fenced("bash", "python -c 'import pytest' && pwd > here\n"))
    assert run(block, tmp_path) == 1
    assert (tmp_path / "here").read_text().strip() == str(tmp_path.resolve())


def test_a_script_is_held_to_the_output_shown_below_it(tmp_path: Path) -> None:
    script = fenced("python", "print('a')\nint('x')\n")
    shown = "a\nTraceback (most recent call last):\n  ...\nValueError: invalid literal ...\n"
    assert run(only(script + fenced("text", shown)), tmp_path) == 1
    assert run(only(script + "\n" + fenced("text", shown)), tmp_path) == 1
    with pytest.raises(Mismatch):
        run(only(script + fenced("text", "a\n")), tmp_path)
    with pytest.raises(Mismatch):
        run(only(script + fenced("text", shown.replace("ValueError", "KeyError"))), tmp_path)


def test_a_block_can_say_why_it_is_not_run(tmp_path: Path) -> None:
    block = fenced("bash", "false\n")
    assert run(only("<!-- not run: needs a server -->\n" + block), tmp_path) == 0
    assert not only("<!-- not run: -->\n" + block).skipped, "a reason is asked for"


def test_padding_is_not_compared_but_blank_lines_are() -> None:
    compare("x", "a\n\nb\n", "a   \n\nb  \n\n")
    with pytest.raises(Mismatch, match="BLANKLINE"):
        compare("x", "a\nb\n", "a\n\nb\n")
