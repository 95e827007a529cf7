"""Copies of one L2 are written in turn with the same L3: none trusts what it knew of that."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from fastmem import TieredMemorySystem
from tests.demotion import archive_warm


def opened(private_tmp: Path, name: str) -> TieredMemorySystem:
    return TieredMemorySystem(0.1, private_tmp / name, private_tmp / "l3", l2_size_mb=16)


def put_some(memory: TieredMemorySystem, name: str) -> None:
    for i in range(20):
        memory.put((name, i), os.urandom(1_000))
    archive_warm(memory)


def test_no_copy_overwrites_what_another_has_archived(private_tmp: Path) -> None:
    with opened(private_tmp, "l2") as memory:
        put_some(memory, "first")
    shutil.copytree(private_tmp / "l2", private_tmp / "copy")
    held: dict[object, object] = {}
    for name in ("copy", "l2", "copy", "l2"):
        with opened(private_tmp, name) as memory:
            assert {key: memory.peek(key) for key in held} == held
            put_some(memory, f"{name} {len(held)}")
            held |= memory.items()
            memory.check()
