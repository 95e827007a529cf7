"""Eight processes, mixed operations: each key behaves as if one process had done them in turn."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from tests.conftest import PROFILE
from tests.crash.directories import open_segments, open_tiers
from tests.house.tree import ROOT
from tests.processes.histories import Call, is_linearizable

PROCESSES = 8
CALLS, ROUNDS = (4_000, 25) if PROFILE == "nightly" else (1_200, 2)


def run(at: Path, kind: str, seed: int) -> dict[str, list[Call]]:
    """Let the processes work; return what they noted of each key."""
    numbers = str(CALLS), str(seed)
    actors = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.processes.linear_actor", kind, at, f"p{n}", *numbers],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(PROCESSES)
    ]
    try:
        for actor in actors:
            assert actor.stdout is not None
            assert actor.stdout.readline() == "open\n"
        for actor in actors:  # all at once, when all are there
            assert actor.stdin is not None
            actor.stdin.write("go\n")
            actor.stdin.flush()
        assert [actor.wait(300) for actor in actors] == [0] * PROCESSES
    finally:
        for actor in actors:
            actor.kill()
            actor.communicate()
    noted = defaultdict(list)
    for n in range(PROCESSES):
        for line in (at / f"calls.p{n}").read_text().splitlines():
            key, *call = ast.literal_eval(line)
            noted[key].append(Call(*call))
    return noted


@pytest.mark.parametrize("kind", ["segments", "tiers"])
def test_histories_have_an_order(private_tmp: Path, kind: str) -> None:
    held: dict[str, str | None] = {}
    for seed in range(ROUNDS):
        for key, calls in run(private_tmp, kind, seed).items():
            assert len(calls) > CALLS
            assert is_linearizable(calls, held.get(key)), (key, seed)
        opener = open_segments if kind == "segments" else open_tiers
        with opener(private_tmp) as store:
            store.check()
            held = {f"key{n}": store.get(f"key{n}") for n in range(10)}


def calls(*noted: tuple[int, int, str, str | None]) -> list[Call]:
    return [Call(*call) for call in noted]


@pytest.mark.parametrize(
    ("history", "answer"),
    [
        (calls((0, 1, "put", "a"), (2, 3, "get", "a"), (4, 5, "get", "a")), True),
        (calls((0, 9, "put", "a"), (2, 3, "get", None), (4, 5, "get", "a")), True),
        (calls((0, 9, "put", "a"), (2, 3, "get", "a"), (4, 5, "get", None)), False),
        (calls((0, 1, "put", "a"), (2, 3, "put", "b"), (4, 5, "get", "a")), False),
        (calls((0, 5, "put", "a"), (1, 6, "put", "b"), (7, 8, "get", "a")), True),
        (calls((0, 1, "put", "a"), (2, 3, "delete", None)), False),
        (calls((0, 1, "put", "a"), (2, 3, "delete", "there"), (4, 5, "get", "a")), False),
        (calls((0, 1, "put", "a"), (2, 9, "delete", "there"), (4, 5, "get", "a")), True),
    ],
)
def test_the_checker_tells_orders_apart(history: list[Call], *, answer: bool) -> None:
    assert is_linearizable(history) is answer
