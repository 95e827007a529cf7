"""Which pair of `put_many` is refused is said beside what refused it, whatever its key is like."""

from __future__ import annotations

from typing import Any

import pytest

from fastmem import L1Cache


class Unprintable:
    def __repr__(self) -> str:
        raise ZeroDivisionError


class deque:  # noqa: N801 - reprlib goes by the name
    """Called as a container that it is not."""


@pytest.mark.parametrize(
    ("key", "named"),
    [
        ("c", "'c'"),
        ("c" * 500, "'ccc"),
        (Unprintable(), "<Unprintable"),
        (deque(), "<deque"),
        (10**5000, "<int"),  # more digits than an int may be written with
    ],
    ids=["short", "long", "unprintable", "misnamed", "huge"],
)
def test_put_many_names_the_pair_that_it_refuses(key: Any, named: str) -> None:
    cache = L1Cache(10_000, sizer=lambda value: value)
    with pytest.raises(ValueError, match="sizer") as raised:
        cache.put_many([("a", 2), ("b", 3), (key, -1)])
    (note,) = raised.value.__notes__
    assert note.startswith(f"put_many: pair 3, of the key {named}")
    assert note.endswith(", is refused; nothing is put")
    assert len(note) < 120
