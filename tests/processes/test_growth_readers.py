"""A reader beside a process under whose puts index and log grow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from fastmem import SegmentStore

BUDGET = 64 << 20
OLD, NEW = 2000, 250_000
FILL = """
import sys
from fastmem import SegmentStore
with SegmentStore(sys.argv[1], budget_bytes={budget}) as store:
    before = store._engine.files.index_bytes
    for number in range({new}):
        store.put(number, b"%d" % number)
    print(store._engine.files.index_bytes - before)
"""


def test_a_reader_finds_every_value_while_the_store_grows(private_tmp: Path) -> None:
    with SegmentStore(private_tmp, budget_bytes=BUDGET) as store:
        store.update({("old", number): number for number in range(OLD)})
        script = FILL.format(budget=BUDGET, new=NEW)
        writer = subprocess.Popen(
            [sys.executable, "-c", script, private_tmp], stdout=subprocess.PIPE, text=True
        )
        reached = rounds = 0
        while writer.poll() is None:
            rounds += 1
            at = rounds * 7 % OLD
            assert store.get(("old", at)) == at
            while reached < NEW and store.get(reached) is not None:  # in order: none is missed
                assert store.get(reached) == b"%d" % reached
                reached += 1
        said, _ = writer.communicate()
        assert writer.returncode == 0
        assert int(said) > 2 << 20  # in several steps
        assert rounds > 1
        assert reached > 0
        assert all(store.get(number) == b"%d" % number for number in range(0, NEW, 11))
        assert all(store.get(("old", number)) == number for number in range(OLD))
        store.check()
