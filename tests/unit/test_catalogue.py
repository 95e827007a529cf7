"""The catalogue: sorted by key and by time, in units that its names tell."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastmem import Archive


def test_a_catalogue_tells_sizes_and_times_in_seconds(private_tmp: Path) -> None:
    before = int(time.time())
    with Archive(private_tmp / "l3") as archive:
        archive.put("b/1", "x" * 1000)
        archive.put("a/2", b"y" * 10, ttl_seconds=3600)
        archive.put("a/1", b"")
        catalogue = archive.catalogue()
        after = int(time.time())
        assert catalogue.check() == []
        assert len(catalogue) == 3
        assert {entry.key for entry in catalogue} == {"a/1", "a/2", "b/1"}
        first, second = catalogue.with_prefix("a/")
        assert (first.key, first.size_bytes, first.deadline_s) == ("a/1", 0, None)
        assert (second.key, second.size_bytes) == ("a/2", 10)
        assert second.deadline_s is not None
        assert before + 3590 < second.deadline_s < after + 3610
        assert all(before <= entry.archived_s <= after for entry in catalogue)
        assert len(list(catalogue.between(before, after + 1))) == 3
        assert list(catalogue.between(0, before)) == []
        archive.check()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda catalogue: catalogue._sizes.pop(), "columns of"),
        (lambda catalogue: catalogue._keys.reverse(), "order by key is none"),
        (lambda catalogue: catalogue._archived_s.__setitem__(0, 1 << 31), "order by time is none"),
        (lambda catalogue: catalogue._keys.__setitem__(0, catalogue._keys[1]), "stand there twice"),
    ],
)
def test_a_check_sees_a_spoilt_catalogue(
    private_tmp: Path, spoil: Callable[[Any], object], says: str
) -> None:
    with Archive(private_tmp / "l3") as archive:
        archive.update({f"key-{number}": number for number in range(20)})
        catalogue = archive.catalogue()
        assert catalogue.check() == []
        spoil(catalogue)
        assert says in "; ".join(catalogue.check())


def test_a_check_sees_spoilt_dictionaries(private_tmp: Path) -> None:
    with Archive(private_tmp / "l3") as archive:
        dictionaries = archive._engine.cold.dictionaries
        for name, value, says in (
            ("linked_bytes", 4096, "dictionaries take 0 bytes, not 4,096"),
            ("_last", 2, "the last is 2"),
            ("current", 1, "1 compresses"),
        ):
            archive.check()
            real = getattr(dictionaries, name)
            setattr(dictionaries, name, value)
            with pytest.raises(AssertionError, match=says):
                archive.check()
            setattr(dictionaries, name, real)
