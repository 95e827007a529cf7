"""What the door to the operating system knows of descriptors: of files, and nothing else."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from fastmem._core.descriptor import Descriptor

__all__ = ["NO_FILE", "Placed", "require_file"]

# What opening something else than a file answers, where a file is asked for.
NO_FILE = frozenset((errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.ENODEV))


def require_file(fd: int, *, made: bool) -> None:
    """Close a descriptor of anything but a regular file, and raise what opening it should have. Of
    one that may have been `made` just now the owner gets what the umask took.
    """
    mode = os.fstat(fd).st_mode
    if not stat.S_ISREG(mode):
        os.close(fd)
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
