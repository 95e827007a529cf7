"""Of the threads that pop a key, each value goes to one, and none goes unseen."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.crash.directories import open_archive, open_segments
from tests.crowd import together

PUTS = 1_500


@pytest.mark.usefixtures("eager_switches")
@pytest.mark.parametrize("opener", [open_segments, open_archive])
def test_every_value_is_popped_once_or_replaced(private_tmp: Path, opener: Any) -> None:
    with opener(private_tmp) as store:
        popped: list[list[int]] = [[], []]
        done: list[bool] = []

        def put() -> None:
            for number in range(PUTS):
                while "k" in store:
                    pass
                store.put("k", number)
            while "k" in store:
                pass
            done.append(True)

        def pop(mine: list[int]) -> None:
            while not done:
                value = store.pop("k", None)
                if value is not None:
                    mine.append(value)

        failures = together([put, lambda: pop(popped[0]), lambda: pop(popped[1])])
        assert not failures
        assert Counter(popped[0] + popped[1]) == Counter(range(PUTS))
        store.check()


@pytest.mark.usefixtures("eager_switches")
@pytest.mark.parametrize("opener", [open_segments, open_archive])
def test_a_key_is_deleted_by_one_thread_only(private_tmp: Path, opener: Any) -> None:
    with opener(private_tmp) as store:
        keys = range(800)
        for key in keys:
            store.put(key, key)
        told: list[list[bool]] = [[], []]

        def delete(mine: list[bool]) -> None:
            mine.extend(store.delete(key) for key in keys)

        assert not together([lambda: delete(told[0]), lambda: delete(told[1])])
        assert sum(told[0]) + sum(told[1]) == len(keys)
        assert len(store) == 0
        store.check()


@pytest.mark.parametrize("opener", [open_segments, open_archive])
def test_a_popped_value_stays_away_after_a_rebuild(private_tmp: Path, opener: Any) -> None:
    with opener(private_tmp) as store:
        store.put("k", "old")
        store.put("k", "new")
        assert store.pop("k") == "new"
        with pytest.raises(KeyError):
            store.pop("k")
    for index in private_tmp.glob("*/index"):
        index.unlink()
    with opener(private_tmp) as store:
        assert "k" not in store
