"""A forked child in the middle of becoming a process of its own, which its first change does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from fastmem import ClosedError, FastmemError, SegmentStore
from fastmem.storage.processes import Processes
from tests.children import forked
from tests.crash.directories import Opener, open_segments, open_tiers

LARGE = 400_000
JOINING = ("begin", "take_slot", "map_lines")

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.mark.parametrize("opener", [open_segments, open_tiers])
@pytest.mark.parametrize("step", JOINING)
def test_a_close_while_another_thread_joins(
    opener: Opener, step: str, private_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opener(private_tmp) as store:
        store.put("k", 1)

        def work() -> object:
            amid, closing = threading.Event(), threading.Event()
            join = getattr(Processes, step)

            def slow(self: Processes, *args: object) -> object:
                amid.set()
                closing.wait(0.1)  # as long as a busy machine takes: the close comes in
                return join(self, *args)

            said: list[object] = []

            def change() -> None:
                try:
                    store.put("new", 2)
                    said.append("done")
                except ClosedError:
                    said.append("done")
                except BaseException as error:  # noqa: BLE001 - told to the test
                    said.append(repr(error))

            monkeypatch.setattr(Processes, step, slow)
            thread = threading.Thread(target=change)
            thread.start()
            amid.wait(10)
            store.close()
            closing.set()
            thread.join()
            return said[0]

        assert forked(work) == "done"
        store.check()


@pytest.mark.parametrize("step", JOINING)
@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.put("n", 1),
        lambda store: store.put("n", b"x" * LARGE),
        lambda store: store.delete("k"),
        lambda store: store.flush(),
        lambda store: store.close(),
    ],
)
def test_a_call_in_the_middle_of_joining_is_refused(
    call: Callable[[SegmentStore], object],
    step: str,
    private_tmp: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with open_segments(private_tmp) as store:
        store.put("k", 1)

        def work() -> object:
            join = getattr(Processes, step)
            refused: list[str] = []

            def interrupted(self: Processes, *args: object) -> object:
                monkeypatch.setattr(Processes, step, join)
                try:
                    call(store)  # as a finalizer or a signal handler would
                except FastmemError as error:
                    refused.append(str(error))
                return join(self, *args)

            monkeypatch.setattr(Processes, step, interrupted)
            store.put("new", 2)
            assert "in the middle of a call" in refused[0]
            return sorted(store.items())

        assert forked(work, timeout_s=5) == str([("k", 1), ("new", 2)])
        store.check()
