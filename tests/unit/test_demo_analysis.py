"""The demonstration's computation: right, made of plain types, and the same in every process."""

import ast
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fastmem.demo.analysis import AnalysisError, analyse_function, analyse_module, module_files
from fastmem.demo.ledger import digest_of

SOURCE = '''\
"""Doc."""
import os, sys as system
from . import sibling
\x0c
class Outer(dict):
    """Holds."""

    @property
    def inner(self, first: int = 1, *rest) -> str:
        text = """a string
that starts at the margin"""
        if first and rest or self:
            return text
        return {item for item in "b\\d"}  # a warning on new versions


def last(): return sorted({"x", "y", "z"} & set(os.environ))
'''


@pytest.fixture
def module(tmp_path: Path) -> Path:
    path = tmp_path / "sample.py"
    path.write_text(SOURCE)
    return path


def test_a_module_is_summarised(module: Path) -> None:
    summary = analyse_module(module)
    assert summary["doc"] == "Doc."
    assert summary["imports"] == [
        [2, "os", None, None],
        [2, "sys", None, "system"],
        [3, ".", "sibling", None],
    ]
    names = [scope["name"] for scope in summary["scopes"]]
    assert names == ["Outer", "Outer.inner", "last"]
    assert summary["names"]["text"] == 2
    assert len(summary["lines"]) == len(SOURCE.split("\n")) - 1


def test_a_scope_is_summarised(module: Path) -> None:
    _, inner, last = analyse_module(module)["scopes"]
    assert inner["signature"] == "self, first: int=1, *rest"
    assert inner["returns"] == "str"
    assert inner["decorators"] == ["property"]
    assert inner["complexity"] == 1 + 1 + 2 + 1  # itself, if, and/or, comprehension
    lines = SOURCE.split("\n")
    assert "@property" in lines[inner["span"][0] - 1]
    assert "def last" in lines[last["span"][0] - 1]


def test_a_function_is_analysed_from_its_own_lines(module: Path) -> None:
    scopes = analyse_module(module)["scopes"]
    details = [analyse_function(module, scope) for scope in scopes]
    assert [detail["name"] for detail in details] == ["Outer", "Outer.inner", "last"]
    assert "that starts at the margin" in details[1]["source"]
    assert [name for name, _ in details[1]["bytecode"]][:2] == ["<module>", "inner"]
    assert any(step[1].startswith("LOAD") for _, steps in details[2]["bytecode"] for step in steps)
    assert ast.parse(details[2]["normal"]).body


def test_the_result_does_not_depend_on_hash_order(module: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from fastmem.demo.analysis import analyse_function, analyse_module\n"
        "from fastmem.demo.ledger import digest_of\n"
        "path = Path(sys.argv[1]); summary = analyse_module(path)\n"
        "print(digest_of([summary, *(analyse_function(path, s) for s in summary['scopes'])]))\n"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code, str(module)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            timeout=60,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(digests) == 1


def test_the_result_is_made_of_plain_types(module: Path) -> None:
    summary = analyse_module(module)
    details = [analyse_function(module, scope) for scope in summary["scopes"]]
    pending: list[Any] = [summary, *details]
    seen: set[type] = set()
    while pending:
        value = pending.pop()
        seen.add(type(value))
        if isinstance(value, dict):
            pending += [*value, *value.values()]
        elif isinstance(value, (list, tuple)):
            pending += value
    assert seen == {dict, list, tuple, str, int, type(None)}
    assert digest_of(summary)


@pytest.mark.parametrize(
    "broken",
    [b"def f(:\n", b"x = 1\0\n", b"# coding: no-such\n", b"\xff\n", b"if 1:\nx\n", b"'''\n"],
)
def test_a_broken_file_is_an_analysis_error_with_its_path(tmp_path: Path, broken: bytes) -> None:
    path = tmp_path / "broken.py"
    path.write_bytes(broken)
    with pytest.raises(AnalysisError, match=r"broken\.py"):
        analyse_module(path)


def test_module_files_leaves_out_what_is_not_the_library(tmp_path: Path) -> None:
    for name in (
        "b.py",
        "a/__init__.py",
        "a/data.txt",
        "site-packages/third.py",
        "test/tokenizedata/bad.py",
        "__pycache__/x.py",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "dangling.py").symlink_to("nowhere.py")
    assert module_files(tmp_path) == ["a/__init__.py", "b.py"]


def test_the_standard_library_is_found() -> None:
    files = module_files()
    assert "ast.py" in files
    assert str(Path("json/__init__.py")) in files
    assert not [name for name in files if "site-packages" in name]
