"""Processes that have one store open together, and are timed while they read and write.

Each opens the store when it starts, and answers every question with one number. A question is a
time (CLOCK_MONOTONIC) from which on it works, so that those that are asked the same work at once,
each on a cpu of its own where there are as many.
"""

from __future__ import annotations

import gc
import itertools
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks import child, peers, timing, workloads

ARCHIVED: Final = "fastmem, archive below"
BUDGET_BYTES: Final = 16 << 20  # the smallest that a store accepts
HEAD_START_NS: Final = 20_000_000  # from a question to the beginning of the work
BATCH: Final = 500
RESIDENT: Final = BUDGET_BYTES // 1100 // BATCH * BATCH
CYCLE: Final = 100 * BATCH
STORES: Final = {p.name: p for p in (peers.STORE_OURS, peers.LMDB, peers.DISKCACHE)}
# Bounded: lmdb's user deletes the oldest himself.
BOUNDED: Final = {
    p.name: p
    for p in (
        peers.segment_store_peer(peers.STORE_OURS.name, budget_bytes=BUDGET_BYTES),
        peers.tiered_peer(ARCHIVED, l1_size_mb=1, l2_size_mb=BUDGET_BYTES >> 20),
        peers.LMDB,
        peers.diskcache_peer(
            peers.DISKCACHE.name, size_limit=BUDGET_BYTES, eviction_policy="least-recently-stored"
        ),
    )
}


class Together:
    """Processes of one role each, on one store."""

    def __init__(self, name: str, path: Path, roles: Sequence[str], count: int, window_s: float):
        cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
        self._children = [
            child.Child("together", name, path, role, number, cpus[number % len(cpus)], count,
                        window_s)
            for number, role in enumerate(roles)
        ]  # fmt: skip

    def ask(self) -> list[float]:
        """Let all of them work at once; the answer of each."""
        for one in self._children:
            one.ask()  # it is there, and warm
        begin = time.monotonic_ns() + HEAD_START_NS
        for one in self._children:
            one.send(str(begin))
        return [one.hear() for one in self._children]

    def close(self) -> None:
        for one in self._children:
            one.close()


# -- in the child --------------------------------------------------------------------------------


def _timed(
    peer: peers.Peer, store: Any, statement: str, item: str, taken: list[int]
) -> timing.Loop:
    """A loop that notes what each statement takes, in nanoseconds."""
    names = {**peer.names(store), "c": store, "now": time.perf_counter_ns, "note": taken.append}
    body = f"start = now()\n{statement}\nnote(now() - start)"
    return timing.compile_loop(body, names, item=item)


def _read_keys(peer: peers.Peer, count: int) -> Iterator[list[Any]]:
    stored = [peer.key(key) for key in workloads.session_keys(count)]
    keys = workloads.take(stored, workloads.uniform(100 * BATCH, count))
    return itertools.cycle([keys[at : at + BATCH] for at in range(0, len(keys), BATCH)])


def _new_items(peer: peers.Peer, number: int) -> Iterator[list[tuple[Any, Any, Any]]]:
    """Batches of (key, value, the key that was put RESIDENT puts ago). A key comes again when all
    others of a CYCLE have: no store has it then, but the index of an archive stays as it is.
    """
    values = workloads.blobs(64, workloads.SIZES["1KB"])
    first = 100_000_000 * (1 + number)
    for at in itertools.cycle(range(0, CYCLE, BATCH)):
        new = first + (at + RESIDENT) % CYCLE
        keys = [peer.key(k) for k in workloads.session_keys(BATCH, new)]
        old = [peer.key(k) for k in workloads.session_keys(BATCH, first + at)]
        yield list(zip(keys, itertools.cycle(values), old, strict=False))


def _work(
    loop: timing.Loop, batches: Iterator[list[Any]], window_s: float
) -> Callable[[int], float]:
    """What works from a time on for a window, one batch at least: operations a second."""

    def work(begin: int) -> float:
        done, until = 0, begin + int(window_s * 1e9)
        while time.monotonic_ns() < begin:
            pass
        while not done or time.monotonic_ns() < until:
            batch = next(batches)
            loop(batch)
            done += len(batch)
        return done * 1e9 / (time.monotonic_ns() - begin)

    return work


def serve(
    name: str, path: Path, role: str, number: int, cpu: int, count: int, window_s: float
) -> None:
    """Answer questions until there are none: ``read`` and ``write`` with operations a second,
    ``wait`` with the p99.9 of a read in medians, ``fill`` (a bounded store, full before the first
    question) with the p99.99 of a put in milliseconds. An empty question gets 0, at once.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {cpu})
    peer = (BOUNDED if role == "fill" else STORES)[name]
    store = peer.make(path)
    taken: list[int] = []
    if role in ("read", "wait"):
        batches: Iterator[list[Any]] = _read_keys(peer, count)
        statement = peer.read(peer.get)
        loop = _timed(peer, store, statement, "k", taken)
        if role == "read":
            loop = timing.compile_loop(statement, {**peer.names(store), "c": store})
    else:
        batches = _new_items(peer, number)
        statement = peer.write("t.put(k, v); t.delete(old)") if peer.writing else peer.store()
        loop = _timed(peer, store, statement, "k, v, old", taken)
    for _ in range(2 * RESIDENT // BATCH if role == "fill" else 2):
        loop(next(batches))
    gc.collect()
    gc.disable()
    work = _work(loop, batches, window_s)
    for line in sys.stdin:
        taken.clear()
        rate = work(int(line)) if line.strip() else 0.0
        if role in ("read", "write") or not taken:
            answer = rate
        elif role == "wait":
            answer = timing.percentile(taken, 0.999) / statistics.median(taken)
        else:
            answer = timing.percentile(taken, 0.9999) / 1e6
        print(answer, flush=True)
    peer.close(store)
