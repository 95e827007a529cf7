"""Where a command works: its directory, and the memory it opens there."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastmem.errors import FastmemError

if TYPE_CHECKING:
    from fastmem.memory import TieredMemorySystem

__all__ = ["ARCHIVE", "CACHE", "OpenError", "open_memory", "working_directory"]

CACHE, ARCHIVE = "cache", "archive"  # the directories of L2 and L3 below a command's own


class OpenError(ValueError):
    """A memory that cannot be opened as asked, such as a budget too small for what is there."""


def open_memory(
    l1_size_mb: float, l2_path: Path, l3_path: Path, **options: Any
) -> TieredMemorySystem:
    """Open the memory in two directories.

    Raises :class:`OpenError` for what the arguments ask, :class:`~fastmem.errors.FastmemError` or
    ``OSError`` for what is there.
    """
    from fastmem.memory import TieredMemorySystem

    try:
        return TieredMemorySystem(l1_size_mb, str(l2_path), str(l3_path), **options)
    except FastmemError:
        raise
    except ValueError as error:
        raise OpenError(str(error)) from error


@contextmanager
def working_directory(chosen: Path | None, purpose: str, *, keep: bool = False) -> Iterator[Path]:
    """The directory *chosen*, made when it is missing, or a temporary one, removed unless *keep*.

    What is made is for this user alone (mode 0700).
    """
    if chosen is not None:
        from fastmem.storage.parents import make_directory

        make_directory(chosen.absolute())
        yield chosen
    elif keep:
        yield Path(tempfile.mkdtemp(prefix=f"fastmem-{purpose}-"))
    else:
        with tempfile.TemporaryDirectory(prefix=f"fastmem-{purpose}-") as name:
            yield Path(name)
