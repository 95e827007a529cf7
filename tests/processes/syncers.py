"""A process that puts and waits for the device, which the test is the device of."""

from __future__ import annotations

import errno
import os
import select
import signal
import time
from pathlib import Path
from typing import Self
from unittest import mock

from fastmem import SegmentStore
from fastmem._core.mapping import Mapping
from fastmem.storage import files
from tests.crash.directories import open_segments

PATIENCE_S = 20.0


class Door(Mapping):
    """Segments' pages on their way to the device."""

    asked = rewritten = 0
    slow_s = 0.0
    held_by: Syncer | None = None

    def sync(self, offset: int, length: int) -> None:
        Door.asked += 1
        time.sleep(Door.slow_s)  # as long as a device takes
        if Door.held_by is not None:
            Door.held_by.hold()
        super().sync(offset, length)

    def rewrite(self, offset: int, length: int) -> None:
        Door.rewritten += 1
        super().rewrite(offset, length)


class Syncer:
    """The child is told what to do line by line, and answers each with one."""

    def __init__(self, path: Path) -> None:
        theirs, self._out = os.pipe()
        self._in, mine = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._in)
            os.close(self._out)
            self._in, self._out = theirs, mine
            try:
                self._serve(path)
            finally:
                os._exit(0)
        os.close(theirs)
        os.close(mine)

    def __enter__(self) -> Self:
        assert self.hear() == "ready"
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        os.close(self._in)
        os.close(self._out)

    def kill(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0

    def say(self, line: str) -> None:
        os.write(self._out, line.encode() + b"\n")

    def hear(self, patience_s: float = PATIENCE_S) -> str:
        """The next answer; "" when none comes."""
        line = b""
        while not line.endswith(b"\n"):
            if not select.select([self._in], [], [], patience_s)[0]:
                return ""
            byte = os.read(self._in, 1)
            if not byte:
                return "gone"
            line += byte
        return line.decode().strip()

    def ask(self, line: str) -> str:
        self.say(line)
        return self.hear()

    # -- in the child ----------------------------------------------------------------------------

    def _serve(self, path: Path) -> None:
        with mock.patch.object(files, "map_file", Door):
            store = open_segments(path, durability="disk")
            self.say("ready")
            while (line := self.hear(3600)) not in ("gone", "close"):
                verb, _, rest = line.partition(" ")
                self.say(self._do(store, verb, rest))
            store.close()
            self.say("closed")

    def _do(self, store: SegmentStore, verb: str, rest: str) -> str:
        asked = Door.asked
        try:
            if verb == "put":
                store.put(rest, rest)
            elif verb == "puts":
                for i in range(int(rest)):
                    store.put(f"{os.getpid()}-{i}", i)
            elif verb == "hold":
                Door.held_by = self
            elif verb == "slow":
                Door.slow_s = float(rest)
        except Exception as error:  # noqa: BLE001 - the test is told
            return f"{type(error).__name__}: {error} (asked {Door.asked - asked})"
        return f"done {Door.asked - asked} {Door.rewritten}"

    def hold(self) -> None:
        Door.held_by = None
        self.say("held")
        if self.hear(3600) == "fail":
            raise OSError(errno.EIO, os.strerror(errno.EIO))


def until_there(store: SegmentStore, *keys: str) -> None:
    """Wait until other processes have put these: after that they wait for the device."""
    end = time.monotonic() + PATIENCE_S
    while not all(key in store for key in keys):
        assert time.monotonic() < end, "not put"
        time.sleep(0.001)
