"""The interpreter ends with stores open: one that cannot be closed is logged, the others are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fastmem import TieredMemorySystem
from tests.crash.directories import CLEAN_AT, word

SCRIPT = """
import sys, fastmem
from fastmem.storage.engine import Engine
{kind} = {name}
close, refused = {kind}.close, []
def refusing(self):
    if not refused:
        refused.append(self)
        raise RuntimeError("not this one")
    close(self)
{kind}.close = refusing
kept = []
for i in range(4):
    place = sys.argv[1] + "/" + str(i)
    kept.append(fastmem.TieredMemorySystem(1, place + "/l2", place + "/l3", l2_size_mb=16,
                                           durability="cache"))
    kept[-1]["k"] = i
"""


@pytest.mark.parametrize(
    ("kind", "name"), [("Memory", "fastmem.TieredMemorySystem"), ("Engine", "Engine")]
)
def test_one_failure_leaves_no_other_store_open(private_tmp: Path, kind: str, name: str) -> None:
    for i in range(4):
        (private_tmp / str(i)).mkdir(mode=0o700)
    script = SCRIPT.format(kind=kind, name=name)
    done = subprocess.run(
        [sys.executable, "-c", script, str(private_tmp)],
        timeout=60, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert "not closed at exit" in done.stderr
    assert "not this one" in done.stderr
    assert "Exception ignored" not in done.stderr
    found = []
    for i in range(4):
        place = private_tmp / str(i)
        clean = word(place / "l2" / "super", CLEAN_AT)
        with TieredMemorySystem(1, place / "l2", place / "l3", l2_size_mb=16) as memory:
            found.append((bool(clean), memory.get("k") == i))
    # What only L1 held is lost where its memory could not be closed; its engine is closed after it.
    assert found.count((True, True)) == 3 + (kind == "Engine")


HANDLER = """
import atexit, sys
import fastmem
@atexit.register
def save():
    memory["said"] = "at exit"
place = sys.argv[1]
memory = fastmem.TieredMemorySystem(1, place + "/l2", place + "/l3", l2_size_mb=16)
"""


def test_a_handler_of_the_user_comes_before(private_tmp: Path) -> None:
    """One that was registered after ``import fastmem`` finds its memory open."""
    done = subprocess.run(
        [sys.executable, "-c", HANDLER, str(private_tmp)],
        timeout=60, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stderr == ""
    with TieredMemorySystem(1, private_tmp / "l2", private_tmp / "l3", l2_size_mb=16) as memory:
        assert memory["said"] == "at exit"
