"""A signal handler raises while the system opens a file: nobody would have the number to close."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fastmem.storage.files import Directory

TRIES, FEW = 3_000, 15


class Interrupted(Exception):
    """What the handler raises."""


@pytest.fixture(autouse=True)
def _interrupts() -> Iterator[None]:
    def interrupt(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    yield
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize(
    "call",
    [
        lambda at: at.names(),
        lambda at: at.read("file", 100),
        lambda at: at.write("new", [b"bytes"], sync=False),
    ],
)
def test_descriptors_of_interrupted_calls(
    call: Callable[[Directory], object], private_tmp: Path
) -> None:
    (private_tmp / "file").write_bytes(b"bytes")
    directory, chance = Directory(private_tmp), random.Random(7)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(TRIES):
        try:
            try:
                signal.setitimer(signal.ITIMER_REAL, chance.random() * 1e-4 + 1e-6)
                call(directory)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        except Interrupted:
            continue
    leaked = len(os.listdir("/proc/self/fd")) - before
    assert leaked < FEW
    directory.close()
