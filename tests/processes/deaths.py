"""Processes that die at a given place, and what they leave."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.crash.directories import (
    LOCK_AT,
    TAIL_AT,
    TAIL_INVERSE_AT,
    Opener,
    engine_of,
    open_segments,
    patch,
    set_word,
    word,
)


def killed(work: Callable[[], object]) -> None:
    """Do something in a forked child that is killed when it is done with that, or before."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL


def nothing(store: Any) -> None:
    """Before a death."""


def put_half(
    path: Path,
    key: str,
    value: object,
    opener: Opener = open_segments,
    first: Callable[[Any], object] = nothing,
) -> None:
    """Put in a process that dies under the write lock: the record is whole, no slot leads to it."""

    def work() -> None:
        store = opener(path)
        first(store)
        files = [path / "l2" / name for name in ("index", "overflow")]
        before = [file.read_bytes() for file in files]
        tails = {at: word(path / "l2/super", at) for at in (TAIL_AT, TAIL_INVERSE_AT)}
        store.put(key, value)
        for file, data in zip(files, before, strict=True):
            patch(file, 0, data)
        for at, tail in tails.items():
            set_word(path / "l2/super", at, tail)
        own = engine_of(store).files.processes[0]
        set_word(path / "l2/super", LOCK_AT, own.slot << 48 | own.incarnation)

    killed(work)
