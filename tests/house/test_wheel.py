"""sdist and wheel hold what they should, and the wheel works where there is no compiler.

Slow (it compiles everything and downloads the dependencies), so only ``-m packaging`` runs it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.house.build_log import complaints, translated
from tests.house.tree import PACKAGE, ROOT, units

pytestmark = [pytest.mark.packaging, pytest.mark.timeout(900)]

COMPILERS = ("cc", "gcc", "g++", "c99", "clang", "tcc", "icx")
USE = """
import importlib, pathlib, sys
import fastmem
assert not pathlib.Path(fastmem.__file__).is_relative_to(sys.argv[1]), fastmem.__file__
for unit in sys.argv[2:]:
    module = importlib.import_module(f"fastmem._core.{unit}")
    assert module.__file__.endswith(".so"), module.__file__
values = {f"key:{n}": {"n": n, "text": "x" * 1000} for n in range(2000)}  # twice what L1 holds
for write in (True, False):
    with fastmem.TieredMemorySystem(1, "warm", "cold") as memory:
        for key, value in values.items():
            if write:
                memory.put(key, value)
        assert all(memory.get(key) == value for key, value in values.items())
"""


class Built(NamedTuple):
    """One build of the project: the two archives and what the build said."""

    sdist: Path
    wheel: Path
    log: str


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The archives, the wheel built out of the sdist as an installer would."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    (sdist,) = out.glob("*.tar.gz")
    (wheel,) = out.glob("*.whl")
    return Built(sdist, wheel, done.stdout)


def package_files(*suffixes: str) -> set[str]:
    found = (path.relative_to(ROOT).as_posix() for path in PACKAGE.rglob("*"))
    return {name for name in found if name.endswith(suffixes)}


def test_build_says_nothing_about_slow_code(built: Built) -> None:
    assert translated(built.log) == set(units())
    assert complaints(built.log) == []


def test_sdist_holds_the_sources_and_no_generated_c(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    expected = package_files(".py", ".pyi", ".pyx", ".pxd", ".h", "py.typed", ".md")
    assert expected - names == set()
    for folder in ("docs", ".ci"):  # which README and CONTRIBUTING name
        assert {path.relative_to(ROOT).as_posix() for path in (ROOT / folder).iterdir()} <= names
    assert {"pyproject.toml", "setup.py", "LICENSE", "README.md", "CHANGELOG.md"} <= names
    assert [name for name in names if name.endswith((".c", ".so", ".pyc"))] == []


def test_wheel_holds_code_and_types_and_no_sources(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        names = set(archive.namelist())
    assert package_files(".py", ".pyi", ".pxd", "py.typed", ".md") - names == set()
    compiled = {name for name in names if name.endswith(".so")}
    assert {Path(name).name.partition(".")[0] for name in compiled} == set(units())
    assert len(compiled) == len(units())
    assert [name for name in names if name.endswith((".c", ".pyx", ".pyc"))] == []
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"fastmem"}


def test_wheel_works_without_a_compiler(built: Built, tmp_path: Path) -> None:
    home = tmp_path / "venv"
    venv.create(home, with_pip=True)
    path = str(home / "bin")
    assert [name for name in COMPILERS if shutil.which(name, path=path)] == []
    kept = {name: value for name, value in os.environ.items() if name not in ("CC", "PYTHONPATH")}
    environment = {**kept, "PATH": path}

    def run(program: str, *arguments: str) -> str:
        done = subprocess.run(
            [str(home / "bin" / program), *arguments],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    run("python", "-m", "pip", "install", "--quiet", str(built.wheel))
    run("python", "-m", "pip", "check")
    run("python", "-c", USE, str(ROOT), *units())
    assert built.wheel.name.split("-")[1] in run("fastmem", "--version")
