"""One of two processes that have a store open while somebody damages its files behind their maps.

    python -m tests.fuzz.hostile_actor NAME

It does what it reads, a line each (``open KIND DIRECTORY``, ``work SEED STEPS``, ``verify``,
``close``, ``begin``), and answers with a line of JSON: how often what came of it, and what was
wrong. Keys that begin with its name are its own, and it knows what each may hold; of the others' a
value must be one that was put for that key.
"""

from __future__ import annotations

import collections
import json
import logging
import random
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastmem import FastmemError
from tests.crash.directories import open_archive, open_segments, open_tiers

OPENERS: dict[str, Callable[..., Any]] = {
    "segments": open_segments,
    "archive": open_archive,
    "tiers": open_tiers,
}
NAMES = ("a", "b")
KEYS = 40
LARGE = 300_000
VERIFIED_EACH_TIME_BYTES = 4096
TIMEOUT_S = 0.3
REFUSED = (FastmemError, OSError, MemoryError)


def value_of(key: str, number: int, size: int) -> bytes:
    """A value that tells whose it is, and the whole of it from its beginning."""
    head = f"{key}|{number}|{size}|"
    return head.encode() + random.Random(head).randbytes(32) * (size // 32)


def is_of(key: str, value: object) -> bool:
    """True for a value that was put for the key at some time, undamaged."""
    if not isinstance(value, bytes) or value.count(b"|") < 3:
        return False
    told, number, size, _rest = value.split(b"|", 3)
    return told == key.encode() and value == value_of(key, int(number), int(size))


def first_values(name: str) -> dict[str, bytes]:
    """What the store holds of a name's keys before anything is damaged."""
    sizes = (20, 500, 3_000)
    values = {f"{name}-{i}": value_of(f"{name}-{i}", 0, sizes[i % 3]) for i in range(0, KEYS, 2)}
    return values | {f"{name}-large": value_of(f"{name}-large", 0, LARGE)}


class Actor:
    def __init__(self, name: str) -> None:
        self.name = name
        self.store: Any = None
        self.number = 0
        self.begin()

    def begin(self) -> None:
        """Another store, as it was made."""
        values = first_values(self.name)
        self.may_hold: dict[str, set[bytes | None]] = {
            key: {values.get(key)} for key in [f"{self.name}-{i}" for i in range(KEYS)] + [*values]
        }
        self.came: collections.Counter[str] = collections.Counter()
        self.wrong: list[str] = []

    def open(self, kind: str, at: str) -> None:
        options: dict[str, Any] = {"timeout_s": TIMEOUT_S}
        if kind == "tiers":
            options["coherent"] = True
        self.store = self.tried("open", lambda: OPENERS[kind](Path(at), **options))

    def close(self) -> None:
        if self.store is not None:
            self.tried("close", self.store.close)
            self.store = None

    def tried(self, verb: str, call: Callable[[], Any]) -> Any:
        """What a call returns, None when it raises one of the documented errors."""
        try:
            return call()
        except REFUSED as error:
            self.came[f"{verb}: {type(error).__name__}"] += 1
            return None

    # -- work ---------------------------------------------------------------------------------

    def work(self, seed: str, steps: str) -> None:
        if self.store is None:
            return
        draw = random.Random(f"{seed} {self.name}")
        verbs = {
            self.put: 30, self.read: 40, self.view: 5, self.read_other: 15, self.delete: 8,
            self.bulk: 4, self.put_bulk: 2, self.walk: 1, self.sync: 0.5,
        }  # fmt: skip
        for _ in range(int(steps)):
            draw.choices(list(verbs), list(verbs.values()))[0](draw)

    def own_key(self, draw: random.Random) -> str:
        return draw.choice(list(self.may_hold))

    def put(self, draw: random.Random) -> None:
        key = self.own_key(draw)
        self.number += 1
        size = LARGE if key.endswith("large") else draw.choice([20, 500, 3_000, 60_000])
        value = value_of(key, self.number, size)
        self.change("put", key, value, lambda: self.store.put(key, value))

    def put_bulk(self, draw: random.Random) -> None:
        """Of a run that an error ends each pair is stored, or is not."""
        self.number += 1
        keys = [key for key in (self.own_key(draw) for _ in range(6)) if "large" not in key]
        pairs = {key: value_of(key, self.number, 300) for key in keys}
        done = self.tried("put_many", lambda: self.store.put_many(pairs) is None)
        for key, value in pairs.items():
            self.may_hold[key] = {value} if done else {*self.may_hold[key], value}

    def delete(self, draw: random.Random) -> None:
        key = self.own_key(draw)
        self.change("delete", key, None, lambda: self.store.delete(key))

    def change(self, verb: str, key: str, value: bytes | None, call: Callable[[], object]) -> None:
        """Done, or it raised: then either the old or the new value is there. So when a delete found
        nothing, which is a miss where something was.
        """
        try:
            done = call()
        except REFUSED as error:
            self.came[f"{verb}: {type(error).__name__}"] += 1
            self.may_hold[key].add(value)
        else:
            self.came[verb] += 1
            if done is False:
                self.may_hold[key].add(value)
            else:
                self.may_hold[key] = {value}

    def read(self, draw: random.Random) -> None:
        self.look(self.own_key(draw))

    def look(self, key: str) -> None:
        try:
            found = self.store.get(key)
        except REFUSED as error:
            self.came[f"get: {type(error).__name__}"] += 1
            return
        self.judge(key, found)

    def view(self, draw: random.Random) -> None:
        """As `read`, by a view. A longer one is verified once: what is changed later is seen."""
        key = self.own_key(draw)
        if not hasattr(self.store, "get_view"):
            return
        view = self.tried("get_view", lambda: self.store.get_view(key))
        if view is None or len(view) < VERIFIED_EACH_TIME_BYTES:
            self.judge(key, None if view is None else bytes(view))

    def judge(self, key: str, found: object) -> None:
        if found is None:
            self.came["none" if None in self.may_hold[key] else "miss"] += 1
        elif found in self.may_hold[key]:
            self.came["hit"] += 1
        else:
            expected = [str(value)[:24] for value in self.may_hold[key]]
            self.wrong.append(f"{key}: {str(found)[:24]!r}, not {expected}")

    def read_other(self, draw: random.Random) -> None:
        key = f"{draw.choice(NAMES)}-{draw.randrange(KEYS)}"
        found = self.tried("get", lambda: self.store.get(key))
        if found is not None and not is_of(key, found):
            self.wrong.append(f"{key}: {str(found)[:24]!r}, which was never put there")

    def bulk(self, draw: random.Random) -> None:
        keys = [self.own_key(draw) for _ in range(8)]
        found = self.tried("get_many", lambda: self.store.get_many(keys))
        if found is not None:
            for key in keys:
                self.judge(key, found.get(key))

    def walk(self, _draw: random.Random) -> None:
        keys = self.tried("walk", lambda: list(self.store))
        for key in keys or ():
            if not key.startswith(NAMES):
                self.wrong.append(f"a key that nobody put: {key!r}")

    def sync(self, _draw: random.Random) -> None:
        self.tried("flush", self.store.flush)
        self.tried("stats", self.store.stats)

    def verify(self) -> None:
        if self.store is not None:
            for key in self.may_hold:
                self.look(key)

    # -- the other end ------------------------------------------------------------------------

    def answer(self) -> str:
        told = {
            "came": self.came,
            "wrong": self.wrong[:5],
            "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10,
        }
        line = json.dumps(told)
        self.came.clear()
        return line


def main(name: str) -> None:
    logging.disable(logging.CRITICAL)
    actor = Actor(name)
    print("here", flush=True)
    for line in sys.stdin:
        verb, *arguments = line.split()
        getattr(actor, verb)(*arguments)
        print(actor.answer(), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
