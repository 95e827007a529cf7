"""What Linux has and the standard library lacks: fallocate without glibc's emulation, a rename that
replaces nothing, and what a file system tells of itself.
"""

from cpython.exc cimport PyErr_SetFromErrno

cdef extern from * nogil:
    """
    #include <errno.h>
    #include <fcntl.h>
    #include <stdio.h>
    #include <sys/stat.h>
    #include <sys/vfs.h>
    static long fm_filesystem(int fd) {
        struct statfs facts;
        return fstatfs(fd, &facts) ? -1 : (long)(facts.f_type & 0xffffffffL);
    }
    #ifndef AT_HANDLE_FID
    #define AT_HANDLE_FID 0x200
    #endif
    struct fm_handle { unsigned int bytes; int type; unsigned char data[128]; };
    int name_to_handle_at(int, const char *, struct file_handle *, int *, int);
    static int fm_overlay_upper(int fd) {
        /* struct ovl_fh: 3 bytes, version, magic, length, flags; flag 4: it was made above */
        struct fm_handle handle = {sizeof handle.data, 0, {0}};
        int mount;
        if (name_to_handle_at(fd, "", (struct file_handle *)&handle, &mount,
                              AT_HANDLE_FID | AT_EMPTY_PATH))
            return -1;
        if (handle.bytes < 8 || handle.type != 0xf8 || handle.data[3] || handle.data[4] != 0xfb)
            return -1;
        return (handle.data[6] & 4) != 0;
    }
    static int fm_rename_new(int folder, const char *old, const char *name) {
        struct stat facts;
        if (fstatat(folder, name, &facts, AT_SYMLINK_NOFOLLOW) == 0) {
            errno = EEXIST;
            return -1;
        }
        return errno == ENOENT ? renameat(folder, old, folder, name) : -1;
    }
    """
    int _c_fallocate "fallocate"(int fd, int mode, long long offset, long long length)
    long fm_filesystem(int fd)
    int fm_overlay_upper(int fd)
    int fm_rename_new(int folder, const char* old, const char* name)


def fallocate(int fd, long long offset, long long length):
    """Allocate blocks for the range, extending the file. OSError when the space is not there."""
    cdef int failed
    with nogil:
        failed = _c_fallocate(fd, 0, offset, length)
    if failed:
        PyErr_SetFromErrno(OSError)


def filesystem_type(int fd):
    """Return the magic number of the file system that holds `fd` (statfs(2) f_type)."""
    cdef long kind = fm_filesystem(fd)
    if kind < 0:
        PyErr_SetFromErrno(OSError)
    return kind


def overlay_upper(int fd):
    """Of a file on an overlay file system: True when it was made on the upper layer, False when on
    a lower one, copied up since or not; None when the kernel does not tell (before 6.6).
    """
    cdef int told = fm_overlay_upper(fd)
    return None if told < 0 else told == 1


def rename_new(int folder, bytes old not None, bytes name not None):
    """Rename a file of a directory unless the new name is taken: FileExistsError.

    One step for all of this process, finalizers and signal handlers included: the GIL is held from
    the look to the rename. Not every file system has RENAME_NOREPLACE.
    """
    if fm_rename_new(folder, old, name) != 0:
        PyErr_SetFromErrno(OSError)
