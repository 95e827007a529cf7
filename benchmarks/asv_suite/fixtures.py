"""What the asv benchmarks share: the class under test or a skip, and a private directory."""

from __future__ import annotations

import importlib
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


def need(name: str, module: str = "fastmem") -> Any:
    """``module.name``; NotImplementedError, which asv shows as n/a, where a commit lacks it."""
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise NotImplementedError(f"{module}.{name} is not in this commit") from error


class InDirectory:
    """A benchmark with a private directory, and things to close before it goes."""

    def open(self, make: Callable[[Path], Any]) -> Any:
        """``make(path)`` in a new directory; closed by :meth:`teardown`."""
        self._path = Path(tempfile.mkdtemp(prefix="fastmem-asv-"))
        self._store = make(self._path)
        return self._store

    def teardown(self, *_: object) -> None:
        if hasattr(self, "_store"):
            self._store.close()
            del self._store
        if hasattr(self, "_path"):
            shutil.rmtree(self._path)
            del self._path


def get_all(get: Callable[[Any], Any], keys: Sequence[Any]) -> None:
    """One pass of reads."""
    for key in keys:
        get(key)


def put_all(put: Callable[[Any, Any], Any], pairs: Sequence[tuple[Any, Any]]) -> None:
    """One pass of writes."""
    for key, value in pairs:
        put(key, value)
