"""kill -9 at random moments: what was acknowledged is there, exactly, and nothing else is."""

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

from fastmem._core import scan
from fastmem._core.layout import POINTER, TIER_BIT
from fastmem._core.log import COLD, WARM
from tests.crash import writer
from tests.crash.directories import contents, engine_of, pointed_to, rebuilt_contents
from tests.house.tree import ROOT

NIGHTLY = os.environ.get("FASTMEM_PROFILE") == "nightly"
KILLS = int(os.environ.get("FASTMEM_KILLS") or (100 if NIGHTLY else 12))
LATEST_S = 0.4


def run_and_kill(kind: str, at: Path, seed: int, session: int, after_s: float) -> None:
    """Start a writer, let it work for `after_s` once its store is open, kill it."""
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.crash.writer", kind, at, str(seed), str(session)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
    )
    assert child.stderr is not None
    try:
        acks = at / f"acks.{session}"
        while child.poll() is None and not (acks.exists() and acks.stat().st_size):
            time.sleep(0.002)
        time.sleep(after_s)
        ended = child.poll()
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
        said = child.stderr.read() if select.select([child.stderr], [], [], 0)[0] else b""
        child.stderr.close()
    assert ended is None, f"the writer ended by itself with {ended}: {said.decode()}"


@pytest.mark.parametrize("kind", ["segments", "tiers"])
def test_every_acknowledged_operation_survives_kills(private_tmp: Path, kind: str) -> None:
    seed = int(os.environ.get("FASTMEM_SEED") or 20_261_122)
    draw = random.Random(seed)
    state: dict[str, Any] = {}
    opener = writer.OPENERS[kind]
    for session in range(KILLS):
        run_and_kill(kind, private_tmp, seed, session, draw.uniform(0, LATEST_S))
        assert (private_tmp / f"acks.{session}").read_text().startswith("open 0"), "rebuilt"
        pending = writer.replay(kind, private_tmp, seed, session, state)
        # The next writer opens some kills by itself, without this process in between.
        if session % 3 == 2:
            where = f"{kind}, seed {seed}, kill {session}"
            check(private_tmp, opener, state, pending, where)
        elif pending is not None:
            settle(private_tmp, opener, state, pending)
    live = {key: value for key, value in state.items() if value is not None}
    assert rebuilt_contents(private_tmp, private_tmp / "rebuilt", opener) == live


def settle(at: Path, opener: Any, state: dict[str, Any], pending: writer.Operation) -> None:
    """The unacknowledged operation was done or not; the model follows whichever it was."""
    with opener(at) as store:
        assert not writer.store_rebuilt(store)
        found = store.get(pending.key)
        assert found in (state.get(pending.key), writer.expected(pending))
        state[pending.key] = found


def check(
    at: Path,
    opener: Any,
    state: dict[str, Any],
    pending: writer.Operation | None,
    where: str,
) -> None:
    if pending is not None:
        settle(at, opener, state, pending)
    with opener(at) as store:
        assert not writer.store_rebuilt(store), where
        store.check()
        live = {key: value for key, value in state.items() if value is not None}
        found = contents(store)
        assert found.keys() == live.keys(), where
        assert [key for key in live if found[key] != live[key]] == [], where
        for tier in store.stats().values() if "l1" in store.stats() else [store.stats()]:
            assert not any(tier["errors"].values()), where
    with opener(at) as store:
        # After a clean close every value file has its record, even if that is out of sight.
        engine = engine_of(store)
        for tier in (WARM, COLD):
            values = engine.files.values(tier)
            held = set(values.numbers()) if values else set()
            assert held <= pointed_to(engine, tier), where
            seen = {
                head.key
                for head in scan.heads(engine.log)
                if head.kind == POINTER and (head.word & TIER_BIT != 0) == (tier == COLD)
            }
            assert {values.key_of(number) for number in held if values} >= seen, where
