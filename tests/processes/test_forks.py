"""Children of children, many at once, and those that cannot go on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from fastmem import StoreLockedError
from fastmem.storage.processes import Processes
from tests.children import forked
from tests.crash.directories import Opener, contents, open_segments, open_tiers
from tests.processes.test_creating import at_once

LARGE = 400_000

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def test_the_child_of_an_idle_child_goes_on(private_tmp: Path) -> None:
    with open_segments(private_tmp) as store:
        store.put("k", 1)

        def work() -> str:
            return forked(lambda: (store.put("grandchild", store.get("k")), "done")[1])

        assert forked(work) == "done"
        assert store.get("grandchild") == 1


def test_children_that_put_large_values_at_once(private_tmp: Path) -> None:
    with open_segments(private_tmp) as store:
        store.put("k", 1)

        def work(number: int) -> None:
            store.put(number, bytes([number]) * LARGE)
            store.put((number, "again"), bytes([number]) * LARGE)

        assert at_once(work) == [0, 0, 0]
        expected: dict[Any, Any] = {"k": 1}
        for n in range(3):
            expected[n] = expected[n, "again"] = bytes([n]) * LARGE
        assert contents(store) == expected
        store.check()


def test_a_child_that_is_interrupted_while_it_joins_has_not_joined(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_segments(private_tmp) as store:
        store.put("k", 1)
        log = store._engine.log

        def work() -> str:
            def interrupted(self: Processes) -> None:
                raise KeyboardInterrupt

            with monkeypatch.context() as patched:
                patched.setattr(Processes, "stay", interrupted)
                with pytest.raises(KeyboardInterrupt):
                    store.put("k", 2)
            assert log.orphaned
            store.put("k", 3)
            assert not log.orphaned
            return "done"

        assert forked(work) == "done"
        assert store.get("k") == 3


def test_a_child_that_may_not_join_holds_up_nobody(private_tmp: Path) -> None:
    """Its parent has closed the store, and a reader has come who wants it to stay as it is."""
    open_tiers(private_tmp).close()
    memory = open_tiers(private_tmp)
    memory.put("k", 1)
    wait, go = os.pipe()
    done, told = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(go)
        os.read(wait, 1)
        said = b"put"
        try:
            memory.put("k", 2)
        except StoreLockedError:
            said = b"locked"
        os.write(told, said)
        os._exit(0)
    memory.close()
    try:
        with open_tiers(private_tmp, read_only=True) as looker:
            os.write(go, b".")
            assert os.read(done, 10) == b"locked"
            assert looker.get("k") == 1
        with open_tiers(private_tmp, timeout_s=0.5) as memory:
            assert memory.get("k") == 1
    finally:
        os.waitpid(child, 0)
        for descriptor in (wait, go, done, told):
            os.close(descriptor)


@pytest.mark.parametrize("opener", [open_segments, open_tiers])
def test_figures_in_a_child_that_has_changed_nothing(opener: Opener, private_tmp: Path) -> None:
    with opener(private_tmp) as store:
        store.put("k", 1)

        def work() -> object:
            figures = store.stats()
            return figures.get("l2", figures)["processes"]

        assert forked(work) == "1"  # its parent
