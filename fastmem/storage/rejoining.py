"""The way back for an L2 whose L3 was once opened with another L2: a mistyped path is enough.

An L3 follows the L2 that it was last written with, and refuses the one before: what was put or
deleted through the other lies in that one's log, and without it older values return. If nothing
was, they belong together as they always did; only the L3's first page says otherwise.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastmem._core.damage import stretches
from fastmem._core.layout import PAGE_BYTES
from fastmem._core.log import WARM
from fastmem.errors import DirectoryRefusedError, StoreLockedError
from fastmem.storage.checking import budget_for
from fastmem.storage.engine import TIMEOUT_S, Engine
from fastmem.storage.files import Directory
from fastmem.storage.kinds import first_pages
from fastmem.storage.processes import Processes
from fastmem.storage.quarantine import KeepingDirectory, Kept
from fastmem.storage.superblock import Superblock

__all__ = ["doubts", "openings", "rejoin"]


def doubts(warm: Path, cold: Path, other: Path | None) -> list[str]:
    """What speaks against giving the L3 in `cold` back to the L2 in `warm`: sentences, none if
    nothing would be missed and nothing older return. `other` is the L2 that has it now.

    DirectoryRefusedError when they never were one memory, or still are; StoreLockedError while a
    process has one of them open; and as from opening.
    """
    store, archive = _parts(warm, cold)
    found = []
    if other is None:
        found.append(
            f"what was put or deleted through the other L2, {archive.partner().hex()}, is not "
            "known: name its directory"
        )
    else:
        found += _doubts_of_other(archive, other)
    with _opened(None, cold) as engine:
        bounds = engine.files.super.get("cold_tail"), engine.files.super.get("cold_head")
    if bounds != (store.get("cold_tail"), store.get("cold_head")):
        found.append(
            f"{cold} has changed since {warm} was open with it: what left it may have kept older "
            "values dead"
        )
    return found


def _parts(warm: Path, cold: Path) -> tuple[Superblock, Superblock]:
    """The first pages of an L2 and of the L3 that was its own."""
    store, archive = first_pages(warm)[0], first_pages(cold)[1]
    if store is None or archive is None:
        path = cold if archive is None else warm
        raise DirectoryRefusedError("has no sound first page: repair it first", path, errno.EINVAL)
    if store.partner() != archive.uuid:
        raise DirectoryRefusedError(f"never was the L2 of {str(cold)!r}", warm, errno.EINVAL)
    if archive.partner() == store.uuid:
        raise DirectoryRefusedError(f"is the L2 of {str(cold)!r} as it is", warm, errno.EINVAL)
    return store, archive


def _doubts_of_other(archive: Superblock, other: Path) -> list[str]:
    page = first_pages(other)[0]
    if page is None or page.uuid != archive.partner():
        raise DirectoryRefusedError(
            f"is not the L2 that the archive was last written with, {archive.partner().hex()}",
            other,
            errno.EINVAL,
        )
    with _opened(other, None) as engine:
        warm = engine.files.warm
        assert warm is not None
        tail = engine.files.super.get("tail")
        records = sum(stretches(engine.log, WARM, number, tail)[0] for number in warm.numbers)
        if not records and not warm.numbers:
            return []
    return [
        f"{other} holds {records:,} records of values that were put or deleted through it: they "
        "would be missed, and older values return in their place"
    ]


@contextmanager
def _opened(warm: Path | None, cold: Path | None) -> Iterator[Engine]:
    """One directory, opened for looking alone."""
    path = warm or cold
    assert path is not None
    directory = Directory(path, read_only=True)
    budget = budget_for([directory])
    directory.close()
    engine = Engine(warm, cold, warm_budget_bytes=budget, read_only=True)
    try:
        if engine.files.attached:
            raise StoreLockedError("another process has it open", path, errno.EAGAIN)
        yield engine
    finally:
        engine.close()


def openings(cold: Path) -> int:
    """How often an L3 was opened for writing: look before `doubts`, and hand it to `rejoin`."""
    archive = first_pages(cold)[1]
    return archive.get("opens") if archive is not None else 0


def rejoin(warm: Path, cold: Path, opens: int) -> list[Kept]:
    """Give the L3 in `cold` back to the L2 in `warm`, whose index is made anew at its next opening.
    The first page that said otherwise is kept; return where. Raises as `doubts`, and
    StoreLockedError when the L3 has been opened more than `opens` times.
    """
    store, _archive = _parts(warm, cold)
    reason = {"archive": "belonged to another L2"}
    directories = [Directory(warm), KeepingDirectory(cold, reason)]
    held: list[Processes] = []
    try:
        held += [Processes(directory, TIMEOUT_S) for directory in directories]
        for processes in held:
            try:
                processes.be_alone(alone=True)
            except StoreLockedError as error:
                text = "another process has it open"
                raise StoreLockedError(text, error.filename, errno.EAGAIN) from error
        home = directories[1]
        assert isinstance(home, KeepingDirectory)
        home.copy("archive")
        page = Superblock(home.map("archive", PAGE_BYTES), home.path)
        try:
            if page.get("opens") != opens:
                raise StoreLockedError("was opened meanwhile", home.path, errno.EAGAIN)
            # The owner stays the other: what its index knew of the L3 this one does not.
            owner, floor = page.owner()
            page.own(owner, floor, store.uuid)
            page.sync()
        finally:
            page.release()
            page.mapping.close()
        return home.kept
    finally:
        for processes in held:
            processes.leave()
        for directory in directories:
            directory.close()
