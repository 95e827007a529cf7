"""Instructions a hit executes, counted by callgrind: exact, where times on shared cores are not.

    python -m benchmarks.instructions

A contender runs the same loop over the same 1,000 keys in two processes, one of which goes round
more often; the difference, less that of the empty loop, is what one operation executes. Start-up,
imports and filling cancel out. It counts what the interpreter executes around the call too, which
is the same for everybody. Needs ``valgrind`` and takes a few minutes.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks import peers, timing, workloads

ROOT: Final = Path(__file__).resolve().parent.parent
START: Final = (
    "import sys; sys.path.append(sys.argv.pop(1)); "
    "from benchmarks import instructions; instructions.run(sys.argv[1], int(sys.argv[2]))"
)
KEYS: Final = 1000
FEW: Final = 20  # times round the keys
MANY: Final = 120
EMPTY: Final = "empty loop"


def _l1(**keywords: Any) -> Any:
    return peers.ours("L1Cache")(peers.UNBOUNDED_BYTES, **keywords)


def _found(entries: str, name: str) -> Any:
    return next(p for p in (peers.DICT, *peers.L1_PEERS) if p.name == name).make(int(entries))


def _memory(*, shared: bool, **keywords: Any) -> Any:
    place = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, place)
    memory = peers.ours("TieredMemorySystem")(
        64, f"{place}/l2", f"{place}/l3", l2_size_mb=16, **keywords
    )
    memory._engine.files.super.set("joined", int(shared))
    return memory


def _store() -> Any:
    place = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, place)
    return peers.ours("SegmentStore")(place, budget_bytes=64 << 20)


def _small_l1() -> Any:
    """A memory whose L1 has room for a few of the values: a get is a miss there and found in L2."""
    place = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, place)
    return peers.ours("TieredMemorySystem")(
        1 / 64, f"{place}/l2", f"{place}/l3", l2_size_mb=64, l3_size_mb=64
    )


# name -> (the cache, the statement that fills it, the statement that is counted)
CONTENDERS: Final[Mapping[str, tuple[Any, str, str]]] = {
    EMPTY: (dict, "c[k] = 7", "pass"),
    "dict.get(k)": (dict, "c[k] = 7", "get(k)"),
    "dict c[k]": (dict, "c[k] = 7", "c[k]"),
    "fastmem get(k)": (_l1, "c[k] = 7", "get(k)"),
    "fastmem c[k]": (_l1, "c[k] = 7", "c[k]"),
    "fastmem get(k), with a deadline": (_l1, "c.put(k, 7, 3600)", "get(k)"),
    "fastmem put over": (_l1, "c[k] = 7", "c[k] = 7"),
    "fastmem s3fifo get(k)": (lambda: _l1(policy="s3fifo"), "c[k] = 7", "get(k)"),
    "fastmem s3fifo c[k]": (lambda: _l1(policy="s3fifo"), "c[k] = 7", "c[k]"),
    "fastmem s3fifo put over": (lambda: _l1(policy="s3fifo"), "c[k] = 7", "c[k] = 7"),
    "memory get(k), alone": (lambda: _memory(shared=False), "c[k] = 7", "get(k)"),
    "memory c[k], alone": (lambda: _memory(shared=False), "c[k] = 7", "c[k]"),
    "memory get(k), shared": (lambda: _memory(shared=True), "c[k] = 7", "get(k)"),
    "memory get(k), coherent": (
        lambda: _memory(shared=True, coherent=True),
        "c[k] = 7",
        "get(k)",
    ),
    "memory c[k], coherent": (lambda: _memory(shared=True, coherent=True), "c[k] = 7", "c[k]"),
    "store get(k), 1 KB": (_store, "c[k] = bytes(1000)", "get(k)"),
    "store get(k), an int": (_store, "c[k] = 7", "get(k)"),
    "store k in c": (_store, "c[k] = 7", "k in c"),
    "store put over, 1 KB": (_store, "c[k] = bytes(1000)", "c[k] = b"),
    "memory get(k), 1 KB from L2": (_small_l1, "c[k] = bytes(1000)", "get(k)"),
    "cachebox LRU get(k)": (lambda: _found("1000", "cachebox LRU"), "c[k] = 7", "get(k)"),
    "cachebox LRU c[k]": (lambda: _found("1000", "cachebox LRU"), "c[k] = 7", "c[k]"),
    "cachebox LRU put over": (lambda: _found("1000", "cachebox LRU"), "c[k] = 7", "c[k] = 7"),
    "lru-dict get(k)": (lambda: _found("1000", "lru-dict"), "c[k] = 7", "get(k)"),
    "lru-dict c[k]": (lambda: _found("1000", "lru-dict"), "c[k] = 7", "c[k]"),
    "functools.lru_cache f(k)": (lambda: _found("1000", "functools.lru_cache"), "c(k)", "c(k)"),
}


def run(name: str, rounds: int) -> None:
    """In the child: fill, then the counted loop."""
    make, fill, statement = CONTENDERS[name]
    cache = make()
    names = {"c": cache, "get": getattr(cache, "get", None), "b": bytes(1000)}
    keys = workloads.user_keys(KEYS)
    timing.compile_loop(fill, names)(keys)
    # An order that no list follows, so that every hit relinks.
    order = workloads.take(keys, workloads.uniform(KEYS, KEYS))
    timing.compile_loop(statement, names)(order * rounds)


def executed(name: str, rounds: int) -> int:
    """Instructions of a whole child."""
    with tempfile.TemporaryDirectory() as scratch:
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={scratch}/out"]
        command += [sys.executable, "-P", "-c", START, str(ROOT), name, str(rounds)]
        environment = {**os.environ, "PYTHONHASHSEED": "0"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    counted = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or not counted:
        raise SystemExit(done.stderr)
    return int(counted[1])


def per_operation(name: str) -> float:
    return (executed(name, MANY) - executed(name, FEW)) / (MANY - FEW) / KEYS


def main(chosen: list[str]) -> None:
    if shutil.which("valgrind") is None:
        raise SystemExit("valgrind is not installed")
    base = per_operation(EMPTY)
    print("| operation | instructions |\n|---|---:|", flush=True)
    for name in chosen or CONTENDERS:
        if name != EMPTY:
            print(f"| {name} | {per_operation(name) - base:.0f} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
