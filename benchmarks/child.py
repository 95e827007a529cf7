"""Measures that need a process of their own: resident memory, the collector, a writer that dies.

The parent asks over a pipe and the child answers with one number a line, so that children of
several peers can be asked in turn within a round.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks import peers, timing, workloads

ROOT: Final = Path(__file__).resolve().parent.parent
# The tree goes last on the path, so that an installed fastmem is the one measured.
START: Final = (
    "import sys; sys.path.append(sys.argv.pop(1)); "
    "from benchmarks import child; child.main(sys.argv[1:])"
)
COMMAND: Final = (sys.executable, "-P", "-c", START, str(ROOT))
CACHES: Final = {p.name: p for p in (peers.L1_OURS, peers.DICT, *peers.L1_PEERS)}
GETSIZEOF: Final = "cachetools, sys.getsizeof"
STORES: Final = {p.name: p for p in (peers.STORE_OURS, peers.LMDB, peers.DISKCACHE)}
# Caches with a budget in bytes: ours, and what people build with sys.getsizeof.
BOUNDED: Final[Mapping[str, Callable[[int], Any]]] = {
    peers.L1_OURS.name: lambda budget_bytes: peers.ours("L1Cache")(budget_bytes),
    GETSIZEOF: lambda budget_bytes: importlib.import_module("cachetools").LRUCache(
        budget_bytes, getsizeof=sys.getsizeof
    ),
}


class ChildError(RuntimeError):
    """A child process failed; the message is its standard error."""


class Child:
    """A running child and one question at a time."""

    def __init__(self, *arguments: object) -> None:
        self._process = subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def send(self, question: str = "") -> None:
        """Ask, and do not wait."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # `hear` says why
            self._process.stdin.write(f"{question}\n")
            self._process.stdin.flush()

    def hear(self) -> float:
        """The answer to a question."""
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        if not answer:
            raise ChildError(self._process.communicate()[1].strip() or "the child said nothing")
        return float(answer)

    def ask(self) -> float:
        self.send()
        return self.hear()

    def close(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate()


def resident_per_entry(name: str, count: int) -> float:
    """Bytes that the resident set grows by for each entry of a cache, keys and values aside."""
    holder = Child("memory", name, count)
    try:
        return holder.ask()
    finally:
        holder.close()


def resident_per_budget(name: str, budget_bytes: int) -> float:
    """What the resident set grows by for each byte of budget, after five budgets of mixed values
    went through the cache."""
    holder = Child("budget", name, budget_bytes)
    try:
        return holder.ask()
    finally:
        holder.close()


class Collector(Child):
    """A process that holds one cache, and runs a full collection when asked."""

    def __init__(self, name: str, count: int) -> None:
        super().__init__("collect", name, count)

    def collect_ms(self) -> float:
        """Milliseconds of one full collection."""
        return self.ask()


def write_and_die(name: str, path: Path, count: int, start: int = 0) -> None:
    """Put ``count`` records from a child that then gets SIGKILL with the store open."""
    command = [*COMMAND, "die", name, str(path), str(count), str(start)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != -signal.SIGKILL:
        raise ChildError(done.stderr.strip() or f"exit status {done.returncode}")


def fill_store(peer: peers.Peer, store: Any, pairs: Sequence[tuple[Any, Any]]) -> None:
    """Put all pairs, in one transaction for the peers that have such a thing."""
    names = {**peer.names(store), "c": store}
    assert peer.put is not None
    statement = peer.put.format(v="v") if peer.filling else peer.store()
    timing.compile_loop(statement, names, item="k, v", around=peer.filling)(pairs)


def open_pairs(peer: peers.Peer, count: int, start: int = 0) -> list[tuple[Any, Any]]:
    """The small records of the opening rows."""
    value = workloads.blob(100, 0)
    return [(peer.key(key), value) for key in workloads.session_keys(count, start)]


def _resident() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _hold(name: str, keys: Sequence[str], values: Sequence[Any]) -> Any:
    peer = CACHES[name]
    cache = peer.make(len(keys))
    statement = peer.put.format(v="v") if peer.put is not None else peer.put_new
    names = {**peer.names(cache), "c": cache}
    loop = timing.compile_loop(str(statement), names, item="k, v")
    loop(_Pairs(keys, values))
    return cache


class _Pairs(Sequence[tuple[str, Any]]):
    """``zip`` that can be iterated twice, and that holds no tuple after its turn."""

    def __init__(self, keys: Sequence[str], values: Sequence[Any]) -> None:
        self._keys, self._values = keys, values

    def __iter__(self) -> Any:
        return zip(self._keys, self._values, strict=True)

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, index: Any) -> Any:
        return self._keys[index], self._values[index]


def _memory(name: str, count: int) -> None:
    keys, values = workloads.other_keys(count), [7] * count
    _hold(name, keys[:1], values[:1])  # its import is not the entries' cost
    gc.collect()
    before = _resident()
    cache = _hold(name, keys, values)
    gc.collect()
    grown = _resident() - before
    input()
    print(grown / count, flush=True)
    del cache


def _budget(name: str, budget_bytes: int) -> None:
    make = BOUNDED[name]
    deep_size = importlib.import_module("fastmem._core.sizing").deep_size
    workloads.mixed(7)  # its vocabulary is not the cache's cost
    make(1 << 20)["k"] = 1
    gc.collect()
    before = _resident()
    cache = make(budget_bytes)
    put = offered = 0
    while offered < 5 * budget_bytes:
        value = workloads.mixed(put)
        offered += deep_size(value)
        cache[f"key:{put}"] = value
        put += 1
    del value
    gc.collect()
    grown = _resident() - before
    input()
    print(grown / budget_bytes, flush=True)
    del cache


def _collect(name: str, count: int) -> None:
    # Lists: a dict that holds only strings and ints is not traversed at all.
    cache = _hold(name, workloads.other_keys(count), [[i] for i in range(count)])
    gc.collect()
    gc.disable()
    for _ in sys.stdin:
        start = time.perf_counter_ns()
        gc.collect()
        print((time.perf_counter_ns() - start) / 1e6, flush=True)
    del cache


def _die(name: str, path: Path, count: int, start: int) -> None:
    peer = STORES[name]
    store = peer.make(path)
    fill_store(peer, store, open_pairs(peer, count, start))
    os.kill(os.getpid(), signal.SIGKILL)


def main(arguments: Sequence[str]) -> None:
    command, name, *rest = arguments
    if command == "memory":
        _memory(name, int(rest[0]))
    elif command == "budget":
        _budget(name, int(rest[0]))
    elif command == "collect":
        _collect(name, int(rest[0]))
    elif command == "together":
        path, role, number, cpu, count, window_s = rest
        serve = importlib.import_module("benchmarks.together").serve
        serve(name, Path(path), role, int(number), int(cpu), int(count), float(window_s))
    elif command == "die":
        _die(name, Path(rest[0]), int(rest[1]), int(rest[2]))
    else:
        raise SystemExit(f"unknown command {command!r}")
