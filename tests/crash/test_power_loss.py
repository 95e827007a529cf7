"""Power loss, simulated: what was synced is on the device, of the rest any page may be or not be.

The door is watched: `Mapping.sync`, `Directory.sync`, `sync_file` and synced writes record what the
device holds for sure. The lost machine then has, for each 4 KiB page, its last synced bytes or any
newer ones, and for each name what the last directory sync showed or anything later.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from fastmem._core.mapping import Mapping
from fastmem.storage import files, opening
from fastmem.storage.files import Directory
from tests.crash.directories import contents, open_archive, open_segments, open_tiers

PAGE = 4096
VOLATILE = ("super", "index", "overflow", "procs", "archive")


class Device:
    """What would be found after the power fails: synced bytes and synced names, by inode."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.bytes: dict[int, bytearray] = {}  # inode -> content as synced
        self.names: dict[Path, dict[str, int]] = {}  # directory -> name -> inode as synced
        self.kept: dict[int, bytes] = {}  # content of unlinked inodes when they went
        self.of: dict[int, int] = {}  # id of a mapping -> inode
        self.maps: list[object] = []
        self.watch(monkeypatch)

    def watch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        device = self
        import os

        def map_file(fd: int, size: int, writable: bool) -> Any:
            mapping = Synced(fd, size, writable)
            if fd >= 0:
                device.of[id(mapping)] = os.fstat(fd).st_ino
                device.maps.append(mapping)
            return mapping

        class Synced(Mapping):
            def sync(self, offset: int, length: int) -> None:
                super().sync(offset, length)
                inode = device.of[id(self)]
                with memoryview(self) as view:
                    size = len(view)
                    content = device.bytes.setdefault(inode, bytearray(size))
                    start, end = offset // PAGE * PAGE, -(-(offset + length) // PAGE) * PAGE
                    content[start:end] = view[start:end]

        real = {name: getattr(Directory, name) for name in ("sync", "sync_file", "write", "unlink")}

        def sync(self: Directory) -> None:
            real["sync"](self)
            device.names[self.path] = {
                name: (self.path / name).stat().st_ino for name in self.names()
            }

        def sync_file(self: Directory, name: str) -> None:
            real["sync_file"](self, name)
            device.store(self.path / name)

        def write(self: Directory, name: str, parts: Any, *, sync: bool) -> None:
            real["write"](self, name, parts, sync=False)
            if sync:
                device.store(self.path / name)
                self.sync()

        def unlink(self: Directory, name: str) -> None:
            path = self.path / name
            if path.exists():
                device.kept[path.stat().st_ino] = path.read_bytes()
            real["unlink"](self, name)

        monkeypatch.setattr(files, "map_file", map_file)
        for name, step in (
            ("sync", sync), ("sync_file", sync_file), ("write", write), ("unlink", unlink),
        ):  # fmt: skip
            monkeypatch.setattr(Directory, name, step)

    def store(self, path: Path) -> None:
        if path.exists():
            self.bytes[path.stat().st_ino] = bytearray(path.read_bytes())

    def lose_power(self, at: Path, draw: random.Random | None) -> None:
        """Write to `at` one of the states that the device may be found in, right now; without
        `draw` the one that has only what was synced.
        """
        for folder in ("l2", "l3"):
            source = self.root / folder
            if not source.is_dir():
                continue
            (at / folder).mkdir(parents=True)
            (at / folder).chmod(0o700)
            now = {path.name: path.stat().st_ino for path in source.iterdir()}
            synced = self.names.get(source, {})
            for name in now.keys() | synced.keys():
                choices = {synced.get(name), now.get(name)}
                inode = draw.choice(sorted(choices, key=str)) if draw else synced.get(name)
                if inode is not None:
                    latest = (
                        (source / name).read_bytes()
                        if now.get(name) == inode
                        else self.kept.get(inode, b"")
                    )
                    (at / folder / name).write_bytes(self.mixed(inode, latest, draw))

    def mixed(self, inode: int, latest: bytes, draw: random.Random | None) -> bytes:
        """Page by page: as last synced (zeros if never), or as it is now."""
        synced = self.bytes.get(inode, bytearray())
        chance = draw.choice([0.0, 0.3, 0.7, 1.0]) if draw else 0.0
        pages = []
        for start in range(0, len(latest), PAGE):
            page = latest[start : start + PAGE]
            if draw is None or draw.random() >= chance:
                old = bytes(synced[start : start + PAGE])
                page = old + bytes(len(page) - len(old))
            pages.append(page)
        return b"".join(pages)


class Course:
    """Random operations, and for each key every value it may be found with after a power loss."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.possible: dict[str, list[Any]] = {}

    def step(self, store: Any) -> str:
        key = f"key-{self.draw.randrange(60)}"
        size = self.draw.choice([30, 900, 5_000, 60_000, 300_000])
        if self.draw.random() < 0.2:
            store.delete(key)
            value = None
        else:
            value = self.draw.randbytes(size)
            store.put(key, value)
        self.possible.setdefault(key, [None]).append(value)
        return key

    def settle(self) -> None:
        """Everything so far is durable: only the newest value may be found."""
        for values in self.possible.values():
            del values[:-1]

    def verify(self, store: Any, where: str) -> None:
        found = contents(store)
        for key, values in self.possible.items():
            assert found.pop(key, None) in values, f"{where}: {key}"
        assert found == {}, f"{where}: keys never put"


@pytest.mark.parametrize("opener", [open_segments, open_tiers, open_archive])
@pytest.mark.parametrize("seed", range(4))
def test_flush_is_kept_and_nothing_torn_is_served(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch, opener: Any, seed: int
) -> None:
    device = Device(private_tmp, monkeypatch)
    course = Course(seed)
    with opener(private_tmp) as store:
        for step in range(360):
            course.step(store)
            if course.draw.random() < 0.05:
                store.flush()
                course.settle()
            if step % 45 == 44:
                device.lose_power(private_tmp / f"lost-{step}", course.draw)
                reopen(private_tmp / f"lost-{step}", opener, course, monkeypatch)


@pytest.mark.parametrize("opener", [open_segments, open_tiers, open_archive])
def test_disk_keeps_every_put_that_returned(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch, opener: Any
) -> None:
    device = Device(private_tmp, monkeypatch)
    course = Course(9)
    with opener(private_tmp, durability="disk") as store:
        for step in range(150):
            course.step(store)
            course.settle()
            if step % 30 == 29:
                device.lose_power(private_tmp / f"lost-{step}", course.draw)
                reopen(private_tmp / f"lost-{step}", opener, course, monkeypatch)


def reopen(at: Path, opener: Any, course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(opening, "boot_id", lambda: b"after the outage")
        patched.setattr(files, "map_file", lambda fd, size, writable: Mapping(fd, size, writable))
        with opener(at) as store:
            store.check()
            course.verify(store, str(at))
            # And it goes on from there.
            for i in range(40):
                store.put(f"after-{i}", bytes([i]) * 20_000)
            store.check()
            assert all(store.get(f"after-{i}") == bytes([i]) * 20_000 for i in range(40))
