"""The row of growth: the longest that a single put takes while a cache fills.

Time is that of the thread, page faults included: what other programs on the machine take from a
put does not count.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from typing import Final

from benchmarks import timing, workloads
from benchmarks.peers import DICT, L1_OURS, L1_PEERS, Peer, why_absent
from benchmarks.rows import FASTEST, Bar, Field, Row, Scene
from benchmarks.timing import Absent, Job

VALUE: Final = 7


def _slowest_ms(peer: Peer, keys: Sequence[str]) -> float:
    statement = peer.put.format(v="v") if peer.put is not None else str(peer.put_new)
    c = peer.make(len(keys))
    taken: list[int] = []
    names = {**peer.names(c), "c": c, "v": VALUE, "now": time.thread_time_ns, "note": taken.append}
    timing.compile_loop(f"start = now()\n{statement}\nnote(now() - start)", names)(keys)
    return max(taken) / 1e6


def _build_slowest(scene: Scene) -> Field:
    keys = workloads.other_keys(scene.scale.counted_entries)
    for key in keys:
        hash(key)
    jobs: dict[str, Job | Absent] = {}
    for peer in (L1_OURS, DICT, *L1_PEERS):
        missing = why_absent(peer)
        jobs[peer.name] = Absent(missing) if missing else functools.partial(_slowest_ms, peer, keys)
    return jobs


ROWS: Final = (
    Row(
        "l1.growth.slowest",
        "the slowest single put of a fill, processor time",
        "ms",
        "l1.growth",
        _build_slowest,
        DICT.name,
        (Bar(5.0), Bar(1.0, FASTEST)),
        rounds=5,
        not_peers=frozenset({DICT.name}),
    ),
)
