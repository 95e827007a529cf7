"""Which L2 and which L3 belong together: what the one keeps dead, the other may hold."""

from __future__ import annotations

import errno
import logging

from fastmem.errors import DirectoryRefusedError
from fastmem.storage.files import Directory
from fastmem.storage.superblock import NO_UUID, Superblock

log_to = logging.getLogger("fastmem.storage")


def refuse_without_archive(page: Superblock, directories: list[Directory]) -> None:
    """DirectoryRefusedError when a memory's L2 is to be written without its L3.

    What is deleted or replaced here must stay dead there, and reclaim could not see to it.
    """
    if page.partner() != NO_UUID:
        raise DirectoryRefusedError(
            f"is the L2 of a memory; open it together with its L3, the archive "
            f"{page.partner().hex()} (or an empty directory in its place), or read_only",
            directories[0].path,
            errno.EINVAL,
        )


def refuse_evictions(archive: Superblock, directory: Directory) -> None:
    """DirectoryRefusedError: a memory's L3 is to be written without its L2, and evict.

    Of what is evicted L2 may hold older values, which would return.
    """
    raise DirectoryRefusedError(
        "is the L3 of a memory; open it without a budget, or together with its L2, the store "
        f"{archive.partner().hex()} (or an empty directory in its place)",
        directory.path,
        errno.EINVAL,
    )


def refuse_others(page: Superblock, archive: Superblock, directories: list[Directory]) -> None:
    """DirectoryRefusedError when L2 and L3 are parts of two memories, or one has been written with
    another L2 since: older values would return. An L3 that knows no other L2 is only noted.
    """
    warm, cold = directories
    ours, theirs = page.partner(), archive.partner()
    if ours != NO_UUID and theirs not in (NO_UUID, page.uuid):
        raise DirectoryRefusedError(
            f"is no L2 for {str(cold.path)!r}: it was last opened for writing with the archive "
            f"{ours.hex()}, and that archive, {archive.uuid.hex()}, with the L2 {theirs.hex()}; "
            "open each with its own, or with an empty directory; if that L2 was a mistake, see "
            "`fastmem repair --rejoin`",
            warm.path,
            errno.EINVAL,
        )
    if ours not in (NO_UUID, archive.uuid):
        log_to.warning(
            "%s: its archive %s is not in %s; what that holds is missed",
            warm.path,
            ours.hex(),
            cold.path,
        )
