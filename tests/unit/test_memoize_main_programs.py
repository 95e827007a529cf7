"""Functions of main programs that share a directory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys
from fastmem import TieredMemorySystem, memoize

with TieredMemorySystem(1, *sys.argv[1:3], l2_size_mb=16) as memory:
    @memoize(memory)
    def price(x):
        return x * FACTOR
    print(price(3), price.cache_info().misses)
"""


def run(*command: str, places: tuple[Path, Path], cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, *command, *map(str, places)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=cwd,
    )
    return done.stdout if done.returncode == 0 else done.stderr


def test_each_program_has_its_own_results(places: tuple[Path, Path], tmp_path: Path) -> None:
    for name, factor in (("two", 2), ("hundred", 100)):
        (tmp_path / f"{name}.py").write_text(PROGRAM.replace("FACTOR", str(factor)))
    for misses in (1, 0):
        for name, result in (("two", 6), ("hundred", 300)):
            found = run(str(tmp_path / f"{name}.py"), places=places, cwd=tmp_path)
            assert found == f"{result} {misses}\n"
    assert run("-m", "two", places=places, cwd=tmp_path) == "6 1\n"


def test_what_has_no_file_has_no_name(places: tuple[Path, Path], tmp_path: Path) -> None:
    found = run("-c", PROGRAM.replace("FACTOR", "2"), places=places, cwd=tmp_path)
    assert "no name that outlives the process" in found
