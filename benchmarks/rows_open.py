"""The rows of opening a store: after a clean close, and after kill -9 of a writer."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from benchmarks import child, timing
from benchmarks.peers import (
    LMDB,
    STORE_OURS,
    Peer,
)
from benchmarks.rows import Bar, Field, Row, Scene
from benchmarks.stores import contenders
from benchmarks.timing import Job


def _build_open(*, killed: bool) -> Callable[[Scene], Field]:
    def build(scene: Scene) -> Field:
        count = scene.scale.opened_entries

        def job(peer: Peer) -> Job:
            def fill() -> Any:
                path = scene.folder()
                store = peer.make(path)
                child.fill_store(peer, store, child.open_pairs(peer, count))
                peer.close(store)
                return path

            path = scene.once(("open", peer), fill)
            read = peer.read(f"got({peer.get})")
            key, value = child.open_pairs(peer, 1)[0]

            def open_and_get() -> float:
                if killed:
                    child.write_and_die(peer.name, path, 100)
                got: list[Any] = []
                start = time.perf_counter_ns()
                store = peer.make(path)
                opening = time.perf_counter_ns() - start
                names = {**peer.names(store), "c": store, "got": got.append}
                reading = timing.compile_loop(read, names)([key])
                peer.close(store)
                if got != [value]:
                    raise AssertionError(f"{peer.name} lost {key!r} over a reopening")
                return (opening + reading) / 1e6

            return open_and_get

        return contenders((STORE_OURS, LMDB), job)

    return build


ROWS: Final = (
    Row(
        "l2.open.clean",
        "open and first get, after a clean close",
        "ms",
        "l2.open",
        _build_open(killed=False),
        LMDB.name,
        (Bar(5.0),),
    ),
    Row(
        "l2.open.killed",
        "open and first get, after kill -9 of a writer",
        "ms",
        "l2.open",
        _build_open(killed=True),
        LMDB.name,
        (Bar(5.0),),
    ),
)
