"""A store that was dropped without a close: the collector closes it, whatever it comes amid."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastmem.storage.files import Directory
from fastmem.storage.processes import Processes
from tests.children import forked
from tests.crash.directories import contents, open_segments, open_tiers

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.fixture(autouse=True)
def _collected_by_hand() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def collect_in(owner: type, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the collector run in the next call of a method."""
    method = getattr(owner, name)

    def collected(self: Any, *args: Any, **options: Any) -> Any:
        monkeypatch.setattr(owner, name, method)
        gc.collect()
        return method(self, *args, **options)

    monkeypatch.setattr(owner, name, collected)


@pytest.mark.parametrize("opener", [open_segments, open_tiers])
@pytest.mark.parametrize("step", ["be_alone", "take_slot", "map_lines", "stay"])
def test_it_is_collected_while_the_directory_is_opened_again(
    opener: Any, step: str, private_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work() -> object:
        opener(private_tmp, timeout_s=600).put("k", 1)
        collect_in(Processes, step, monkeypatch)
        with opener(private_tmp, timeout_s=600) as again:
            again.put("new", 2)
            again.check()
            return sorted(contents(again).items())

    assert forked(work, timeout_s=10) == str([("k", 1), ("new", 2)])


@pytest.mark.parametrize("opener", [open_segments, open_tiers])
def test_it_is_collected_while_another_is_at_work_on_files(
    opener: Any, private_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work() -> object:
        dropped = opener(private_tmp, timeout_s=600)
        with opener(private_tmp, timeout_s=600) as store:
            dropped.put("k", 1)
            del dropped
            collect_in(Directory, "create", monkeypatch)
            for number in range(5):
                store.put(number, bytes(250_000))
            assert store.stats().get("processes", 1) == 1
            store.check()
            return store.get("k")

    assert forked(work, timeout_s=10) == "1"
