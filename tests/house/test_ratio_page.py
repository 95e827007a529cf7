"""docs/ratios.md is a full run over the rows that the code has, and README quotes it."""

from __future__ import annotations

import re
from typing import NamedTuple

import pytest

from benchmarks import ratios
from tests.house.tree import ROOT

PAGE = (ROOT / "docs" / "ratios.md").read_text(encoding="utf-8")
README = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())


class Line(NamedTuple):
    row: str
    fastmem: str
    spread: str
    against: str
    ratio: str
    bar: str
    verdict: str
    peers: str


LINES = [
    Line(*(cell.strip() for cell in line.strip("|").split("|")))
    for line in PAGE.splitlines()
    if re.match(r"\| l\d|\| tiered", line)
]


def quoted(number: str) -> str:
    """As README quotes: two digits."""
    return f"{float(number):.2g}"


def of(row: str, peer: str = "") -> str:
    """The median of fastmem, or of one of its peers, in the first line of a row."""
    line = next(line for line in LINES if line.row == row)
    if not peer:
        return quoted(line.fastmem.split()[0])
    medians = dict(part.rsplit(" ", 1) for part in line.peers.split("; "))
    return quoted(medians[peer])


def test_the_page_has_the_rows_of_the_code() -> None:
    assert list(dict.fromkeys(line.row for line in LINES)) == [row.name for row in ratios.ROWS]
    assert " full run, commit " in PAGE


@pytest.mark.parametrize(
    "sentence",
    [
        f"{of('l1.get.hot')} ns against {of('l1.get.hot', 'dict.get')} for a bare `dict.get`",
        f"and {of('l1.get.hot', 'cachebox LRU')} for the fastest other cache",
        f"in {of('l2.get.1KB')} us: as lmdb ({of('l2.get.1KB', 'lmdb')}, a transaction a read",
        f"a 200-byte dict in {of('tiered.put.dict')} us",
        f"frames {of('l3.ratio')} times smaller (zlib-9: {of('l3.ratio', 'zlib-9')})",
        f"files {of('l3.ratio.disk')} times, {of('l3.get')} us a random read",
    ],
)
def test_readme_quotes_the_page(sentence: str) -> None:
    assert sentence in README
