"""The way to a directory: which ones are refused, because others could swap what lies at the end,
and how the missing part of one is made.

The rule is that of sshd's StrictModes for a home directory, with two allowances: a sticky directory
(/tmp) keeps others from renaming what is not theirs, and a group that nobody but the owner belongs
to (umask 002 with user-private groups) is nobody else.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import stat
from pathlib import Path

from fastmem.errors import DirectoryRefusedError


def refuse_path(path: Path) -> None:
    """Refuse a path with a symbolic link or a file in it, or below a directory where others can
    swap it, whoever owns that.
    """
    for part in [*reversed(path.parents), path]:
        try:
            facts = os.lstat(part)
        except FileNotFoundError:
            return
        if stat.S_ISLNK(facts.st_mode):
            raise DirectoryRefusedError(
                f"is reached through the symbolic link {part}; use {os.path.realpath(path)}",
                path,
                errno.ELOOP,
            )
        if not stat.S_ISDIR(facts.st_mode):
            raise DirectoryRefusedError(
                "is no directory" if part == path else f"lies below {part}, which is no directory",
                path,
                errno.ENOTDIR,
            )
        if part != path and _others_may_rename(facts):
            raise DirectoryRefusedError(
                f"lies below {part}, where others may replace it "
                f"(mode {stat.S_IMODE(facts.st_mode):04o}): chmod go-w",
                path,
                errno.EPERM,
            )


def _others_may_rename(facts: os.stat_result) -> bool:
    """True when a directory's mode lets others than its owner rename what is in it."""
    if facts.st_mode & stat.S_ISVTX:
        return False
    if facts.st_mode & stat.S_IWOTH:
        return True
    return bool(facts.st_mode & stat.S_IWGRP) and not _is_private_group(facts.st_gid, facts.st_uid)


def _is_private_group(gid: int, uid: int) -> bool:
    """True when a group is the user's own: it bears the user's name and has no other member."""
    try:
        user, group = pwd.getpwuid(uid), grp.getgrgid(gid)
    except KeyError:
        return False
    return (
        group.gr_name == user.pw_name and user.pw_gid == gid and set(group.gr_mem) <= {user.pw_name}
    )


def make_directory(path: Path) -> None:
    """Make what is missing of a path, each directory for this user alone (mode 0700, whatever the
    umask), and let the names survive power loss.
    """
    for part in [*reversed(path.parents), path]:
        try:
            part.mkdir(mode=0o700)
        except FileExistsError:
            continue
        except OSError:  # EROFS, EACCES: what is there already needs no permission
            if part.is_dir():
                continue
            raise
        _make_private(part)
        _sync_names(part.parent)


def _make_private(folder: Path) -> None:
    """Give the owner of a new directory what the umask took, and follow no link that came since."""
    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if stat.S_IMODE(os.fstat(fd).st_mode) & 0o700 != 0o700:
            os.chmod(f"/proc/self/fd/{fd}", 0o700)  # fchmod needs it opened for reading
    finally:
        os.close(fd)


def _sync_names(folder: Path) -> None:
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:  # to be written and not read
        os.sync()
        return
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
