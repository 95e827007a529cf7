"""Byte locks of `procs`. They belong to the open file: the kernel frees them when the last process
that has it dies, and they say nothing of pids, which containers share.
"""

import errno
import os

from libc.stdint cimport int64_t

cdef extern from "waiting.h" nogil:
    int F_RDLCK
    int F_WRLCK
    int F_UNLCK
    int fm_lock_bytes(int fd, int64_t start, int64_t length, int kind) noexcept
    int64_t fm_held_byte(int fd, int64_t start, int64_t length) noexcept


def lock_bytes(int fd, int64_t start, int64_t length, bint exclusive):
    """Lock bytes for an open file, without waiting. False when another has one of them."""
    cdef int failed = fm_lock_bytes(fd, start, length, F_WRLCK if exclusive else F_RDLCK)
    if failed in (errno.EAGAIN, errno.EACCES):
        return False
    if failed:
        raise OSError(failed, os.strerror(failed))
    return True


def unlock_bytes(int fd, int64_t start, int64_t length):
    """Free bytes, whoever of those that share the open file has locked them."""
    cdef int failed = fm_lock_bytes(fd, start, length, F_UNLCK)
    if failed:
        raise OSError(failed, os.strerror(failed))


def held_byte(int fd, int64_t start, int64_t length):
    """Return the first of these bytes that another open file has locked, None when there is none.

    All byte locks here and above take `length` 0 for all bytes from `start` on.
    """
    cdef int64_t byte = fm_held_byte(fd, start, length)
    if byte == -2:
        raise OSError(errno.EINVAL, "no byte locks here")
    return None if byte < 0 else byte
