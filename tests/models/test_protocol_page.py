"""docs/protocol.md says of each bug that is planted what it breaks, and names no other."""

from __future__ import annotations

import re
from pathlib import Path

from tests.house.tree import ROOT

HERE = Path(__file__).parent
NAMED = re.compile(r"\b[A-Z]+(?:_[A-Z]+)+\b|\bBLINDLY\b")
PROSE = re.sub(r"`[^`\n]+`", "", (ROOT / "docs" / "protocol.md").read_text())
TOLD = set(NAMED.findall(PROSE))


def test_the_page_knows_every_planted_bug() -> None:
    planted = {
        name
        for path in HERE.glob("test_*.py")
        for name in re.findall(
            r'^    (?:\("\w+", )?"([A-Z_]{5,})"[:,]', path.read_text(), re.MULTILINE
        )
    }
    assert len(planted) > 30
    assert planted - TOLD == set()


def test_the_models_know_every_bug_of_the_page() -> None:
    models = "".join(path.read_text() for path in HERE.iterdir() if path.suffix in {".pml", ".cpp"})
    assert {name for name in TOLD if not re.search(rf"\b{name}\b", models)} == set()
