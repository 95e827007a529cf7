"""A device that may lose its power: what was synced is there; of the rest each page, size and name
as it was when it was synced or written back last, or as it is now.
"""

from __future__ import annotations

import os
import random
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from fastmem._core.mapping import Mapping
from fastmem.storage import files
from fastmem.storage.files import Directory
from fastmem.storage.superblock import Superblock

PAGE = 4096
FOLDERS = ("l2", "l3")
CHANCES = (0.0, 0.3, 0.7, 1.0)  # that a page is as it is now


class Device:
    """The device below the folders of `root`, all of which it has at first.

    ``moment()`` is called before each change that a store makes there through files.py or its
    first page: the power may go then.
    """

    def __init__(
        self, root: Path, draw: random.Random, moment: Callable[[], None] = lambda: None
    ) -> None:
        self.root = root
        self.draw = draw
        self.moment = moment
        self.chances: tuple[float, ...] = CHANCES
        self.bytes: dict[int, bytearray] = {}  # inode -> content that it has
        self.names: dict[str, dict[str, int]] = {folder: {} for folder in FOLDERS}
        self.gone: dict[int, Path] = {}  # inode -> link to a file that was unlinked
        (root / "gone").mkdir()
        for folder in FOLDERS:
            for path in self.files(folder):
                self.names[folder][path.name] = inode = path.stat().st_ino
                self.bytes[inode] = bytearray(path.read_bytes())

    def files(self, folder: str) -> list[Path]:
        return sorted((self.root / folder).glob("*"))

    # -- what reaches it ------------------------------------------------------------------------

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Everything that is synced, and nothing else for sure, reaches the device."""
        device = self

        class Watched(Mapping):
            inode = 0

            def sync(self, offset: int, length: int) -> None:
                device.moment()
                held = device.bytes.setdefault(self.inode, bytearray())
                with memoryview(self) as view:
                    held.extend(bytes(max(len(view) - len(held), 0)))
                    start, end = offset // PAGE * PAGE, -(-(offset + length) // PAGE) * PAGE
                    held[start:end] = view[start:end]

        def map_file(fd: int, size: int, writable: bool) -> Mapping:
            mapping = Watched(fd, size, writable)
            if fd >= 0:
                mapping.inode = os.fstat(fd).st_ino
            return mapping

        def sync(fd: int) -> None:
            device.moment()
            facts = os.fstat(fd)
            if stat.S_ISREG(facts.st_mode):
                device.bytes[facts.st_ino] = bytearray(Path(f"/proc/self/fd/{fd}").read_bytes())
                return
            for folder in FOLDERS:
                path = device.root / folder
                if path.is_dir() and path.stat().st_ino == facts.st_ino:
                    device.names[folder] = device.names_now(folder)

        with ExitStack() as patched:
            for place, name, step in (
                (files, "map_file", map_file),
                (os, "fsync", sync),
                (os, "fdatasync", sync),
                (Directory, "unlink", self.keeping("unlink", 0)),
                (Directory, "rename", self.keeping("rename", 1)),
                (Directory, "publish", self.telling(Directory, "publish")),
                (Superblock, "_write", self.telling(Superblock, "_write")),
            ):
                patched.enter_context(mock.patch.object(place, name, step))
            yield

    def telling(self, place: type, name: str) -> Callable[..., Any]:
        real = getattr(place, name)

        def call(*args: Any) -> Any:
            self.moment()
            return real(*args)

        return call

    def keeping(self, name: str, which: int) -> Callable[..., Any]:
        """The file whose name a call takes stays: its inode is given to no other, and the device
        may have its name still.
        """
        real = self.telling(Directory, name)

        def call(directory: Directory, *names: str) -> Any:
            path = directory.path / names[which]
            if path.is_file():
                inode = path.stat().st_ino
                if inode not in self.gone:
                    self.gone[inode] = self.root / "gone" / str(inode)
                    os.link(path, self.gone[inode])
            return real(directory, *names)

        return call

    def write_back(self) -> None:
        """Some pages or names reach the device by themselves, as they do all the time."""
        folder = self.draw.choice(FOLDERS)
        paths = self.files(folder)
        if not paths:
            return
        if self.draw.random() < 0.2:
            self.names[folder] = self.mixed_names(folder)
            return
        path = self.draw.choice(paths)
        now = path.read_bytes()
        inode = path.stat().st_ino
        self.bytes[inode] = bytearray(self.mixed(self.bytes.get(inode, bytearray()), now))

    # -- what is left ---------------------------------------------------------------------------

    def lose_power(self, at: Path) -> None:
        """Write to `at` one of the states that the device may be found in, right now."""
        at.mkdir(mode=0o700)
        for folder in FOLDERS:
            if not (self.root / folder).is_dir():
                continue
            (at / folder).mkdir(mode=0o700)
            now = {path.stat().st_ino: path for path in self.files(folder)}
            for name, inode in self.mixed_names(folder).items():
                latest = (now.get(inode) or self.gone[inode]).read_bytes()
                held = self.bytes.get(inode, bytearray())
                (at / folder / name).write_bytes(self.mixed(held, latest))

    def names_now(self, folder: str) -> dict[str, int]:
        return {path.name: path.stat().st_ino for path in self.files(folder)}

    def mixed_names(self, folder: str) -> dict[str, int]:
        """Name by name: as it was synced, or as it is now."""
        now, held = self.names_now(folder), self.names[folder]
        chance = self.draw.choice(self.chances)
        mixed = {
            name: (now if self.draw.random() < chance else held).get(name)
            for name in sorted(now.keys() | held.keys())
        }
        return {name: inode for name, inode in mixed.items() if inode is not None}

    def mixed(self, held: bytearray, latest: bytes) -> bytes:
        """Page by page: as it was synced (zeros if never), or as it is now. So is the size."""
        if held == latest:
            return latest
        chance = self.draw.choice(self.chances)
        size = len(latest if self.draw.random() < chance else held)
        old = bytes(held).ljust(len(latest), b"\0")
        pages = bytearray(latest)
        for start in range(0, len(latest), PAGE):
            page = old[start : start + PAGE]
            if pages[start : start + PAGE] != page and self.draw.random() >= chance:
                pages[start : start + PAGE] = page
        return bytes(pages[:size])
