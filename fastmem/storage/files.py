"""The one door to the operating system: every file of the lower tiers is touched here.

Tests inject faults by replacing the functions of this module (`fallocate`, `map_file`, `unlink`,
...); nothing else in the package opens, renames or removes a file of a store.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path

from fastmem._core.descriptor import Descriptor
from fastmem._core.filesystems import fallocate, filesystem_type, rename_new
from fastmem._core.mapping import Mapping
from fastmem.errors import ClosedError, DirectoryRefusedError, StoreNotFoundError
from fastmem.storage.descriptors import NO_FILE, Placed, opened, pread_resident, require_file
from fastmem.storage.overlays import REASON, is_lower
from fastmem.storage.parents import make_directory, refuse_path

__all__ = ["Directory", "fallocate", "map_file"]

log_to = logging.getLogger("fastmem.storage")

LOCK_FILE = "procs"
_NETWORK = {
    0x6969: "NFS",
    0xFF534D42: "CIFS",
    0xFE534D42: "SMB2",
    0x517B: "SMB",
    0x01021997: "9P",
    0x00C36400: "Ceph",
    0x5346414F: "AFS",
    0x0BD00BD0: "Lustre",
    0x47504653: "GPFS",
}


_UNSUPPORTED = frozenset((errno.EOPNOTSUPP, errno.ENOSYS))
_ZEROS = bytes(1 << 20)


def map_file(fd: int, size: int, writable: bool) -> Mapping:
    """Map `size` bytes of `fd`, or private zeroed memory when `fd` is -1."""
    try:
        return Mapping(fd, size, writable)
    except OSError as error:
        if error.errno == errno.ENOMEM:
            error.strerror = f"no {size:,} bytes of addresses to map it at (see ulimit -v)"
        raise


def allocate(fd: int, start: int, end: int) -> None:
    """Give a file's range [start, end) its blocks on the device; what is there stays.

    Where the file system knows no fallocate, holes and what lies past the end are written with
    zeros. OSError (ENOSPC) leaves the file as long as it was.
    """
    try:
        fallocate(fd, start, end - start)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
    else:
        return
    size = os.fstat(fd).st_size
    at = start
    while at < min(end, size):
        hole = os.lseek(fd, at, os.SEEK_HOLE)
        if hole >= min(end, size):
            break
        try:
            at = min(os.lseek(fd, hole, os.SEEK_DATA), end)
        except OSError:  # ENXIO: a hole up to the end
            at = min(size, end)
        _write_zeros(fd, hole, at)
    try:
        _write_zeros(fd, size, end)
    except BaseException:
        os.ftruncate(fd, size)
        raise


def _write_zeros(fd: int, start: int, end: int) -> None:
    while start < end:
        start += os.pwrite(fd, _ZEROS[: end - start], start)


class Directory:
    """One directory of a store: checked, and the only way to its files.

    The directory must belong to this user, be writable by nobody else, be reached through no
    symbolic link and below no directory that others may write (parents.py), and lie on a local
    file system; it is created with mode 0700, files with 0600, whatever the umask.
    """

    def __init__(self, path: str | os.PathLike[str], *, read_only: bool = False) -> None:
        # Held by each call too while it lasts; gone after `close`.
        self._held: Descriptor | None = None
        self.path = Path(os.path.abspath(os.fspath(path)))
        self.read_only = read_only
        self._sound = True
        refuse_path(self.path)
        if not read_only:
            make_directory(self.path)
        try:
            self._held = self._open(self.path, os.O_RDONLY | os.O_DIRECTORY, None)
        except FileNotFoundError:
            raise StoreNotFoundError("there is no such directory", self.path) from None
        try:
            with self._placed() as folder:
                self._refuse_unsafe(folder)
        except BaseException:
            self.close()
            raise

    def _refuse_unsafe(self, fd: int) -> None:
        facts = os.fstat(fd)
        if facts.st_uid != os.geteuid():
            raise DirectoryRefusedError(
                f"belongs to user {facts.st_uid}, not to user {os.geteuid()}",
                self.path,
                errno.EPERM,
            )
        if facts.st_mode & 0o022:
            raise DirectoryRefusedError(
                f"others may write to it (mode {stat.S_IMODE(facts.st_mode):04o}): chmod 700",
                self.path,
                errno.EPERM,
            )
        kind = _NETWORK.get(filesystem_type(fd))
        if kind is not None:
            raise DirectoryRefusedError(
                f"lies on a network file system ({kind}), where mappings are not coherent",
                self.path,
                errno.EOPNOTSUPP,
            )

    def close(self) -> None:
        """Let go of the directory, when no call uses it any more. Idempotent."""
        self._held = None

    # Every name below is one of fastmem's own, never a key.

    def open(self, name: str, flags: int) -> int:
        """Open a regular file. OSError (a code of NO_FILE) for whatever else bears the name."""
        with self._placed(name) as folder:
            # A pipe would wait for ever; for a file the flag means nothing.
            file = self._open(name, flags | os.O_NONBLOCK, folder)
            try:
                require_file(file.fd, made=bool(flags & os.O_CREAT))
            except BaseException:
                del file  # the traceback would keep it
                raise
        return file.detach()

    def _placed(self, name: str = "") -> Placed:
        held = self._held
        if held is None:
            raise ClosedError(f"the store is closed: {str(self.path)!r}")
        return Placed(held, self.path / name)

    def _open(self, name: str | Path, flags: int, folder: int | None) -> Descriptor:
        flags |= os.O_CLOEXEC | os.O_NOFOLLOW
        if self.read_only:  # what is only looked at keeps the time that it was read last
            with contextlib.suppress(PermissionError):  # another's file
                return opened(name, flags | os.O_NOATIME, folder)
        return opened(name, flags, folder)

    def names(self) -> list[str]:
        """All names in the directory."""
        with self._placed() as folder:
            # Not of `folder` itself: threads that list at once would share its offset.
            listed = self._open(".", os.O_RDONLY | os.O_DIRECTORY, folder)
            return os.listdir(listed.fd)

    def stat(self, name: str) -> os.stat_result:
        with self._placed(name) as folder:
            return os.stat(name, dir_fd=folder, follow_symlinks=False)

    def size(self, name: str) -> int:
        """Bytes of a file; 0 of what else bears the name, which holds none. OSError for a symbolic
        link, as `open` has it.
        """
        facts = self.stat(name)
        if stat.S_ISLNK(facts.st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(self.path / name))
        return facts.st_size if stat.S_ISREG(facts.st_mode) else 0

    def is_empty(self, name: str) -> bool:
        """True for a file without a byte."""
        facts = self.stat(name)
        return stat.S_ISREG(facts.st_mode) and facts.st_size == 0

    def allocated_bytes(self, name: str) -> int:
        """Bytes the file takes on disk, 0 when there is none."""
        try:
            return self.stat(name).st_blocks * 512
        except FileNotFoundError:
            return 0

    def mark(self, name: str) -> None:
        """Mark a file, for all who see the directory: its sticky bit, which means nothing else."""
        fd = self.open(name, os.O_RDONLY)
        try:
            os.fchmod(fd, stat.S_IMODE(os.fstat(fd).st_mode) | stat.S_ISVTX)
        finally:
            os.close(fd)

    def is_marked(self, name: str) -> bool:
        try:
            return bool(self.stat(name).st_mode & stat.S_ISVTX)
        except FileNotFoundError:
            return False

    def unlink(self, name: str) -> None:
        """Remove a file; one that is gone already is no error. A directory is set aside."""
        try:
            with contextlib.suppress(FileNotFoundError), self._placed(name) as folder:
                os.unlink(name, dir_fd=folder)
        except IsADirectoryError:
            self.set_aside(name)

    def set_aside(self, name: str) -> None:
        """Rename what bears one of our names and is none of ours: `foreign.<name>`, with a number
        after it when there is one already.
        """
        log_to.warning("%s is none of this store's, and set aside", self.path / name)
        for attempt in itertools.count():
            with contextlib.suppress(FileExistsError):
                self.publish(name, f"foreign.{name}.{attempt}".removesuffix(".0"))
                return

    def rename(self, old: str, new: str) -> None:
        """Rename a file, in place of the file that bears the name; a directory is set aside."""
        try:
            with self._placed(new) as folder:
                os.rename(old, new, src_dir_fd=folder, dst_dir_fd=folder)
        except IsADirectoryError:
            self.set_aside(new)
            self.rename(old, new)

    def publish(self, temporary: str, name: str) -> None:
        """Let a finished file appear as `name`. FileExistsError when there is one already."""
        with self._placed(name) as folder:
            rename_new(folder, temporary.encode(), name.encode())

    def sync_file(self, name: str, *, again: bool = False) -> None:
        """Make a file's bytes survive power loss; one that is gone already is no error.

        `again`: the device may have refused them before, and they count as written since. So they
        are written once more, as they are.
        """
        try:
            fd = self.open(name, os.O_RDWR if again else os.O_RDONLY)
        except OSError as error:
            if error.errno == errno.ENOENT or error.errno in NO_FILE:
                return
            raise
        try:
            with self._placed(name):
                if again:
                    _write_in_place(fd)
                os.fdatasync(fd)
        finally:
            os.close(fd)

    def sync(self) -> None:
        """Make names created, renamed and removed so far survive power loss."""
        if not self._sound:
            raise OSError(errno.EIO, "an earlier sync of the directory failed", str(self.path))
        with self._placed() as folder:
            try:
                os.fsync(folder)
            except OSError:
                self._sound = False  # the device tells it once, to whoever asks first
                raise

    def read(self, name: str, limit: int, offset: int = 0) -> bytes:
        """Return up to `limit` bytes of a file from `offset` on, fewer when it ends before.

        Never allocates more than the file holds, whatever `limit` says.
        """
        return self._read(name, limit, offset, os.pread)

    def read_resident(self, name: str, limit: int, offset: int) -> bytes:
        """As `read`, but BlockingIOError rather than waiting for the device."""
        return self._read(name, limit, offset, pread_resident)

    def _read(
        self, name: str, limit: int, offset: int, pread: Callable[[int, int, int], bytes]
    ) -> bytes:
        fd = self.open(name, os.O_RDONLY)
        try:
            with self._placed(name):
                length = min(limit, max(os.fstat(fd).st_size - offset, 0))
                data = pread(fd, length, offset)
                while len(data) < length and (
                    more := pread(fd, length - len(data), offset + len(data))
                ):
                    data += more
                return data
        finally:
            os.close(fd)

    def write(self, name: str, parts: list[bytes | memoryview], *, sync: bool) -> None:
        """Write a whole file under `name`, all or nothing: temporary file, then rename."""
        temporary = f"new.{name}"
        fd = self.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            try:
                with self._placed(name):
                    end = 0
                    for part in parts:
                        end = _write_all(fd, part, end)
                    if sync:
                        os.fsync(fd)
            finally:
                os.close(fd)
            self.rename(temporary, name)
        except BaseException:
            self.unlink(temporary)
            raise
        if sync:
            self.sync()

    def create(self, name: str, size: int, head: bytes) -> Mapping:
        """Create a file of `size` allocated bytes that starts with `head`, mapped for writing.

        It appears under its name only when it is complete, and never in place of another
        (FileExistsError). OSError (ENOSPC, EOPNOTSUPP, ...) leaves nothing behind.
        """
        # A name of this call alone: another may come in the middle of it, from a finalizer.
        temporary = f"new.{name}.{os.urandom(4).hex()}"
        fd = self.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            with self._placed(name):
                allocate(fd, 0, size)
                _write_all(fd, head, 0)
                mapping = map_file(fd, size, True)
                self.publish(temporary, name)
        except BaseException:
            self.unlink(temporary)
            raise
        finally:
            os.close(fd)
        return mapping

    def map(self, name: str, size: int | None = None, *, writable: bool = True) -> Mapping:
        """Map an existing file, `size` bytes of it (which may lie past its end) or all of it; not
        for writing when the directory is `read_only`.

        DirectoryRefusedError for a mapping that would go stale, of a reader (see overlays.py).
        """
        writable = writable and not self.read_only
        fd = self.open(name, os.O_RDWR if writable else os.O_RDONLY)
        try:
            if self.read_only and is_lower(fd):
                raise DirectoryRefusedError(REASON, self.path / name, errno.EOPNOTSUPP)
            with self._placed(name):
                return map_file(fd, size or os.fstat(fd).st_size, writable)
        finally:
            os.close(fd)

    def private(self, name: str, size: int) -> Mapping:
        """Zeroed memory of this process in place of a file."""
        with self._placed(name):
            return map_file(-1, size, True)

    def extend(self, name: str, start: int, size: int) -> None:
        """Allocate the file's range [start, size)."""
        fd = self.open(name, os.O_RDWR)
        try:
            with self._placed(name):
                allocate(fd, start, size)
        finally:
            os.close(fd)


def _write_in_place(fd: int) -> None:
    at = 0
    while part := os.pread(fd, len(_ZEROS), at):
        at += os.pwrite(fd, part, at)


def _write_all(fd: int, data: bytes | memoryview, at: int) -> int:
    """Write bytes at an offset, whatever process that shares the file does meanwhile. The end."""
    rest = memoryview(data).cast("B")
    while rest:
        done = os.pwrite(fd, rest, at)
        at, rest = at + done, rest[done:]
    return at
