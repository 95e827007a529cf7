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


def test_fields_with_a_gap_between_them_have_no_format() -> None:
    with pytest.raises(ValueError, match="fm_index has a gap after archive_opens"):
        layout.form("index", "archive_opens", "overflow_next")


@pytest.mark.parametrize(("structure", "field"), [("super", "spare2"), ("record", "klen")])
def test_a_field_that_is_not_told(structure: str, field: str) -> None:
    with pytest.raises(KeyError, match=f"fm_{structure}.{field}"):
        layout.offset(structure, field)
