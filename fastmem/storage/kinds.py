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

__all__ = ["Kind", "are_partners", "first_pages", "kind_by_names", "kind_of"]


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
    store, archive = first_pages(path)
    if archive is not None:
        alone = store is not None and archive.owner()[0] in (store.uuid, NO_UUID)
        return Kind.ARCHIVE if alone else Kind.L3
    if store is not None:
        return Kind.SEGMENTS if store.partner() == NO_UUID else Kind.L2
    return None


def kind_by_names(path: Path) -> Kind | None:
    """SEGMENTS, which may be an L2, or ARCHIVE, as the names of files tell where a first page is
    damaged.

    None where first pages tell, or nothing does. Raises as `kind_of`.
    """
    store, archive = first_pages(path)
    directory = Directory(path, read_only=True)
    try:
        stems = {name.split(".")[0] for name in directory.names()}
    finally:
        directory.close()
    if (store is None or archive is None) and {"index", "cold"} <= stems:
        return Kind.ARCHIVE
    if store is None and archive is None and "seg" in stems:
        return Kind.SEGMENTS
    return None


def are_partners(warm: Path, cold: Path) -> bool:
    """False when first pages say that `cold` is not the L3 of the memory whose L2 is `warm`.

    For looking at what was one memory: an opening also takes a new L3 in the place of a lost one.
    Raises as `kind_of`. Nothing is changed.
    """
    store, archive = first_pages(warm)[0], first_pages(cold)[1]
    if store is None or archive is None:
        return True
    return store.partner() == archive.uuid or store.uuid in (archive.owner()[0], archive.partner())


def first_pages(path: Path) -> tuple[Superblock | None, Superblock | None]:
    """The first pages of a store and of an archive in a directory, as far as they are sound."""
    bind_xxh3()
    directory = Directory(path, read_only=True)
    try:
        return (
            _read_page(directory, "super", STORE_MAGIC),
            _read_page(directory, "archive", ARCHIVE_MAGIC),
        )
    finally:
        directory.close()


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
