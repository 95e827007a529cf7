"""A reader that comes while a store is being made finds a store, or hears that none is there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from fastmem import SegmentStore, StoreNotFoundError
from fastmem.storage.files import Directory
from tests.crash.directories import contents, open_archive, open_segments, open_tiers

STEPS = ("__init__", "open", "write", "rename", "publish", "create", "extend", "sync")


@pytest.mark.parametrize("opener", [open_segments, open_archive, open_tiers])
def test_after_every_step_of_the_first_writer(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch, opener: Any
) -> None:
    """A writer that died after any step with a file, in its first moments."""
    at = private_tmp / "made"
    seen: list[dict[str, str] | None] = []

    def look() -> None:
        copy = shutil.copytree(at, private_tmp / f"step-{len(seen)}") if at.exists() else at
        place = ""
        try:
            with opener(copy, read_only=True) as store:
                seen.append(contents(store))
        except StoreNotFoundError as error:
            seen.append(None)
            place = str(error.filename)
        assert place.startswith(str(copy)) or seen[-1] is not None

    with monkeypatch.context() as patched:

        def watch(name: str) -> None:
            step = getattr(Directory, name)

            def stepped(self: Directory, *args: Any, **options: Any) -> Any:
                result = step(self, *args, **options)
                if not self.read_only:
                    look()
                return result

            patched.setattr(Directory, name, stepped)

        look()
        for name in STEPS:
            watch(name)
        with opener(at) as store:
            store.put("k", "v")
    look()
    assert None in seen
    assert {} in seen
    assert seen[-1] == {"k": "v"}


def test_a_file_that_goes_away_under_a_reader(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_segments(private_tmp) as store:
        store.put("k", "v")
    listed = Directory.names
    monkeypatch.setattr(Directory, "names", lambda self: [*listed(self), "seg.7"])
    with pytest.raises(StoreNotFoundError, match=r"seg\.7") as caught:
        SegmentStore(private_tmp / "l2", budget_bytes=16 << 20, read_only=True)
    assert caught.value.filename == str(private_tmp / "l2")
    monkeypatch.undo()
    assert "seg.0" in os.listdir(private_tmp / "l2")
