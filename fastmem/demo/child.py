"""The process that is killed: walks through the memory and tells its parent each step in a pipe.

A line of JSON per step, ``[method, arguments]``, written by one ``write`` after the step is done:
once the parent can read that a put returned, no later death of this process can unsay it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fastmem.demo.analysis import module_files
from fastmem.demo.ledger import TIERS, Key, Ledger
from fastmem.demo.workload import Walker, visits
from fastmem.workplace import open_memory

__all__ = ["STEPS", "Orders", "PipeObserver", "apply_line", "main"]

STEPS = frozenset({"visited", "hit", "computed", "refused", "sampled"})


@dataclass(frozen=True, slots=True)
class Orders:
    """What the child is to do; its one argument, as JSON."""

    pipe: int
    l1_size_mb: float
    l2_size_mb: float
    l2_path: str
    l3_path: str
    root: str
    seed: int

    def to_json(self) -> str:
        return json.dumps(asdict(self))


class PipeObserver:
    """Writes every step into a pipe. The writes are short enough to be atomic."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def _write(self, method: str, *arguments: Any) -> None:
        rest = json.dumps([method, arguments]).encode() + b"\n"
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def visited(self, visit: int) -> None:
        self._write("visited", visit)

    def hit(self, moment: int, tier: str, latency: int, key: Key, digest: str) -> None:
        self._write("hit", moment, tier, latency, key, digest)

    def computed(
        self, moment: int, lookup: int, cost: int, put: int, key: Key, digest: str
    ) -> None:
        self._write("computed", moment, lookup, cost, put, key, digest)

    def refused(self, key: Key) -> None:
        self._write("refused", key)

    def sampled(self, moment: int, tiers: Mapping[str, Mapping[str, Any]]) -> None:
        self._write("sampled", moment, {name: tiers[name] for name in TIERS})


def apply_line(line: bytes, ledger: Ledger) -> None:
    """Enter one line of the pipe into *ledger*."""
    method, arguments = json.loads(line)
    if method not in STEPS:
        raise ValueError(f"unknown step {method!r}")
    getattr(ledger, method)(
        *(tuple(item) if isinstance(item, list) else item for item in arguments)
    )


def main(orders: Orders) -> None:
    """Walk until killed, or until nobody reads the pipe any more."""
    files = module_files(orders.root)
    observer = PipeObserver(orders.pipe)
    paths = Path(orders.l2_path), Path(orders.l3_path)
    with open_memory(orders.l1_size_mb, *paths, l2_size_mb=orders.l2_size_mb) as memory:
        walker = Walker(memory, Path(orders.root), files, observer)
        for number, visit in enumerate(visits(len(files), orders.seed)):
            observer.visited(number)
            walker.follow(visit)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C is the parent's to tell
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # the parent is gone: so are we
    main(Orders(**json.loads(sys.argv[1])))
