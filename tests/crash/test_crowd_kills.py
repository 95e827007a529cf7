"""Four writers of one directory, killed one after the other while the rest go on."""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import PROFILE
from tests.crash import crowd, writer
from tests.crash.directories import contents, engine_of, rebuilt_contents
from tests.house.tree import ROOT

KILLS = int(os.environ.get("FASTMEM_CROWD_KILLS") or (1_000 if PROFILE == "nightly" else 30))
NAMES = "wxyz"
LATEST_S = 0.3


class Crowd:
    """The writers, and what of their keys is known."""

    def __init__(self, kind: str, at: Path, seed: int) -> None:
        self.kind, self.at, self.seed = kind, at, seed
        self.session = dict.fromkeys(NAMES, -1)
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.own: dict[str, Any] = {}
        # What a key that all write may hold: the last that one of them did, or was about to.
        self.last: dict[str, dict[str, set[Any]]] = {}

    def start(self, name: str) -> None:
        self.session[name] += 1
        arguments = [self.kind, str(self.at), str(self.seed), name, str(self.session[name])]
        self.running[name] = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.crowd", *arguments],
            cwd=ROOT,
            stderr=subprocess.PIPE,
        )

    def wait_until_open(self, name: str) -> None:
        acks = self.at / f"acks.{name}.{self.session[name]}"
        while self.running[name].poll() is None and not (acks.exists() and acks.stat().st_size):
            time.sleep(0.002)

    def kill(self, name: str) -> None:
        """End a writer, and learn what it did."""
        child = self.running.pop(name)
        ended = child.poll()
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert child.stderr is not None
        said = child.stderr.read() if select.select([child.stderr], [], [], 0)[0] else b""
        child.stderr.close()
        assert ended is None, f"{name} ended by itself with {ended}: {said.decode()}"
        steps, pending = crowd.replay(self.kind, self.at, self.seed, name, self.session[name])
        for step in steps:
            self.note(name, step)
        if pending is not None:
            self.note_pending(name, pending)

    def note(self, name: str, step: writer.Operation) -> None:
        if step.key.startswith("all"):
            self.last.setdefault(step.key, {})[name] = {writer.expected(step)}
        else:
            self.own[step.key] = {writer.expected(step)}

    def note_pending(self, name: str, step: writer.Operation) -> None:
        if step.key.startswith("all"):
            self.last.setdefault(step.key, {}).setdefault(name, {None}).add(writer.expected(step))
        else:
            self.own.setdefault(step.key, {None}).add(writer.expected(step))

    def check_own(self, store: Any, name: str) -> None:
        """What the writer acknowledged is there, while others write."""
        for key, possible in self.own.items():
            if key.startswith(name):
                found = store.get(key)
                assert found in possible, f"{key}: {found!r:.60} of {possible!s:.200}"
                self.own[key] = {found}

    def check_all(self, found: dict[str, Any]) -> None:
        for key, possible in self.own.items():
            assert found.get(key) in possible, key
        for key, by_name in self.last.items():
            possible = {None} | set().union(*by_name.values())
            assert found.get(key) in possible, key
        assert found.keys() <= self.own.keys() | self.last.keys()


@pytest.mark.parametrize("kind", ["segments", "tiers"])
def test_what_any_of_four_writers_acknowledged_survives_kills(private_tmp: Path, kind: str) -> None:
    seed = int(os.environ.get("FASTMEM_SEED") or 20_261_123)
    draw = random.Random(seed)
    opener = writer.OPENERS[kind]
    crowd_ = Crowd(kind, private_tmp, seed)
    try:
        for name in NAMES:
            crowd_.start(name)
        for _ in range(KILLS):
            victim = draw.choice(NAMES)
            crowd_.wait_until_open(victim)
            time.sleep(draw.uniform(0, LATEST_S))
            crowd_.kill(victim)
            with opener(private_tmp) as store:
                assert not writer.store_rebuilt(store)
                crowd_.check_own(store, victim)
            crowd_.start(victim)
        for name in NAMES:
            crowd_.wait_until_open(name)
        for name in NAMES:
            crowd_.kill(name)
    finally:
        for child in crowd_.running.values():
            child.kill()
            child.wait()
            if child.stderr is not None:
                child.stderr.close()
    with opener(private_tmp) as store:
        assert not writer.store_rebuilt(store)
        store.check()
        found = contents(store)
        crowd_.check_all(found)
        for tier in store.stats().values() if "l1" in store.stats() else [store.stats()]:
            assert not any(tier["errors"].values())
        assert engine_of(store).files.died is False
    assert rebuilt_contents(private_tmp, private_tmp / "rebuilt", opener) == found
