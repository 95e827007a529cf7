"""A directory where a file of a store should be is treated as a pipe there is."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.crash.directories import contents, open_archive, open_segments, open_tiers

OPENERS = pytest.mark.parametrize("opener", [open_archive, open_segments, open_tiers])
MAKES = pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])


def filled(top: Path, opener: Any) -> dict[Any, Any]:
    with opener(top) as store:
        for number in range(100):
            store.put(number, os.urandom(30_000))
        return contents(store)


@OPENERS
@MAKES
@pytest.mark.parametrize("name", ["index", "overflow", "new.index", "rebuilt.index"])
@pytest.mark.parametrize("read_only", [True, False])
def test_an_index_is_made_anew(
    private_tmp: Path, opener: Any, name: str, make: Callable[[Path], None], read_only: bool
) -> None:
    values = filled(private_tmp, opener)
    (index,) = private_tmp.glob("*/index")
    place = index.with_name(name)
    place.unlink(missing_ok=True)
    make(place)
    if name == "rebuilt.index":
        index.unlink()
    if make is os.mkdir:
        (place / "theirs").touch()
    for _ in range(2):
        with opener(private_tmp, read_only=read_only) as store:
            assert contents(store) == values
            store.check()
    if make is os.mkdir:
        assert (place if read_only else place.with_name(f"foreign.{name}")).is_dir()


@OPENERS
@MAKES
@pytest.mark.parametrize("lost", ["index", "nothing"])
@pytest.mark.parametrize("read_only", [True, False])
def test_a_segment_is_missed_and_set_aside(
    private_tmp: Path, opener: Any, make: Callable[[Path], None], lost: str, read_only: bool
) -> None:
    values = filled(private_tmp, opener)
    segments = sorted(private_tmp.glob("*/seg.*")) or sorted(private_tmp.glob("*/cold.*"))
    segment = segments[0]
    segment.unlink()
    make(segment)
    if lost == "index":
        next(private_tmp.glob("*/index")).unlink()
    with opener(private_tmp, read_only=read_only) as store:
        found = contents(store)
        assert len(found) < len(values)
        assert found.items() <= values.items()
    aside = segment.with_name(f"foreign.{segment.name}")
    assert os.path.lexists(segment if read_only else aside)
