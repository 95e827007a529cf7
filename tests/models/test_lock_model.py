"""The lock of a shared directory: every interleaving of takers, deaths, forks and time-outs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.models.explorer import NIGHTLY, require, search

require("spin", "gcc")

RIGHT = {
    "a death": "PROCESSES=2 OPERATIONS=2 DEATHS=1",
    "a slot used again, and a fork": "PROCESSES=3 DEATHS=1 FORKS=1",
    "threads of a process": "PROCESSES=2 THREADS=1 DEATHS=0",
    "without a death, wakes are enough": "PROCESSES=3 DEATHS=0 WITHOUT_TIMEOUT",
}
RIGHT_NIGHTLY = {
    "two deaths": "PROCESSES=4 DEATHS=2 FORKS=1",
    "two deaths, twice": "PROCESSES=3 OPERATIONS=2 DEATHS=2 FORKS=1",
    "threads of a process": "PROCESSES=2 THREADS=2 DEATHS=0",
}
ENTERED = "( !(holder)||dead[holder])"  # the lock was had beside one who had it and lived
WAITS = " !(nobody)"  # nobody else can go on, and still it is not to be had
ASLEEP = "invalid end state"
BUGS = {
    "BLINDLY": ("PROCESSES=3 DEATHS=1", ENTERED),
    "SLOT_ONLY": ("PROCESSES=3 DEATHS=2", ENTERED),
    "BYTE_ALONE": ("PROCESSES=3 DEATHS=1", WAITS),
    "OWN_BYTE": ("PROCESSES=2 THREADS=1 DEATHS=0", ENTERED),
    "WITHOUT_RECOVER": ("PROCESSES=3 DEATHS=1", "half_done"),
    "FREED_UNDONE": ("PROCESSES=3 DEATHS=1", "half_done"),
    "CHILD_KEEPS": ("PROCESSES=3 DEATHS=1 FORKS=1", WAITS),
    "WITHOUT_WAKE": ("PROCESSES=2 DEATHS=0 WITHOUT_TIMEOUT", ASLEEP),
    "SLEEP_UNASKED": ("PROCESSES=2 DEATHS=0 WITHOUT_TIMEOUT", ASLEEP),
    "WITHOUT_TIMEOUT": ("PROCESSES=3 DEATHS=1", ASLEEP),
}


@pytest.mark.parametrize(
    "scene",
    [pytest.param(how, id=name) for name, how in (RIGHT_NIGHTLY if NIGHTLY else RIGHT).items()],
)
def test_no_interleaving_breaks_it(tmp_path: Path, scene: str) -> None:
    assert search(tmp_path, "lock.pml", scene) is None


@pytest.mark.parametrize(
    ("bug", "scene", "broken"), [pytest.param(bug, *how, id=bug) for bug, how in BUGS.items()]
)
def test_a_planted_bug_is_found(tmp_path: Path, bug: str, scene: str, broken: str) -> None:
    found = search(tmp_path, "lock.pml", scene, bug)
    assert found
    assert broken in found


def test_what_unlock_would_be_if_living_holders_were_replaced(tmp_path: Path) -> None:
    """Who was replaced then lets a third in by a plain store; a swap keeps it to the two."""
    scene = "PROCESSES=3 DEATHS=1 BLINDLY FORGIVEN"
    assert search(tmp_path, "lock.pml", scene) == f"assertion violated {ENTERED}"
    assert search(tmp_path, "lock.pml", scene, "UNLOCK_BY_SWAP") is None
    assert search(tmp_path, "lock.pml", "PROCESSES=3 DEATHS=1 BLINDLY UNLOCK_BY_SWAP")
