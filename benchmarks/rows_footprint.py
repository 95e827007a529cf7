"""The rows of what L1's entries weigh: sizes as measured, memory, work for the collector."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
from collections.abc import Sequence
from typing import Any, Final

from benchmarks import child, timing, workloads
from benchmarks.peers import CACHETOOLS, DICT, L1_OURS, why_absent
from benchmarks.rows import OURS, Bar, Field, Row, Scene
from benchmarks.rows_l1 import DICT_ONLY, EVERYBODY
from benchmarks.timing import Absent, Job


def _build_overhead(scene: Scene) -> Field:
    count = scene.scale.counted_entries
    jobs: dict[str, Job | Absent] = {}
    for peer in EVERYBODY:
        missing = why_absent(peer)
        jobs[peer.name] = (
            Absent(missing)
            if missing
            else functools.partial(child.resident_per_entry, peer.name, count)
        )
    return jobs


def _build_resident(scene: Scene) -> Field:
    jobs: dict[str, Job | Absent] = {}
    for name in child.BOUNDED:
        missing = why_absent(L1_OURS if name == OURS else CACHETOOLS)
        jobs[name] = (
            Absent(missing)
            if missing
            else functools.partial(child.resident_per_budget, name, scene.scale.budget_bytes)
        )
    return jobs


def _build_collect(scene: Scene) -> Field:
    count = scene.scale.counted_entries
    jobs: dict[str, Job | Absent] = {}
    for peer in EVERYBODY:
        missing = why_absent(peer)
        if missing:
            jobs[peer.name] = Absent(missing)
        elif peer.put is not None:
            holder = child.Collector(peer.name, count)
            scene.at_end(holder.close)
            jobs[peer.name] = holder.collect_ms
    return jobs


def _microseconds(loop: timing.Loop, empty: timing.Loop, items: Sequence[Any]) -> float:
    return timing.net_ns(loop, empty, items) / 1000


def recursive_size(value: Any) -> int:
    """What people write by hand; no cycles, no sharing."""
    size = sys.getsizeof(value)
    if type(value) is dict:
        return size + sum(recursive_size(k) + recursive_size(v) for k, v in value.items())
    if type(value) is list:
        return size + sum(map(recursive_size, value))
    return size


def _build_sizing(_: Scene) -> Field:
    document = workloads.json_document()
    candidates: dict[str, tuple[str, str, int]] = {
        OURS: ("fastmem._core.sizing", "deep_size", 200),
        "pympler asizeof": ("pympler.asizeof", "asizeof", 5),
        "recursive Python": (__name__, "recursive_size", 10),
    }
    jobs: dict[str, Job | Absent] = {}
    for name, (module, function, repeats) in candidates.items():
        top = module.partition(".")[0]
        if importlib.util.find_spec(top) is None or importlib.util.find_spec(module) is None:
            jobs[name] = Absent(f"{module} is not here")
            continue
        names = {"size": getattr(importlib.import_module(module), function)}
        loop, empty = timing.compile_loop("size(k)", names), timing.compile_loop("pass", names)
        jobs[name] = functools.partial(_microseconds, loop, empty, [document] * repeats)
    return jobs


ROWS: Final = (
    Row(
        "l1.sizing",
        "deep size of a 258-node JSON document",
        "us",
        "l1",
        _build_sizing,
        "pympler asizeof",
        (Bar(1 / 30, "pympler asizeof"),),
    ),
    Row(
        "l1.overhead",
        "resident bytes per entry beyond key and value",
        "B",
        "l1.memory",
        _build_overhead,
        DICT.name,
        (Bar(80.0),),
        rounds=1,
        not_peers=DICT_ONLY,
    ),
    Row(
        "l1.resident",
        "resident set / budget, after five budgets of mixed values",
        "x",
        "l1.memory",
        _build_resident,
        child.GETSIZEOF,
        (Bar(1.15),),
        rounds=3,
    ),
    Row(
        "l1.collect",
        "full collection with every entry resident",
        "ms",
        "l1.collect",
        _build_collect,
        DICT.name,
        (Bar(1.5, DICT.name),),
        not_peers=DICT_ONLY,
    ),
)
