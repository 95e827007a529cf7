"""Make the golden files: ``python -m tests.golden.make FOLDER``.

Each is a directory, or the two of a memory, made by a scene below: ``<name>.tar.xz``, and beside it
``<name>.json`` with what is in it. Files of a released format are never made again, nor changed: a
new format gets files of its own, and these stay. No two runs make the same bytes, as identities,
salts and times differ.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastmem import TieredMemorySystem
from fastmem._core.layout import FORMAT
from fastmem.codecs import train_dictionary
from tests.crash.directories import engine_of, open_archive, open_segments, open_tiers
from tests.demotion import archive_warm, empty_l1
from tests.golden.samples import KEYS, shown, values

YEARS_S = 50 * 365 * 86_400
SECRET = bytes(range(32))
Scene = Callable[[Path], dict[Any, Any]]


def everything() -> dict[Any, Any]:
    return {**values(), **{key: f"of key {number}" for number, key in enumerate(KEYS)}}


def killed(scene: Scene, at: Path) -> dict[Any, Any]:
    """What a scene leaves whose process is killed before it closes anything."""
    child = os.fork()
    if not child:
        scene(at)
        os._exit(1)
    _pid, status = os.waitpid(child, 0)
    if os.WTERMSIG(status) != signal.SIGKILL:
        raise RuntimeError(f"the scene ended with {status}")
    return {}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


# -- scenes: what they leave is what they return ------------------------------------------------


def plain(at: Path) -> dict[Any, Any]:
    """Keys and values of every type, closed."""
    with open_segments(at) as store:
        store.update(everything())
    return everything()


def changed(at: Path) -> dict[Any, Any]:
    """Values replaced and deleted, large ones too; deadlines, one of which is past."""
    with open_segments(at) as store:
        for i in range(100):
            store.put(i, "old")
        store.put("large", b"old" * 100_000)
        store.put("gone", b"gone" * 100_000)
        store.put("past", 1, ttl_seconds=1e-6)
        for i in range(0, 100, 3):
            store.put(i, f"new {i}", ttl_seconds=YEARS_S)
        for i in range(0, 100, 5):
            store.delete(i)
        store.put("large", b"new" * 100_000)
        store.delete("gone")
    kept = {i: "old" if i % 3 else f"new {i}" for i in range(100) if i % 5}
    return {**kept, "large": b"new" * 100_000}


def unclosed(at: Path) -> dict[Any, Any]:
    """A process killed with the store open; a value file that no record leads to."""

    def scene(at: Path) -> dict[Any, Any]:
        store = open_segments(at)
        for i in range(100):
            store.put(i, "old")
        store.flush()
        for i in range(50):
            store.put(i, f"new {i}")
        store.put("large", b"large" * 60_000)
        for i in range(0, 100, 7):
            store.delete(i)
        die()
        return {}

    killed(scene, at)
    (path,) = (at / "l2").glob("val.*")
    (at / "l2" / "val.00000000000000ff").write_bytes(path.read_bytes()[:1000])
    kept = {i: f"new {i}" if i < 50 else "old" for i in range(100) if i % 7}
    return {**kept, "large": b"large" * 60_000}


def reclaimed(at: Path) -> dict[Any, Any]:
    """A small budget written more than once over: sealed segments, and reclaimed ones."""
    with open_segments(at) as store:
        store.put("wanted", "still there")
        for i in range(400):
            store.put(i, bytes([i % 256]) * 50_000)
            store.get("wanted")
        found = {key: store.get(key) for key in store}
    if (at / "l2" / "seg.0").exists() or "wanted" not in found:
        raise RuntimeError("nothing was reclaimed")
    return found


def archive(at: Path) -> dict[Any, Any]:
    """An archive alone: skips, frames with a dictionary and without, raw values, large ones."""
    rows = {
        f"row {i}": {"name": f"user {i}", "rights": ["read", "write", "none"][: i % 3], "n": i * i}
        for i in range(300)
    }
    with open_archive(at) as store:
        store.update(everything())
        body = train_dictionary([repr(row).encode() * 3 for row in rows.values()])
        dictionaries = engine_of(store).cold.dictionaries
        with dictionaries._section:
            dictionaries._store(body)
        store.update(rows)
        store.put("row 0", "replaced")
        store.delete("row 1")
    del rows["row 1"]
    return {**everything(), **rows, "row 0": "replaced"}


def memory(at: Path) -> dict[Any, Any]:
    """L2 and L3: archived, replaced since in L2, deleted since, moved up; tombstones in both."""
    wanted = everything()
    with open_tiers(at) as store:
        store.update(wanted)
        for i in range(300):
            store.put(("row", i), "archived " * (i % 40))
        demote(store)
        for i in range(100):
            store.put(("row", i), "warm")
        for i in range(100, 200):
            store.delete(("row", i))
        for i in range(50):
            store.delete(("row", i))
        demote(store)
        for i in range(60, 120):
            store.put(("row", i), "warm again", ttl_seconds=YEARS_S)
    wanted.update({("row", i): "archived " * (i % 40) for i in range(200, 300)})
    wanted.update({("row", i): "warm" for i in range(50, 60)})
    wanted.update({("row", i): "warm again" for i in range(60, 120)})
    return wanted


def demote(store: TieredMemorySystem) -> None:
    empty_l1(store)
    archive_warm(store)


def memory_unclosed(at: Path) -> dict[Any, Any]:
    """L2 and L3 of a killed process, whose index was lost, and made anew, before: a skip in L2."""

    def scene(at: Path) -> dict[Any, Any]:
        store = open_tiers(at)
        for i in range(100):
            store.put(i, "archived")
        demote(store)
        for i in range(50):
            store.put(i, "warm")
        die()
        return {}

    def again(at: Path) -> dict[Any, Any]:
        store = open_tiers(at)
        for i in range(25):
            store.put(i, "after")
        store.delete(99)
        die()
        return {}

    killed(scene, at)
    (at / "l2" / "index").unlink()
    killed(again, at)
    return {i: "after" if i < 25 else "warm" if i < 50 else "archived" for i in range(99)}


def secret(at: Path) -> dict[Any, Any]:
    """Every record with a MAC; the key is the bytes 0 to 31."""
    wanted = {**everything(), **{i: f"text {i}" for i in range(50)}}
    with open_tiers(at, secret_key=SECRET) as store:
        store.update(wanted)
        demote(store)
        store.put("warm", 1)
    return {**wanted, "warm": 1}


SCENES: list[Scene] = [
    plain, changed, unclosed, reclaimed, archive, memory, memory_unclosed, secret
]  # fmt: skip


def make(scene: Scene, folder: Path) -> None:
    with tempfile.TemporaryDirectory() as made:
        at = Path(made)
        contents = scene(at)
        name = f"{scene.__name__}-{FORMAT}"
        with tarfile.open(folder / f"{name}.tar.xz", "w:xz") as packed:
            for path in sorted(at.rglob("*")):
                packed.add(path, path.relative_to(at), recursive=False, filter=anonymous)
    told = {
        "made": " ".join(str(scene.__doc__).split()),
        "secret_key": SECRET.hex() if scene is secret else None,
        "contents": {shown(key): shown(value) for key, value in contents.items()},
    }
    (folder / f"{name}.json").write_text(json.dumps(told, indent=0, sort_keys=True) + "\n")


def anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


if __name__ == "__main__":
    for scene in SCENES:
        make(scene, Path(sys.argv[1]))
