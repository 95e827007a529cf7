"""What the compiler says of layout.h is what FORMAT.md says."""

from __future__ import annotations

import pytest

from fastmem._core import layout


@pytest.mark.parametrize(
    ("structure", "first", "last", "form", "at"),
    [
        ("super", "magic", "check", "<8sII16sQQQ", 0),
        ("super", "boot_id", "clean", "<16sQQ16sQQ", 64),
        ("super", "tail", "cold_synced", "<QQQQQQ", 192),
        ("super", "anchor_wall_ns", "clock_check", "<qqqQ", 320),
        ("super", "key_check", "key_sum", "<16sQ", 384),
        ("index", "magic", "digest", "<8sII16sQQQ", 0),
        ("index", "overflow_next", "overflow_next", "<Q", 144),
        ("segment", "magic", "check", "<8sII16sQQQQ", 0),
        ("value", "magic", "check", "<8sIIQQQQ", 0),
        ("pointer", "id", "checksum", "<QQQ", 0),
        ("dictionary", "magic", "checksum", "<8sIIQQ", 0),
    ],
)
def test_the_page_and_the_compiler_agree(
    structure: str, first: str, last: str, form: str, at: int
) -> None:
    assert layout.form(structure, first, last) == form
    assert layout.offset(structure, first) == at


@pytest.mark.parametrize(("structure", "field"), [("super", "salt2"), ("page", "salt")])
def test_a_field_that_is_not_there(structure: str, field: str) -> None:
    with pytest.raises(KeyError, match=f"fm_{structure}.{field}"):
        layout.offset(structure, field)
