"""What the door to the operating system knows of descriptors: of files, and nothing else."""

from __future__ import annotations

import errno
import os
import stat
from functools import partial
from pathlib import Path

from fastmem._core.descriptor import Descriptor

__all__ = ["NO_FILE", "Placed", "opened", "require_file"]

# What opening something else than a file answers, where a file is asked for.
NO_FILE = frozenset((errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.ENODEV))


def opened(name: str | Path, flags: int, folder: int | None) -> Descriptor:
    """As os.open, but an interrupt that came while the system was at it leaves nothing open: there
    is nothing of Python between the number and who closes it.
    """
    opening = partial(os.open, dir_fd=folder)
    [descriptor] = list(map(Descriptor, map(opening, (name,), (flags,), (0o600,))))
    return descriptor


def require_file(fd: int, *, made: bool) -> None:
    """Raise what opening anything but a regular file should have. Of one that may have been `made`
    just now the owner gets what the umask took.
    """
    mode = os.fstat(fd).st_mode
    if not stat.S_ISREG(mode):
        code = errno.EISDIR if stat.S_ISDIR(mode) else errno.ENXIO
        raise OSError(code, "is no regular file")
    if made and mode & 0o600 != 0o600:
        os.fchmod(fd, 0o600)


class Placed:
    """Holds a descriptor during a call; an OSError that passes names the file by its full path."""

    __slots__ = ("_held", "_path")

    def __init__(self, held: Descriptor, path: Path) -> None:
        self._held = held
        self._path = path

    def __enter__(self) -> int:
        return self._held.fd

    def __exit__(self, _kind: object, error: object, _trace: object) -> None:
        if isinstance(error, OSError):
            error.filename = str(self._path)
            del error.filename2


def pread_resident(fd: int, length: int, offset: int) -> bytes:
    """As os.pread, of what is in memory. BlockingIOError where nothing is, or nobody can tell."""
    data = bytearray(length)
    try:
        count = os.preadv(fd, [data], offset, os.RWF_NOWAIT)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        raise BlockingIOError(errno.EAGAIN, error.strerror) from None
    return bytes(data[:count])
