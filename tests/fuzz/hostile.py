"""Damage behind the maps of two processes that have a store open: correct values, misses, errors.

    python -m tests.fuzz.hostile SEED FIRST COUNT DIRECTORY [on]

Each case copies a store, has two processes open it, and changes bytes of one file while they work;
then they close it, open it again and verify what they read. No file is cut: what is mapped stays
there. A process that dies or does not answer is a failure, and so is a wrong value.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import random
import select
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.crash.directories import copy, linked_bytes
from tests.fuzz.hostile_actor import NAMES, OPENERS, first_values
from tests.house.tree import ROOT

ANSWER_S = 60
MOST_BYTES, MOST_MEMORY = 120 << 20, 700 << 20
STEPS = 40
PROCS_LINES = 64 * 4
PROCS_TOUCHED_AT = 64 + 4096 * 64


class Ended(Exception):
    """An actor died, or hangs."""


class Remote:
    """An actor in a process of its own."""

    def __init__(self, name: str) -> None:
        self.child = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", "-m", "tests.fuzz.hostile_actor", name],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.name = name
        self.line()

    def line(self) -> str:
        assert self.child.stdout is not None
        if not select.select([self.child.stdout], [], [], ANSWER_S)[0]:
            self.child.send_signal(signal.SIGABRT)  # faulthandler tells where it hangs
            raise Ended(f"{self.name} does not answer")
        line = self.child.stdout.readline()
        if not line:
            raise Ended(f"{self.name} died: {self.child.wait()}")
        return line

    def ask(self, *words: object) -> None:
        assert self.child.stdin is not None
        self.child.stdin.write(" ".join(map(str, words)) + "\n")
        self.child.stdin.flush()

    def answer(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.line())
        return told

    def end(self) -> None:
        self.child.kill()
        self.child.wait()
        for stream in (self.child.stdin, self.child.stdout):
            if stream is not None:
                stream.close()


# -- damage: each takes (bytes that are there, a place, draw), and returns bytes for that place ---


def flip(data: bytes, at: int, draw: random.Random) -> bytes:
    return bytes([data[at] ^ 1 << draw.randrange(8)])


def word(_data: bytes, _at: int, draw: random.Random) -> bytes:
    values = [0, 1, (1 << 64) - 1, 1 << 63, 1 << 47, 1 << 32, (1 << 32) - 1, draw.getrandbits(64)]
    return struct.pack("<Q", draw.choice(values))


def zeros(_data: bytes, _at: int, draw: random.Random) -> bytes:
    return bytes(draw.choice([1, 8, 64, 4096]))


def noise(_data: bytes, _at: int, draw: random.Random) -> bytes:
    return draw.randbytes(draw.choice([2, 8, 64, 4096]))


def moved(data: bytes, _at: int, draw: random.Random) -> bytes:
    """Bytes of another place of the file."""
    at = draw.randrange(len(data)) & ~63
    return data[at : at + draw.choice([8, 64, 4096])]


DAMAGES: list[Callable[[bytes, int, random.Random], bytes]] = [
    flip, flip, word, word, zeros, noise, moved,
]  # fmt: skip


def place_in(name: str, data: bytes, draw: random.Random) -> int:
    """Where something stands, most of the time: heads, lines, words in use."""
    chance = draw.random()
    if name == "procs" and chance < 0.8:
        start, length = draw.choice([(0, 64), (64, PROCS_LINES), (PROCS_TOUCHED_AT, 1 << 18)])
        return start + draw.randrange(length)
    if chance < 0.4:
        return draw.randrange(min(len(data), 448))
    for _ in range(50):
        at = draw.randrange(len(data))
        if data[at]:
            return at
    return draw.randrange(len(data))


def damage(path: Path, draw: random.Random) -> str:
    """Change some bytes of a file in place. Return how."""
    data = path.read_bytes()
    if not data:
        return "empty"
    kind = draw.choice(DAMAGES)
    with path.open("r+b", buffering=0) as file:
        for _ in range(draw.choice([1, 1, 1, 3])):
            at = place_in(path.name, data, draw)
            at = at & ~7 if kind is word else at
            new = kind(data, at, draw)[: len(data) - at]
            os.pwrite(file.fileno(), new, at)
    return kind.__name__


def stem(path: Path) -> str:
    return path.name.split(".")[0]


# -- a campaign -----------------------------------------------------------------------------------


def build(kind: str, at: Path) -> Path:
    with OPENERS[kind](at) as store:
        for name in NAMES:
            for key in first_values(name):
                store.put(key, b"an older value")
            store.update(first_values(name))
            store.put(f"{name}-1", "to be deleted")
            store.delete(f"{name}-1")
        if kind == "tiers":
            store.flush()
    return at


class Campaign:
    def __init__(self, seed: int, work: Path) -> None:
        self.seed = seed
        self.work = work
        self.actors: list[Remote] = []
        self.came: collections.Counter[str] = collections.Counter()
        self.kinds: collections.Counter[str] = collections.Counter()
        self.bases = {}
        for kind in OPENERS:
            (work / f"{kind}-base").mkdir(mode=0o700)
            self.bases[kind] = build(kind, work / f"{kind}-base")

    def all(self, *words: object) -> None:
        """Have both do something at a time."""
        for actor in self.actors:
            actor.ask(*words)
        self.gather()

    def one_by_one(self, *words: object) -> None:
        for actor in self.actors:
            actor.ask(*words)
            self.hear(actor)

    def gather(self) -> None:
        for actor in self.actors:
            self.hear(actor)

    def hear(self, actor: Remote) -> None:
        told = actor.answer()
        self.came.update(told["came"])
        assert not told["wrong"], told["wrong"]
        assert told["memory"] < MOST_MEMORY, told["memory"]

    def case(self, number: int) -> None:
        draw = random.Random(f"{self.seed} {number}")
        kind = draw.choice(list(OPENERS))
        at = copy(self.bases[kind], self.work / "case")
        while len(self.actors) < len(NAMES):
            self.actors.append(Remote(NAMES[len(self.actors)]))
        self.all("begin")
        self.one_by_one("open", kind, at)
        self.all("work", f"{number}-0", STEPS // 2)
        by_stem: dict[str, list[Path]] = {}
        for path in sorted(at.glob("l?/*")):
            by_stem.setdefault(f"{path.parent.name}/{stem(path)}", []).append(path)
        name = draw.choice(sorted(by_stem))
        path = draw.choice(by_stem[name])
        for round_ in range(draw.choice([1, 2, 4])):
            for actor in self.actors:
                actor.ask("work", f"{number}-{round_ + 1}", STEPS)
            with contextlib.suppress(FileNotFoundError):  # a value's, replaced
                how = damage(path, draw)
                print(f"case {number} {kind} {path.relative_to(at)} {how}", flush=True)
                self.kinds[f"{stem(path)} {how}"] += 1
            self.gather()
            if draw.random() < 0.3:
                actor = draw.choice(self.actors)
                for words in (["close"], ["open", kind, at]):
                    actor.ask(*words)
                    self.hear(actor)
        self.all("verify")
        self.one_by_one("close")
        self.one_by_one("open", kind, at)
        self.all("verify")
        self.all("work", f"{number}-last", STEPS)
        self.all("verify")
        for folder in at.iterdir():
            taken = linked_bytes(folder)
            assert taken < MOST_BYTES, f"{folder.name} takes {taken:,} bytes"
        self.one_by_one("close")
        shutil.rmtree(at)

    def end(self) -> None:
        for actor in self.actors:
            actor.end()
        self.actors.clear()


def main(seed: int, first: int, count: int, work: Path, *, go_on: bool = False) -> None:
    """`go_on`: tell of failures and go on with the next case."""
    campaign = Campaign(seed, work)
    failures = 0
    for number in range(first, first + count):
        try:
            campaign.case(number)
        except (Ended, AssertionError) as error:
            if not go_on:
                campaign.end()
                raise
            failures += 1
            print("FAILED", number, error, flush=True)
            campaign.end()
            shutil.rmtree(work / "case", ignore_errors=True)
    campaign.end()
    print("done", sum(campaign.kinds.values()), failures, dict(campaign.kinds), flush=True)
    print(dict(campaign.came), flush=True)


if __name__ == "__main__":
    seed, first, count = map(int, sys.argv[1:4])
    main(seed, first, count, Path(sys.argv[4]), go_on=len(sys.argv) > 5)
