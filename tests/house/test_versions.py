"""One version number, wherever it is written."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import version

import fastmem
from tests.house.tree import ROOT

HEADING = re.compile(r"^## \[(\d[^\]]*)\]", re.MULTILINE)


def test_every_place_names_the_same_version() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    changelog = HEADING.findall((ROOT / "CHANGELOG.md").read_text())
    assert changelog[0] == declared
    assert getattr(fastmem, "__version__", declared) == declared
    assert version("fastmem") == declared, "installed from another version: pip install -e . again"
