"""Segments that somebody removed by hand while processes have the store open: a clear error for who
would have to finish a dead one's work there, and reads go on.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from fastmem import StoreError
from fastmem._core.keys import encode_key
from fastmem._core.log import WARM
from tests.children import forked
from tests.crash.directories import engine_of, open_segments, open_tiers
from tests.processes.deaths import put_half

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def begin_segment(store: Any) -> None:
    """Put until the log has come to the next segment."""
    files, count = engine_of(store).files, 0
    before = files.tail_segment(WARM)
    while files.tail_segment(WARM) == before:
        count += 1
        store.put(("filler", count), os.urandom(50_000))


def archive(store: Any) -> None:
    assert engine_of(store).archive_put(encode_key("half"), 2, b"older", 0)


def test_the_one_that_a_dead_process_wrote_to(private_tmp: Path) -> None:
    with open_segments(private_tmp) as store:
        store.put("k", 1)
        put_half(private_tmp, "half", 1, first=begin_segment)
        (private_tmp / "l2/seg.1").unlink()
        for _ in range(2):
            with pytest.raises(StoreError, match=r"segment 1 .* removed") as caught:
                store.put("k", 2)
            assert caught.value.errno == errno.ENOENT
            assert caught.value.filename == str(private_tmp / "l2/seg.1")
            assert store.get("k") == 1
            assert store.get("half") is None
    with open_segments(private_tmp) as store:
        assert store.get("k") == 1
        store.put("k", 2)
        store.check()


def test_the_one_that_holds_what_a_dead_process_replaced(private_tmp: Path) -> None:
    with open_tiers(private_tmp) as memory:
        memory.put("k", 1)
        put_half(private_tmp, "half", 1, open_tiers, archive)
        (private_tmp / "l3/cold.0").unlink()

        def work() -> str:
            for _ in range(2):
                assert memory.peek("k") == 1
                with pytest.raises(StoreError, match=r"segment 0 .* removed") as caught:
                    memory.put("k", 2)
                assert caught.value.errno == errno.ENOENT
                assert caught.value.filename == str(private_tmp / "l3/cold.0")
                assert memory.peek("k") == 1
                assert memory.peek("half") is None
            return "done"

        assert forked(work) == "done"
    with open_tiers(private_tmp) as memory:
        assert memory.get("k") == 1
        memory.put("k", 2)
        memory.check()
