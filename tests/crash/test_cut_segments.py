"""A store with a segment whose file was cut: what is there is synced like all else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.crash.directories import contents, open_archive, open_segments, open_tiers


@pytest.mark.parametrize("size", [4096, (1 << 20) - 1])
@pytest.mark.parametrize("opener", [open_segments, open_archive, open_tiers])
def test_it_can_be_flushed(private_tmp: Path, opener: Any, size: int) -> None:
    with opener(private_tmp) as store:
        for i in range(200):
            store.put(i, os.urandom(100_000))
    oldest = min([*private_tmp.rglob("seg.*"), *private_tmp.rglob("cold.*")])
    os.truncate(oldest, size)
    with opener(private_tmp) as store:
        left = contents(store)
        store.put("more", 1)
        store.flush()
        store.flush()
    with opener(private_tmp) as store:
        assert contents(store) == {**left, "more": 1}
