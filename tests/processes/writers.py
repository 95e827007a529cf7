"""Processes that put into a store without end, to be stopped and killed at the worst moment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.crash.directories import BUDGET, LOCK_AT, word

WRITE = """
import os, sys
from fastmem import SegmentStore
name, sizes = sys.argv[2], [int(size) for size in sys.argv[3:]]
with SegmentStore(sys.argv[1], budget_bytes={budget}) as store:
    print(os.getpid(), store._engine.files.processes[0].slot, flush=True)
    number = 0
    while True:
        number += 1
        store.put((name, number % 5), bytes(sizes[number % len(sizes)]))
"""
SECTION_AT = 280


class Writer:
    """One such process."""

    def __init__(
        self, at: Path, name: str, sizes: tuple[int, ...], wrapper: tuple[str, ...]
    ) -> None:
        self.page = at / "l2" / "super"
        self._wrapper = wrapper
        script = WRITE.format(budget=BUDGET)
        self._child = subprocess.Popen(
            [*wrapper, sys.executable, "-c", script, at / "l2", name, *map(str, sizes)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._child.stdout is not None
        pid, slot = self._child.stdout.readline().split()
        self.own_pid, self.slot = int(pid), int(slot)

    @property
    def pid(self) -> int:
        """As this process knows it: of what a wrapper has started, that."""
        if not self._wrapper:
            return self._child.pid
        children = Path(f"/proc/{self._child.pid}/task/{self._child.pid}/children").read_text()
        return int(children.split()[0])

    def has_lock(self) -> bool:
        held = word(self.page, LOCK_AT)
        return held != 0 and held >> 48 == self.slot

    def is_at_work(self) -> bool:
        return word(self.page, SECTION_AT) == self.slot + 1

    def stop_when(self, so: Callable[[], bool], timeout_s: float = 60) -> None:
        """Stop the process at a moment when something is so."""
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            os.kill(self.pid, signal.SIGSTOP)
            while Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "T":
                os.sched_yield()
            if so():
                return
            os.kill(self.pid, signal.SIGCONT)
            time.sleep(0.0005)
        raise AssertionError("it was never so when the process was stopped")

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self._child.wait()

    def end(self) -> None:
        if self._child.poll() is None:
            self.kill()
        if self._child.stdout is not None:
            self._child.stdout.close()


@contextmanager
def writing(at: Path, name: str, *sizes: int, wrapper: tuple[str, ...] = ()) -> Iterator[Writer]:
    """A process that puts values of these sizes by turns."""
    writer = Writer(at, name, sizes, wrapper)
    try:
        yield writer
    finally:
        writer.end()
