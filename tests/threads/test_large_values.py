"""Large values replaced by threads at once: every file has its record, every byte counts."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from fastmem import SegmentStore
from tests.crash.directories import BUDGET, engine_of
from tests.crowd import together


@pytest.mark.usefixtures("eager_switches")
def test_threads_replacing_one_large_value(private_tmp: Path) -> None:
    with SegmentStore(private_tmp / "l2", budget_bytes=BUDGET) as store:

        def put(me: int) -> None:
            for number in range(120):
                store.put("k", bytes([me, number]) * 140_000)

        assert together(partial(put, me) for me in range(4)) == []
        store.put("settles", 1)
        store.check()
        values = engine_of(store).files.warm_values
        assert len(values.numbers()) == 1
        assert values.pending == values.leaving == {}
