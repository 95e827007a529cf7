"""The rows of one directory and several processes: readers that add up, and the tails of both."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks import child, peers, together
from benchmarks.rows import OURS, Bar, Field, Row, Scene
from benchmarks.stores import contenders
from benchmarks.timing import Absent, Job

ONE: Final = "one reader"
WINDOW_US: Final = 200  # of a round, for each read of a round of the other rows
PEERS: Final = tuple(together.STORES.values())


def _window_s(scene: Scene) -> float:
    return scene.scale.stores["1KB"][1] * WINDOW_US / 1e6


def _together(scene: Scene, peer: peers.Peer, roles: Sequence[str]) -> together.Together:
    """Processes on the one store of the scene that holds records, or on a new one."""
    count = scene.scale.stores["1KB"][0]

    def fill() -> Path:
        path = scene.folder()
        store = peer.make(path)
        value = b"v" * 1000
        child.fill_store(peer, store, [(key, value) for key, _ in child.open_pairs(peer, count)])
        peer.close(store)
        return path

    path = scene.folder() if "fill" in roles else scene.once(("shared", peer.name), fill)
    group = together.Together(peer.name, path, roles, count, _window_s(scene))
    scene.at_end(group.close)
    return group


def _build_readers(scene: Scene) -> Field:
    jobs: dict[str, Job | Absent] = {}
    for peer in PEERS:
        names = (OURS, ONE) if peer.name == OURS else (f"{peer.name}, two", f"{peer.name}, one")
        for name, roles in zip(names, (("read", "read"), ("read",)), strict=True):
            missing = peers.why_absent(peer)
            if missing:
                jobs[name] = Absent(missing)
            else:
                group = _together(scene, peer, roles)
                jobs[name] = functools.partial(_sum, group)
    return jobs


def _sum(group: together.Together) -> float:
    return sum(group.ask())


def _first(group: together.Together) -> float:
    return group.ask()[0]


def _worst(group: together.Together) -> float:
    return max(group.ask())


def _build_reader_tail(scene: Scene) -> Field:
    return contenders(
        PEERS, lambda peer: functools.partial(_first, _together(scene, peer, ("wait", "write")))
    )


def _build_writer_tail(scene: Scene) -> Field:
    return contenders(
        tuple(together.BOUNDED.values()),
        lambda peer: functools.partial(_worst, _together(scene, peer, ("fill", "fill"))),
    )


ROWS: Final = (
    Row(
        "l2.readers.two",
        "throughput of two reading processes",
        "op/s",
        "l2.shared",
        _build_readers,
        ONE,
        (Bar(1.8, ONE, at_least=True),),
    ),
    Row(
        "l2.tail.reader",
        "p99.9 of a get / its median beside a writing process",
        "x",
        "l2.shared",
        _build_reader_tail,
        peers.LMDB.name,
        (Bar(20.0),),
    ),
    Row(
        "l2.tail.writers",
        "p99.99 of a put of 1 KB at a full 16 MiB budget, two writing processes",
        "ms",
        "l2.crowded",
        _build_writer_tail,
        peers.LMDB.name,
        (Bar(10.0),),
    ),
)
