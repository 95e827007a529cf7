"""Views in a forked child: good there for as long as it has them, whatever the parent does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fastmem import TieredMemorySystem
from tests.children import forked
from tests.crash.directories import open_segments
from tests.viewed import churn

SIZES = pytest.mark.parametrize("size", [5_000, 40_000, 300_000])


@SIZES
def test_a_child_reads_the_views_of_its_parent(private_tmp: Path, size: int) -> None:
    value = os.urandom(size)
    with open_segments(private_tmp) as store:
        store.put("k", value)
        store.put("array", np.frombuffer(value, np.uint8))
        views = [store.get_view("k"), store.get("array")]
        store.clear()
        churn(store)
        assert forked(lambda: [bytes(view) == value for view in views]) == "[True, True]"
        assert [bytes(view) for view in views] == [value, value]


@SIZES
def test_what_a_child_lets_go_its_parent_keeps(private_tmp: Path, size: int) -> None:
    value = os.urandom(size)
    with open_segments(private_tmp) as store:
        store.put("k", value)
        views = [store.get_view("k")]

        def let_go() -> int:
            store.close()
            views.clear()
            return Path("/proc/self/maps").read_text().count(str(private_tmp))

        assert forked(let_go) == "0"
        assert bytes(views[0]) == value
        assert bytes(store.get_view("k")) == value


def test_a_child_goes_on_with_views_of_its_own(private_tmp: Path) -> None:
    values = {size: os.urandom(size) for size in (5_000, 40_000, 300_000)}
    with open_segments(private_tmp) as store:
        store.update(values)
        for size in values:
            store.get_view(size)

        def look() -> list[bool]:
            store.put("child", b"child" * 9_000)
            same = [bytes(store.get_view(size)) == value for size, value in values.items()]
            return [*same, bytes(store.get_view("child")) == b"child" * 9_000]

        assert forked(look) == str([True] * 4)
        assert bytes(store.get_view("child")) == b"child" * 9_000


def test_views_of_a_memory_in_a_child(private_tmp: Path) -> None:
    with TieredMemorySystem(1, private_tmp / "a", private_tmp / "b", l2_size_mb=16) as memory:
        memory.put("k", b"abc" * 9_000)
        view = memory.get_view("k")
        assert forked(lambda: bytes(view) == b"abc" * 9_000) == "True"


def test_views_end_with_the_process_and_not_before(private_tmp: Path) -> None:
    """A store that closes at exit does not take the bytes from under what runs later."""
    with open_segments(private_tmp) as store:
        store.put("k", b"abc" * 9_000)
    script = (
        "import atexit, sys, fastmem\n"
        "kept = []\n"
        "atexit.register(lambda: print(bytes(kept[0][:3]), kept[1][:3].tolist()))\n"
        f"store = fastmem.SegmentStore({str(private_tmp / 'l2')!r}, budget_bytes=16 << 20)\n"
        "import numpy as np\n"
        "store.put('array', np.arange(9_000))\n"
        "kept += [store.get_view('k'), store.get('array')]\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert (done.stdout, done.stderr) == ("b'abc' [0, 1, 2]\n", "")
