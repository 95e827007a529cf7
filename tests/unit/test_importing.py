"""What `import fastmem` brings in, and when."""

from __future__ import annotations

import subprocess
import sys

import pytest

import fastmem


def modules_after(program: str) -> set[str]:
    ran = subprocess.run(
        [sys.executable, "-c", f"{program}\nimport sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(ran.stdout.split())


def test_l1_brings_in_nothing_of_the_tiers_below_it() -> None:
    loaded = modules_after("from fastmem import L1Cache, memoize; L1Cache(1_000)['a'] = 1")
    assert "fastmem._core.l1" in loaded
    heavy = ("fastmem.storage", "fastmem.memory", "fastmem.codecs", "msgspec", "zstandard")
    assert not [name for name in loaded if name.startswith(heavy)]


def test_the_tiers_below_come_with_their_names() -> None:
    loaded = modules_after("import fastmem; fastmem.TieredMemorySystem")
    assert {"fastmem.memory", "fastmem.storage.engine"} <= loaded
    assert not loaded & {"rich", "numpy", "nats", "redis", "valkey", "asyncio"}


def test_the_modules_below_are_there_as_before() -> None:
    assert "fastmem.storage.engine" in modules_after("import fastmem; fastmem.storage.Archive")


def test_every_public_name_is_listed_and_there() -> None:
    assert set(fastmem.__all__) <= set(dir(fastmem))
    namespace: dict[str, object] = {}
    exec("from fastmem import *", namespace)
    assert set(fastmem.__all__) <= set(namespace)
    assert namespace["Archive"] is fastmem.Archive is fastmem.storage.Archive
    with pytest.raises(AttributeError, match="module 'fastmem' has no attribute 'Nothing'"):
        fastmem.Nothing  # type: ignore[attr-defined]  # noqa: B018
