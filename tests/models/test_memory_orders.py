"""Every execution that the C11 memory model allows: x86 hides a missing acquire or release."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.house.tree import CORE
from tests.models.explorer import ATOMICS, RELACY, build_orders, reorder, require

require("g++", RELACY)

SCENES = ["put", "lock", "coherent", "readers", "split", "chain", "snapshot", "wake"]
RACE = "data race detected"
OLDER = "assertion: word == B"
HELD = "assertion: fm_load_relaxed(&home.version) != 0"
MISSED = "assertion: fm_load_relaxed(&directory) != now"
LINKED = "assertion: fm_load_acquire(&spill.slot[0]) == A"
TORN = "assertion: word[0] == word[1]"
ASLEEP = "assertion: !sleeps($) || woken($)"
BUGS = [
    ("put", "SLOT_RELAXED", RACE),
    ("put", "SLOT_READ_RELAXED", RACE),
    ("lock", "LOCK_RELAXED", RACE),
    ("lock", "UNLOCK_RELAXED", RACE),
    ("coherent", "VERSION_RELAXED", OLDER),
    ("coherent", "VERSION_AFTER", OLDER),
    ("coherent", "EVEN_RELAXED", OLDER),
    ("readers", "BUSY_LATE", HELD),
    ("readers", "SLOT_RELAXED", HELD),
    ("readers", "SLOT_READ_RELAXED", HELD),
    ("split", "DIRECTORY_FIRST", MISSED),
    ("split", "DIRECTORY_RELAXED", MISSED),
    ("split", "DIRECTORY_READ_RELAXED", MISSED),
    ("split", "DROP_RELAXED", MISSED),
    ("split", "SLOT_READ_RELAXED", MISSED),
    ("split", "MISS_AT_ONCE", 'assertion: !planted("MISS_AT_ONCE")'),
    ("chain", "SLOT_RELAXED", LINKED),
    ("chain", "SLOT_READ_RELAXED", LINKED),
    ("chain", "BOUND_LATE", "assertion: (word & (LINK - 1)) < fm_load_relaxed(&overflow_next)"),
    ("snapshot", "STORES_RELAXED", TORN),
    ("snapshot", "LOADS_RELAXED", TORN),
    ("wake", "UNLOCK_UNFENCED", ASLEEP),
    ("wake", "SLEEP_UNFENCED", ASLEEP),
]


@pytest.fixture(scope="module")
def orders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_orders(tmp_path_factory.mktemp("orders"), ATOMICS.read_text())


@pytest.mark.parametrize("scene", SCENES)
def test_no_execution_breaks_it(orders: Path, scene: str) -> None:
    assert reorder(orders, scene) is None


def test_fences_do_as_well(orders: Path) -> None:
    assert reorder(orders, "snapshot", "BY_FENCES") is None


@pytest.mark.parametrize(
    ("scene", "bug", "broken"), [pytest.param(*row, id=f"{row[0]}: {row[1]}") for row in BUGS]
)
def test_a_planted_bug_is_found(orders: Path, scene: str, bug: str, broken: str) -> None:
    assert reorder(orders, scene, bug) == broken


def test_the_header_itself_is_explored(tmp_path: Path) -> None:
    relaxed, count = re.subn(
        r"(store_n.*)__ATOMIC_RELEASE", r"\1__ATOMIC_RELAXED", ATOMICS.read_text()
    )
    assert count == 1
    orders = build_orders(tmp_path, relaxed)
    broken = [scene for scene in SCENES if reorder(orders, scene)]
    assert broken == ["put", "coherent", "readers", "split", "chain", "snapshot"]


# What orders.cpp, table.pml and log.pml transcribe. Who changes it changes them.
TRANSCRIBED = {
    "store_slot": ["fm_store_release head.redo_armed"],
    "apply_redo": [
        "fm_load_relaxed home.version",
        "fm_store_release home.version",
        "fm_store_relaxed head.overflow_next",
        "fm_store_release slot",
        "fm_store_release home.version",
        "fm_store_release head.redo_armed",
    ],
    "split_one": [
        "fm_load_relaxed index.buckets[old].version",
        "fm_store_relaxed index.head.overflow_next",
        "fm_store_release index.head.directory",
        "fm_store_release index.head.directory",
    ],
    "drop_moved": [
        "fm_load_relaxed index.buckets[home].version",
        "fm_store_release index.buckets[home].version",
        "fm_store_release cursor.bucket.slot[cursor.slot]",
        "fm_store_release index.buckets[home].version",
    ],
}


@pytest.mark.parametrize("function", TRANSCRIBED)
def test_the_index_takes_the_steps_that_are_transcribed(function: str) -> None:
    text = (CORE / "index.pyx").read_text()
    body = re.search(rf"\ncdef [^\n]*\b{function}\(.*?(?=\n\n\n)", text, re.DOTALL)
    assert body
    steps = re.findall(r"(fm_(?:load|store|swap)_\w+)\(&?([\w.\[\]]+)", body[0])
    assert [f"{operation} {word}" for operation, word in steps] == TRANSCRIBED[function]
