"""What CI claims to have run, it has run."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib

from tests.house.tree import ROOT


def test_a_python_that_is_not_there_fails_the_run_at_once() -> None:
    done = subprocess.run(
        [ROOT / ".ci" / "run"],
        env={**os.environ, "FASTMEM_CI_ALSO": "3.99"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert "Python 3.99" in done.stderr
    assert "==" not in done.stdout  # nothing was begun


def test_the_versions_that_are_claimed_are_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    claimed = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    told = re.search(r"Python (3\.\d+) to (3\.\d+)", (ROOT / "README.md").read_text())
    assert told
    assert (claimed[0], claimed[-1]) == told.groups()
    run = (ROOT / ".ci" / "run").read_text()
    also = re.search(r"FASTMEM_CI_ALSO-([\d. ]+)\}", run)
    assert also
    assert f"python=python{claimed[0]}\n" in run
    assert also[1].split()[-1] == claimed[-1]
