"""Imports point one way, compiled units included."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.house.imports import imports_of
from tests.house.layers import ORDER, violations
from tests.house.tree import CORE, ROOT, shown

# What compiled code has no business with: it never opens files and never logs.
BANNED_IN_CORE = {"io", "logging", "pathlib", "shutil", "tempfile", "tokenize"}
IN_MEMORY = {"io.BytesIO", "io.StringIO"}  # types whose instances are measured, and no files


def test_nothing_imports_upward() -> None:
    assert violations(ROOT) == []


def test_compiled_code_imports_at_its_top_and_knows_no_files() -> None:
    faults = []
    for path in [*CORE.glob("*.pyx"), *CORE.glob("*.pxd")]:
        for item in imports_of(path, "fastmem._core"):
            if item.lazy:
                faults.append(f"{shown(path)}:{item.line}: imports {item.module} lazily")
            banned = item.module.split(".")[0] in BANNED_IN_CORE
            if banned and item.module not in IN_MEMORY:
                faults.append(f"{shown(path)}:{item.line}: imports {item.module}")
    assert faults == []


def plant(root: Path, **files: str) -> Path:
    """A package with one module per layer, then ``files`` (``storage__x_py`` -> storage/x.py)."""
    package = root / "fastmem"
    for row in ORDER:
        for name in row:
            folder = package if name == "fastmem" else package / name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "__init__.py").touch()
    for name, text in files.items():
        stem, _, suffix = name.rpartition("_")
        (package / (stem.replace("__", "/") + "." + suffix)).write_text(text)
    return root


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("codecs__x_py", "from fastmem.memory import TieredMemorySystem\n", 1),
        ("codecs__x_py", "from fastmem import memory\n", 1),
        ("codecs__x_py", "import fastmem\n", 1),
        ("codecs__x_py", "import os, fastmem.storage as s\n", 1),
        ("codecs__x_py", "def f():\n    from ..storage import a\n", 2),
        ("codecs__x_py", "from importlib import import_module\nimport_module('fastmem.cli')\n", 2),
        ("codecs__x_py", "if TYPE_CHECKING:\n    from ..storage.y import a\n", 2),
        ("_core__x_pyx", "from fastmem cimport codecs\n", 1),
        ("_core__x_pyx", "cdef int f():\n    if 1: import fastmem.codecs\n", 2),
        ("_core__x_pyx", "s = '''\n'''\nfrom fastmem.storage \\\n    import (a,\n b)\n", 3),
        ("_core__x_pyx", "f(1,\n  2)\nx = 1; from ..codecs import a  # why\n", 3),
        ("_core__x_pxd", "from fastmem.protocols cimport thing\n", 1),
        ("_core__x_pyi", "from fastmem.codecs import Codec\n", 1),
        ("errors__x_py", "import fastmem.protocols\n", 1),
        ("leaks__x_py", "import fastmem.compression\n", 1),
        ("integrations__x_py", "import fastmem.cli\n", 1),
        ("session__x_py", "from fastmem.session.y import a\n", 1),
        ("helper_py", "import fastmem.errors\n", 1),
    ],
)
def test_a_planted_violation_is_found(tmp_path: Path, name: str, text: str, line: int) -> None:
    other = {"session__y_py": ""} if name.startswith("session") else {}
    (found,) = violations(plant(tmp_path, **{name: text}, **other))
    assert f":{line}: " in found


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("memory__x_py", "from fastmem.storage import a\nfrom fastmem._core.l1 import L1Cache\n"),
        ("memory__x_py", "'''from fastmem.cli import main'''\n# import fastmem.cli\n"),
        ("cli__x_py", "from fastmem import TieredMemorySystem\n"),
        ("demo_py", "from fastmem import cli\n"),
        ("_core__x_pyx", "from . cimport table\nfrom .table cimport find as f, drop\n"),
        ("_core__x_pyx", "from fastmem.errors import ClosedError\ncimport cython\n"),
        ("_core__x_pyx", 'd = """\nfrom fastmem.cli import main\n"""\n# import fastmem.cli\n'),
        ("_core__x_pyx", "c = c'\\''  # '\nb = b\"from\"\nimported = 1\nfrom_x = 2\n"),
        ("_core__x_pyx", 'cdef extern from "x.h" nogil:\n    int import_x(int) noexcept\n'),
    ],
)
def test_a_proper_import_passes(tmp_path: Path, name: str, text: str) -> None:
    assert violations(plant(tmp_path, **{name: text})) == []


def test_cython_imports_are_read_to_the_name(tmp_path: Path) -> None:
    path = tmp_path / "x.pyx"
    path.write_text(
        "from libc.string cimport memcpy, memcmp as eq  # cimport nothing\n"
        "cimport numpy as np, cython\n"
        'def f(a=\'import x\',\n      b="""\nimport y\n"""):\n'
        "    from .keys import (\n        encode,\n    )\n"
    )
    read = [(item.module, item.line, item.lazy) for item in imports_of(path, "fastmem._core")]
    assert read == [
        ("libc.string.memcpy", 1, False),
        ("libc.string.memcmp", 1, False),
        ("numpy", 2, False),
        ("cython", 2, False),
        ("fastmem._core.keys.encode", 7, True),
    ]
