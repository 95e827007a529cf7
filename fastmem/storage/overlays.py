"""Files on the lower layer of an overlay file system, as an image of a container has them.

Whoever opens one for reading maps the lower layer's file; the first who opens it for writing copies
it up, and from then on maps another file under the same name. What is written there never shows in
the first mapping. So a reader refuses such files; a writer copies them up and maps what all map.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import NamedTuple

from fastmem._core.filesystems import filesystem_type, overlay_upper

__all__ = ["REASON", "is_lower"]

OVERLAY = 0x794C7630
REASON = (
    "lies on a lower layer of an overlay file system, where a reader would not see what a later "
    "writer writes: use a volume or bind mount, or open it for writing"
)
_MOUNTS = Path("/proc/self/mountinfo")
_OCTAL = re.compile(r"\\([0-7]{3})")


class Mount(NamedTuple):
    """An overlay file system as it is mounted: a directory of it, `root`, at `point`."""

    root: str
    point: str
    upper: str | None  # None: there is none, so nobody writes


def is_lower(fd: int) -> bool:
    """True when a later writer may map another file than a reader of `fd` does now.

    The upper layer's directory tells, where this process can see it. Elsewhere the kernel says of a
    file that it was made on the upper layer, and nothing of one that was copied up: that is refused
    too. Before Linux 6.6 it says nothing at all, and the file passes.
    """
    if filesystem_type(fd) != OVERLAY:
        return False
    mount = _mount_of(fd)
    if mount is not None:
        if mount.upper is None or os.fstatvfs(fd).f_flag & os.ST_RDONLY:
            return False
        told = _is_in(mount.upper, mount, os.readlink(f"/proc/self/fd/{fd}"))
        if told is not None:
            return not told
    return overlay_upper(fd) is False


def _mount_of(fd: int) -> Mount | None:
    """The mount that a file was opened through; None when that is not to be found out."""
    with contextlib.suppress(OSError):
        facts = Path(f"/proc/self/fdinfo/{fd}").read_text(encoding="ascii")
        number = re.search(r"^mnt_id:\s*(\d+)$", facts, re.MULTILINE)
        for line in _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
            fields = line.split(" ")
            if number and fields[0] == number[1]:
                options = fields[-1].split(",")
                upper = [o.removeprefix("upperdir=") for o in options if o.startswith("upperdir=")]
                root, point = map(_plain, fields[3:5])
                return Mount(root, point, _plain(upper[0]) if upper else None)
    return None


def _plain(text: str) -> str:
    """A path as it is, of one as /proc writes it."""
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), text)


def _is_in(upper: str, mount: Mount, path: str) -> bool | None:
    """True when the upper layer has the file; None when this process cannot see that layer."""
    if not os.path.isabs(upper) or not os.path.isdir(upper):
        return None
    inside = os.path.relpath(path, mount.point)
    if inside.startswith(".."):
        return None
    try:
        os.lstat(os.path.join(upper, mount.root.lstrip("/"), inside))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return None
    return True
