"""What an opening finds in its directories. Whoever wrote it may not have waited for the device: a
process before this one, or a copy of the files. So the first sync of an opening goes through all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from fastmem.storage.files import Directory

__all__ = ["sync_found"]

# An index is made anew after a power loss, and first pages are recovered.
_NAME = re.compile(r"(?:seg|cold|dict)\.\d{1,18}|val\.[0-9a-f]{16}")


def sync_found(directories: Iterable[Directory]) -> None:
    """Make all segments, value files and dictionaries that are there survive power loss.

    Those that have already cost an open and a close each.
    """
    for directory in directories:
        for name in directory.names():
            if _NAME.fullmatch(name):
                directory.sync_file(name)
        directory.sync()
