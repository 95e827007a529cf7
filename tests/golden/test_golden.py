"""Directories that earlier versions made are read, written to and checked as their own were."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from fastmem import Archive, SegmentStore, TieredMemorySystem
from fastmem.storage.checking import Check
from fastmem.storage.repairing import Repair
from fastmem.terminal import unseen
from tests.crash.directories import BUDGET, snapshot
from tests.golden.decoder import read
from tests.golden.samples import shown

HERE = Path(__file__).parent
NAMES = sorted(path.name.removesuffix(".tar.xz") for path in HERE.glob("*.tar.xz"))


class Golden:
    """One golden file, unpacked."""

    def __init__(self, name: str, at: Path) -> None:
        told = json.loads((HERE / f"{name}.json").read_text())
        self.contents: dict[str, str] = told["contents"]
        self.key = bytes.fromhex(told["secret_key"]) if told["secret_key"] else None
        with tarfile.open(HERE / f"{name}.tar.xz") as packed:
            packed.extractall(at, filter="tar")
        warm, cold = at / "l2", at / "l3"
        self.warm = warm if warm.exists() else None
        self.cold = cold if cold.exists() else None

    def open(self, *, read_only: bool = False) -> Any:
        if self.cold is None:
            assert self.warm is not None
            return SegmentStore(
                self.warm, budget_bytes=BUDGET, secret_key=self.key, read_only=read_only
            )
        if self.warm is None:
            return Archive(self.cold, secret_key=self.key, read_only=read_only)
        return TieredMemorySystem(
            1, self.warm, self.cold, l2_size_mb=16, secret_key=self.key, read_only=read_only
        )

    def files(self) -> dict[str, Any]:
        return {str(path): snapshot(path) for path in (self.warm, self.cold) if path is not None}


@pytest.fixture(params=NAMES)
def golden(request: pytest.FixtureRequest, private_tmp: Path) -> Golden:
    return Golden(request.param, private_tmp)


def found(store: Any) -> dict[str, str]:
    return {shown(key): shown(store.get(key)) for key in list(store)}


def test_there_are_some() -> None:
    assert len(NAMES) >= 8


def test_read_only(golden: Golden) -> None:
    before = golden.files()
    with golden.open(read_only=True) as store:
        assert found(store) == golden.contents
    assert golden.files() == before


def test_read_and_written(golden: Golden) -> None:
    with golden.open() as store:
        assert found(store) == golden.contents
        store.check()
        store.verify()
        keys = list(store)
        for key in keys[::2]:
            store.put(key, "replaced")
        for key in keys[::3]:
            store.delete(key)
        store.put("added", "since")
    wanted = {**golden.contents, shown("added"): shown("since")}
    wanted.update((shown(key), shown("replaced")) for key in keys[::2])
    for key in keys[::3]:
        del wanted[shown(key)]
    with golden.open() as store:
        assert found(store) == wanted
        store.check()


def test_checked_and_repaired(golden: Golden) -> None:
    paths = golden.warm, golden.cold
    findings = Check(*paths, unseen, secret_key=golden.key).run()
    assert findings.sound, findings.damage
    assert findings.entries >= len(golden.contents)
    repair = Repair(*paths, unseen, secret_key=golden.key)
    done = repair.run(repair.look())
    assert (done.dropped, done.buried, done.passed_over) == ([], 0, 0)
    assert [kept for kept in done.kept if not kept.path.name.startswith("val.")] == []
    assert done.left.sound
    with golden.open() as store:
        assert found(store) == golden.contents


def test_decoded(golden: Golden) -> None:
    decoded = read(golden.warm, golden.cold)
    assert {shown(key): shown(value) for key, value in decoded.items()} == golden.contents
