"""A value file with a damaged header stays, with its value, while a record leads to it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.crash.directories import open_archive, open_segments, open_tiers, patch

LARGE = os.urandom(300_000)


@pytest.mark.parametrize("at", [20, 49])  # in the header; in the key after it
@pytest.mark.parametrize("opener", [open_segments, open_archive, open_tiers])
def test_a_rebuild_keeps_the_value(private_tmp: Path, opener: Any, at: int) -> None:
    with opener(private_tmp) as store:
        store.put("k", LARGE)
    (path,) = private_tmp.rglob("val.*")
    patch(path, at, b"?")
    path.with_name("val.0123456789abcdef").write_bytes(bytes(400_000))  # left by a power loss
    for index in private_tmp.glob("*/index"):
        index.unlink()
    for _ in range(2):
        with opener(private_tmp) as store:
            assert store.get("k") == LARGE
            store.check()
    assert list(private_tmp.rglob("val.*")) == [path]
    with opener(private_tmp) as store:
        store.delete("k")
        store.flush()
    assert list(private_tmp.rglob("val.*")) == []
