"""What is shipped cites nothing that a stranger does not have: plans, issues, numbered laws."""

from __future__ import annotations

import re

from tests.house.tree import ROOT

OUTSIDE = re.compile(
    r"\b(?:DESIGN|API|ANCHORS|USERS|STYLE|SYNC|L2_PROTOCOL)\.md\b|\b(?:issue|law)s? \d",
    re.IGNORECASE,
)
PLACES = ("fastmem", "docs", "benchmarks", "tests", ".ci")
SUFFIXES = {".py", ".pyi", ".pyx", ".pxd", ".h", ".md", ".toml", ".txt", ""}


def test_nothing_outside_is_cited() -> None:
    files = [path for place in PLACES for path in (ROOT / place).rglob("*") if path.is_file()]
    files += [path for path in ROOT.iterdir() if path.is_file()]
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in files
        if path.suffix in SUFFIXES and path.name != "test_outside_names.py"
        for match in OUTSIDE.finditer(path.read_text(encoding="utf-8", errors="replace"))
    ]
    assert found == []
