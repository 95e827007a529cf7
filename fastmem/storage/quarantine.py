"""Where a repair puts what is not sound: nothing that was there before is ever removed."""

from __future__ import annotations

import contextlib
import os
import re
import time
from pathlib import Path
from typing import NamedTuple

from fastmem.storage.files import Directory

__all__ = ["KeepingDirectory", "Kept"]

_COPY_BYTES = 1 << 20
# What is made anew from the rest, and so no loss; and whatever an unfinished index is called.
_DERIVED = re.compile(r"(?:new\.|rebuilt\.)*(?:index|overflow|procs)(?:\.[0-9a-f]{8})?")
_PAGES = ("super", "archive")


class Kept(NamedTuple):
    """One file of a quarantine, and why it is there. What was copied is in its place too."""

    path: Path
    copied: bool
    reason: str


class KeepingDirectory(Directory):
    """A directory whose files, as far as they were there when it was opened, are moved to a folder
    of it, ``quarantine-<time>``, rather than removed, replaced or set aside.
    """

    def __init__(self, path: str | os.PathLike[str], reasons: dict[str, str]) -> None:
        self.kept: list[Kept] = []
        self._reasons = reasons  # by name
        self._folder = ""
        super().__init__(path)
        self._there = {name for name in self.names() if not _DERIVED.fullmatch(name)}

    @property
    def folder(self) -> str:
        """The name of the quarantine, made at the first use."""
        stamp = time.strftime("quarantine-%Y%m%dT%H%M%S", time.gmtime())
        number = 0
        while not self._folder:
            name = f"{stamp}.{number}" if number else stamp
            with contextlib.suppress(FileExistsError), self._placed(name) as fd:
                os.mkdir(name, 0o700, dir_fd=fd)
                self._folder = name
            number += 1
        return self._folder

    def unlink(self, name: str) -> None:
        if name in self._there:
            self.move(name, "no record leads to it")
        else:
            super().unlink(name)

    def set_aside(self, name: str) -> None:
        self.move(name, "none of this store's")

    def rename(self, old: str, new: str) -> None:
        if new in self._there and not self._is_kept(new):
            self.copy(new)
        super().rename(old, new)

    def move(self, name: str, reason: str) -> None:
        """Take a file away. One that is gone already is no error."""
        with contextlib.suppress(FileNotFoundError):
            target = self._free(name)
            with self._placed(name) as fd:
                os.rename(name, target, src_dir_fd=fd, dst_dir_fd=fd)
            self._there.discard(name)
            self._note(target, copied=False, reason=self._reasons.get(name, reason))

    def copy(self, name: str) -> None:
        """Keep a file as it is now, synced, beside the one that is about to change. Once."""
        if name not in self._there or self._is_kept(name):
            return
        target = self._free(name)
        unfinished = f"{target}.unfinished"
        source = self.open(name, os.O_RDONLY)
        try:
            made = self.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            try:
                with self._placed(name):
                    while data := os.read(source, _COPY_BYTES):
                        for start in range(0, len(data), 4096):  # what was never written stays so
                            page = data[start : start + 4096]
                            if any(page):
                                os.write(made, page)
                            else:
                                os.lseek(made, len(page), os.SEEK_CUR)
                    os.ftruncate(made, os.fstat(source).st_size)
                    os.fsync(made)
            finally:
                os.close(made)
        finally:
            os.close(source)
        super().rename(unfinished, target)
        self._sync_folder()
        self._note(target, copied=True, reason=self._reasons.get(name, "about to be replaced"))

    def _is_kept(self, name: str) -> bool:
        return any(kept.path.name == name for kept in self.kept)

    def _free(self, name: str) -> str:
        """A path in the quarantine that no file bears."""
        target, number = f"{self.folder}/{name}", 0
        while True:
            try:
                self.stat(target)
            except FileNotFoundError:
                return target
            number += 1
            target = f"{self.folder}/{name}.{number}"

    def _sync_folder(self) -> None:
        fd = self.open_folder()
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
        self.sync()

    def open_folder(self) -> int:
        """A descriptor of the quarantine."""
        with self._placed(self.folder) as fd:
            return os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)

    def _note(self, target: str, *, copied: bool, reason: str) -> None:
        self.kept.append(Kept(self.path / target, copied, reason))
