"""The log and the table of a shared directory: every interleaving, with death at every step.

Each model is explored as it stands, and once with each bug that can be planted in it, which has to
be found: a model that finds nothing proves nothing.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.models.explorer import NIGHTLY, require, search

require("spin", "gcc")

# What is there to interleave: writers and the operations of each, segments that are reclaimed (and
# evictions by that), gets without a lock, and processes that are killed.
LOG = {
    "a reader beside reclaim": "WRITERS=1 OPERATIONS=2 RECLAIMS=1 GETS=2 DEATHS=0",
    "a reader beside two writers": "WRITERS=2 OPERATIONS=1 RECLAIMS=0 GETS=2 DEATHS=1",
    "two readers": "WRITERS=1 OPERATIONS=1 RECLAIMS=0 GETS=2 READERS=2 DEATHS=0",
    "reclaim and a death": "WRITERS=1 OPERATIONS=3 RECLAIMS=1 GETS=0 DEATHS=1 EVICT",
    "writers and a death": "WRITERS=2 OPERATIONS=2 RECLAIMS=0 GETS=0 DEATHS=1",
}
LOG_NIGHTLY = {
    "a reader beside reclaim": "WRITERS=1 OPERATIONS=3 RECLAIMS=1 GETS=2 DEATHS=0",
    "a reader beside two writers": "WRITERS=2 OPERATIONS=2 RECLAIMS=0 GETS=2 DEATHS=0",
    "two readers": "WRITERS=1 OPERATIONS=2 RECLAIMS=0 GETS=2 READERS=2 DEATHS=0",
    "reclaim and two deaths": "WRITERS=1 OPERATIONS=4 RECLAIMS=2 GETS=0 DEATHS=2 EVICT",
    "writers, reclaim and a death": "WRITERS=2 OPERATIONS=2 RECLAIMS=1 GETS=0 DEATHS=1 EVICT",
}
OLDER = "(operation>=floor)"  # a get returned an older value than it had to
LOST = "( !(value)||"  # a rebuild finds a value, the index does not have it
LOG_BUGS = {
    "SLOT_TWICE": ("WRITERS=1 OPERATIONS=3 RECLAIMS=0 GETS=1 DEATHS=0", "at[word].key==key"),
    "VERSION_AFTER": ("WRITERS=1 OPERATIONS=2 RECLAIMS=0 GETS=2 DEATHS=0", OLDER),
    "WITHOUT_BUSY": ("WRITERS=1 OPERATIONS=2 RECLAIMS=0 GETS=2 READERS=2 DEATHS=0", OLDER),
    "REUSE_WITHOUT_LOCK": ("WRITERS=2 OPERATIONS=2 RECLAIMS=0 GETS=0 DEATHS=0", LOST),
    "TOMBSTONE_EARLY": ("WRITERS=1 OPERATIONS=4 RECLAIMS=2 GETS=0 DEATHS=0", LOST),
    "WITHOUT_RECOVER": ("WRITERS=2 OPERATIONS=1 RECLAIMS=0 GETS=0 DEATHS=1", "(slot[0]!=tail)"),
    "HEAD_LATE": ("WRITERS=1 OPERATIONS=3 RECLAIMS=1 GETS=0 DEATHS=1 EVICT", LOST),
    "UNLINK_FIRST": ("WRITERS=1 OPERATIONS=2 RECLAIMS=1 GETS=1 DEATHS=0", "(slot[(i-1)]!=word)"),
    "UNMAPPED_TAIL": ("WRITERS=2 OPERATIONS=2 RECLAIMS=0 GETS=0 DEATHS=1", "(slot[0]!=tail)"),
    "TAIL_FIRST": ("WRITERS=2 OPERATIONS=1 RECLAIMS=0 GETS=0 DEATHS=1", LOST),
}
TABLE = {
    "a reader": "WRITERS=1 OPERATIONS=3 GETS=1 DEATHS=0",
    "a death": "WRITERS=2 OPERATIONS=2 GETS=0 DEATHS=1",
}
TABLE_NIGHTLY = {
    "a reader": "WRITERS=1 OPERATIONS=4 GETS=2 DEATHS=0",
    "a death": "WRITERS=2 OPERATIONS=3 GETS=0 DEATHS=1",
    "a reader and a death": "WRITERS=1 OPERATIONS=3 GETS=1 DEATHS=1",
}
MISSED = "( !(floor)||(vanished[key]!=since))"  # a get missed what was there throughout
TABLE_BUGS = {
    "MISS_AT_ONCE": ("WRITERS=1 OPERATIONS=2 GETS=1 DEATHS=0", MISSED),
    "DIRECTORY_FIRST": ("WRITERS=1 OPERATIONS=2 GETS=1 DEATHS=0", MISSED),
    "DROP_FIRST": ("WRITERS=1 OPERATIONS=2 GETS=1 DEATHS=0", MISSED),
    "LINK_FIRST": ("WRITERS=1 OPERATIONS=3 GETS=1 DEATHS=0", MISSED),
    "BOUND_LATE": ("WRITERS=1 OPERATIONS=3 GETS=1 DEATHS=0", MISSED),
    "WITHOUT_RECOVER": ("WRITERS=2 OPERATIONS=2 GETS=0 DEATHS=1", "(home==("),
}
RIGHT = [
    pytest.param(model, scene, id=f"{model}: {name}")
    for model, scenes in (
        ("log.pml", LOG_NIGHTLY if NIGHTLY else LOG),
        ("table.pml", TABLE_NIGHTLY if NIGHTLY else TABLE),
    )
    for name, scene in scenes.items()
]
BUGS = [
    pytest.param(model, bug, scene, broken, id=f"{model}: {bug}")
    for model, bugs in (("log.pml", LOG_BUGS), ("table.pml", TABLE_BUGS))
    for bug, (scene, broken) in bugs.items()
]


@pytest.mark.parametrize(("model", "scene"), RIGHT)
def test_no_interleaving_breaks_it(tmp_path: Path, model: str, scene: str) -> None:
    assert search(tmp_path, model, scene) is None


@pytest.mark.parametrize(("model", "bug", "scene", "broken"), BUGS)
def test_a_planted_bug_is_found(
    tmp_path: Path, model: str, bug: str, scene: str, broken: str
) -> None:
    found = search(tmp_path, model, scene, bug)
    assert found
    assert broken in found
