"""What CI claims to have run, it has run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("uid", [0, 1000])
def test_tools_of_the_models_are_installed_or_missed_by_name(tmp_path: Path, uid: int) -> None:
    used = ("bash", "dirname", "env", "mktemp", "python3.11", "realpath", "rm", "gcc", "g++")
    for name in used:
        where = shutil.which(name)
        assert where
        (tmp_path / name).symlink_to(where)
    fakes = {
        "id": f"echo {uid}",
        "sudo": 'shift; echo "as root" >>"$0.log"; exec "$@"',
        "apt-get": 'echo "$*" >>"$0.log"',  # and installs nothing
    }
    for name, script in fakes.items():
        (tmp_path / name).write_text(f"#!{tmp_path}/bash\n{script}\n")
        (tmp_path / name).chmod(0o700)
    done = subprocess.run(
        [ROOT / ".ci" / "run"],
        env={**os.environ, "PATH": str(tmp_path), "FASTMEM_CI_ALSO": ""},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert re.search(r"models need .*\bspin\b", done.stderr)
    assert "==" not in done.stdout
    asked = (tmp_path / "apt-get.log").read_text()
    assert re.match(r"-qq install -y --no-install-recommends spin\b", asked)
    assert (tmp_path / "sudo.log").exists() == (uid != 0)


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
