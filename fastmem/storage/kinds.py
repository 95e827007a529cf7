"""What a directory is, told by its first pages: for whoever opens it without being told."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

from fastmem._core.layout import PAGE_BYTES
from fastmem.storage.files import Directory
from fastmem.storage.superblock import (
    ARCHIVE_MAGIC,
    NO_UUID,
    STORE_MAGIC,
    Superblock,
    refuse_foreign,
)
from fastmem.storage.symbols import bind_xxh3

__all__ = ["Kind", "kind_of"]


class Kind(Enum):
    """The ways a directory of a store was last opened for writing."""

    SEGMENTS = "a SegmentStore"
    ARCHIVE = "an Archive"
    L2 = "the L2 of a memory"
    L3 = "the L3 of a memory"


def kind_of(path: Path) -> Kind | None:
    """What the directory `path` is, None when no sound first page says so. Nothing is changed.

    DirectoryRefusedError, FormatError or OSError as from opening it.
    """
    bind_xxh3()
    directory = Directory(path, read_only=True)
    try:
        store = _read_page(directory, "super", STORE_MAGIC)
        archive = _read_page(directory, "archive", ARCHIVE_MAGIC)
    finally:
        directory.close()
    if archive is not None:
        alone = store is not None and archive.owner()[0] in (store.uuid, NO_UUID)
        return Kind.ARCHIVE if alone else Kind.L3
    if store is not None:
        return Kind.SEGMENTS if store.partner() == NO_UUID else Kind.L2
    return None


def _read_page(directory: Directory, name: str, magic: bytes) -> Superblock | None:
    """A private copy of a first page; None when it is not there, or not sound."""
    try:
        page = directory.read(name, PAGE_BYTES)
    except FileNotFoundError:
        return None
    refuse_foreign(page, directory.path / name, magic)
    mapping = directory.private(name, PAGE_BYTES)
    with memoryview(mapping) as view:
        view[: len(page)] = page
    found = Superblock(mapping, directory.path)
    return found if found.sound else None
