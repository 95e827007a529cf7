"""FORMAT.md cannot drift: its tables are what the compiler makes of layout.h."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import fastmem
from fastmem._core import layout

PAGE = (Path(fastmem.__file__).parent / "storage" / "FORMAT.md").read_text()
STRUCTURES = set(re.findall(r"^} fm_(\w+);", (
    Path(fastmem.__file__).parent / "_core" / "layout.h"
).read_text(), re.MULTILINE))  # fmt: skip
ROW = re.compile(r"^\| (\d+) \| (\d+) \| (\S+) \|", re.MULTILINE)
TABLE = re.compile(r"^### [^\n]*`fm_(\w+)`\n(.*?)(?=^#|\Z)", re.MULTILINE | re.DOTALL)
TABLES = {
    structure: [(name, int(offset), int(size)) for offset, size, name in ROW.findall(rows)]
    for structure, rows in TABLE.findall(PAGE)
}


def test_every_structure_has_its_table() -> None:
    assert set(TABLES) == STRUCTURES


@pytest.mark.parametrize("structure", sorted(STRUCTURES))
def test_a_table_is_what_the_compiler_lays_out(structure: str) -> None:
    assert TABLES[structure] == layout.fields(structure)
    end = 0
    for _name, offset, size in TABLES[structure]:
        assert offset == end  # no byte that nobody tells of
        end += size


def test_constants() -> None:
    told = dict(re.findall(r"^\| ([A-Z0-9_]+) \| (\w+) \|$", PAGE, re.MULTILINE))
    assert {name: int(number, 0) for name, number in told.items()} == {
        name: number for name, number in vars(layout).items() if name.isupper()
    }


def test_the_page_tells_its_number() -> None:
    assert PAGE.startswith(f"# The files of L2 and L3, format {layout.FORMAT}\n")
