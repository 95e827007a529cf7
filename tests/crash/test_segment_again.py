"""A segment that an interrupted call has made already is mapped, and no second one begun."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fastmem._core.log import WARM
from fastmem.storage.files import Directory
from tests.crash.directories import engine_of, open_segments


def test_no_second_file_is_begun(private_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def begun(self: Directory, name: str, size: int, head: bytes) -> None:
        raise AssertionError(f"{name} is made a second time")

    with open_segments(private_tmp) as store:
        store.put("k", "v")
        segments = engine_of(store).files.segments(WARM)
        monkeypatch.setattr(Directory, "create", begun)
        mapping = segments.create(0)
        assert mapping.size == segments.segment_bytes
        assert segments.numbers == [0]
        assert not [name for name in os.listdir(private_tmp / "l2") if name.startswith("new.")]
        mapping.close()
        assert store.get("k") == "v"
