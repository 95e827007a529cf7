"""Explorations to the end: of models in Promela by spin, of C11's reorderings by Relacy."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import PROFILE

HERE = Path(__file__).parent
ATOMICS = HERE.parents[1] / "fastmem" / "_core" / "atomics.h"
RELACY = Path("/usr/include/relacy/relacy.hpp")
NIGHTLY = PROFILE == "nightly"
# The compiler takes longer than most searches: only the long ones are worth optimised code.
OPTIMISED = "-O2" if NIGHTLY else "-O0"


def require(*tools: str | Path) -> None:
    """Skip the tests of this module, but in CI fail them, if one of these is missing."""
    missing = [
        str(tool)
        for tool in tools
        if not (tool.exists() if isinstance(tool, Path) else shutil.which(tool))
    ]
    if not missing:
        return
    reason = f"the models need Debian's spin, relacy-dev, gcc and g++: no {', '.join(missing)}"
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason, allow_module_level=True)


def call(at: Path, *command: str | Path) -> str:
    """What a program printed that has to succeed."""
    done = subprocess.run(command, cwd=at, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


def search(at: Path, model: str, scene: str, *bugs: str) -> str | None:
    """What the first execution found breaks, None when none does: every interleaving was tried."""
    text = (HERE / model).read_text()
    for bug in bugs:
        assert re.search(rf"\b{bug}\b", text), f"{model} knows no {bug}"
    defines = [f"-D{define}" for define in (*scene.split(), *bugs)]
    call(at, "spin", "-a", *defines, HERE / model)
    options = ["-w", "-DSAFETY", "-DVECTORSZ=2048", *(["-DCOLLAPSE"] if NIGHTLY else [])]
    call(at, "gcc", OPTIMISED, *options, "-o", "pan", "pan.c")
    told = call(at, "./pan", "-m1000000")
    assert "max search depth too small" not in told
    found = re.search(r"^pan:1: (.*) \(at depth \d+\)$", told, re.MULTILINE)
    if found:
        assert "errors: 1" in told
        return found[1]
    assert "errors: 0" in told, told
    assert "Search not completed" not in told
    return None


def build_orders(at: Path, atomics: str) -> Path:
    """The explorer of reorderings, around the text of the core's own operations."""
    words = re.sub(
        r"(?:const )?uint(64|32|8)_t \*(?:word|flag|byte)\b", r"shared\1_t *word", atomics
    )
    words = re.sub(r"\b(?:flag|byte)\b", "word", words)
    assert not re.search(r"uint\d+_t \*", words), "a pointer that is not to a shared word"
    (at / "words.h").write_text(words)
    # -w: Relacy is of 2019
    call(at, "g++", "-std=c++11", "-O0", "-w", "-I.", "-o", "orders", HERE / "orders.cpp")
    return at / "orders"


def reorder(orders: Path, scene: str, bug: str = "") -> str | None:
    """What the first execution found breaks, None when none does."""
    assert f'"{bug}"' in (HERE / "orders.cpp").read_text() or not bug, f"there is no {bug}"
    done = subprocess.run([orders, scene, bug], capture_output=True, text=True, check=False)
    assert not done.stderr
    found = re.search(r"^(?:DATA RACE|USER ASSERT FAILED) \((.*)\)$", done.stdout, re.MULTILINE)
    assert done.returncode == (1 if found else 0), done.stdout[-2000:]
    return found[1] if found else None
