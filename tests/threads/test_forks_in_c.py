"""What a child must not inherit it does not, whichever thread forks, and whatever others are at."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.house.tree import CORE

SOURCE = Path(__file__).with_name("forks.c")


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
@pytest.mark.parametrize("amid", ["note", "close"])
def test_a_thread_forks_while_another_is_at_it(tmp_path: Path, amid: str) -> None:
    program = tmp_path / "forks"
    options = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-pthread", f"-I{CORE}"]
    subprocess.run(["gcc", *options, "-o", program, SOURCE], check=True)
    done = subprocess.run([program, amid], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "0 0\n"  # no signal, no failure
