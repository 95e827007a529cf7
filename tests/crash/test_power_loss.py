"""Power loss, simulated: of what was not synced any page may be on the device, or not."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastmem.storage import opening
from tests.crash.device import Device
from tests.crash.directories import contents, open_archive, open_segments, open_tiers


@pytest.fixture
def device(private_tmp: Path) -> Iterator[Device]:
    device = Device(private_tmp, random.Random(1))
    with device.watched():
        yield device


class Course:
    """Random operations, and for each key every value it may be found with after a power loss."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.possible: dict[str, list[Any]] = {}

    def step(self, store: Any) -> str:
        key = f"key-{self.draw.randrange(60)}"
        size = self.draw.choice([30, 900, 5_000, 60_000, 300_000])
        if self.draw.random() < 0.2:
            store.delete(key)
            value = None
        else:
            value = self.draw.randbytes(size)
            store.put(key, value)
        self.possible.setdefault(key, [None]).append(value)
        return key

    def settle(self) -> None:
        """Everything so far is durable: only the newest value may be found."""
        for values in self.possible.values():
            del values[:-1]

    def verify(self, store: Any, where: str) -> None:
        found = contents(store)
        for key, values in self.possible.items():
            assert found.pop(key, None) in values, f"{where}: {key}"
        assert found == {}, f"{where}: keys never put"


@pytest.mark.parametrize("opener", [open_segments, open_tiers, open_archive])
@pytest.mark.parametrize("seed", range(4))
def test_flush_is_kept_and_nothing_torn_is_served(
    private_tmp: Path, device: Device, monkeypatch: pytest.MonkeyPatch, opener: Any, seed: int
) -> None:
    course = Course(seed)
    device.draw = course.draw
    with opener(private_tmp) as store:
        for step in range(360):
            course.step(store)
            if course.draw.random() < 0.05:
                store.flush()
                course.settle()
            if step % 45 == 44:
                device.lose_power(private_tmp / f"lost-{step}")
                reopen(private_tmp / f"lost-{step}", opener, course, monkeypatch)


@pytest.mark.parametrize("opener", [open_segments, open_tiers, open_archive])
def test_disk_keeps_every_put_that_returned(
    private_tmp: Path, device: Device, monkeypatch: pytest.MonkeyPatch, opener: Any
) -> None:
    course = Course(9)
    device.draw = course.draw
    with opener(private_tmp, durability="disk") as store:
        for step in range(150):
            course.step(store)
            course.settle()
            if step % 30 == 29:
                device.lose_power(private_tmp / f"lost-{step}")
                reopen(private_tmp / f"lost-{step}", opener, course, monkeypatch)


def reopen(at: Path, opener: Any, course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(opening, "boot_id", lambda: b"after the outage")
        with opener(at) as store:
            store.check()
            course.verify(store, str(at))
            # And it goes on from there.
            for i in range(40):
                store.put(f"after-{i}", bytes([i]) * 20_000)
            store.check()
            assert all(store.get(f"after-{i}") == bytes([i]) * 20_000 for i in range(40))
