"""Processes that open a directory at once, which none of them has made yet, and close it so."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import PROFILE
from tests.crash.directories import contents, open_archive, open_segments, open_tiers

ROUNDS = 1_000 if PROFILE == "nightly" else 25
PROCESSES = 3


def at_once(work: Any) -> list[int]:
    """Let processes do ``work(number)`` at one moment. Return their exit statuses."""
    wait, go = os.pipe()
    children = []
    for number in range(PROCESSES):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.close(go)
                os.read(wait, 1)  # ends when the parent closes its end
                work(number)
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    os.close(wait)
    os.close(go)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("opener", [open_segments, open_archive, open_tiers])
def test_what_each_put_is_there(private_tmp: Path, opener: Any) -> None:
    for turn in range(ROUNDS):
        at = private_tmp / str(turn)
        at.mkdir()

        def work(number: int, at: Path = at) -> None:
            with opener(at) as store:
                store.put(number, "x" * number)
                store.put("all", number)
                assert store.get(number) == "x" * number

        for _again in range(2):
            assert at_once(work) == [0] * PROCESSES
            with opener(at) as store:
                assert not any(tier["rebuilt"] for tier in tiers(store))
                store.check()
                found = contents(store)
                assert found.pop("all") in range(PROCESSES)
                assert found == {number: "x" * number for number in range(PROCESSES)}


def tiers(store: Any) -> list[dict[str, Any]]:
    stats = store.stats()
    return [stats["l2"]] if "l1" in stats else [stats]
