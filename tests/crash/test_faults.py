"""Faults of the operating system at every call of the door: an error, nothing changed, and on."""

from __future__ import annotations

import errno
import gc
import itertools
import os
import random
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from fastmem import FastmemError, SegmentStore, StoreError
from fastmem._core.mapping import Mapping
from fastmem.storage import files
from fastmem.storage.files import Directory
from tests.crash.directories import (
    BUDGET,
    contents,
    engine_of,
    linked_bytes,
    open_archive,
    open_segments,
    open_tiers,
)

DOOR = ("open", "unlink", "rename", "publish", "sync", "sync_file", "extend", "stat")
CALLS = ("fallocate", "map_file", "_write_all")
CODES = (errno.ENOSPC, errno.EIO, errno.EMFILE)


class Faults:
    """Makes the Nth call of the door fail, once or from then on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = 0
        self.code = errno.ENOSPC
        self.hits = 0
        for name in DOOR:
            monkeypatch.setattr(Directory, name, self.around(getattr(Directory, name)))
        for name in CALLS:
            monkeypatch.setattr(files, name, self.around(getattr(files, name)))

    def around(self, step: Callable[..., Any]) -> Callable[..., Any]:
        def faulty(*args: Any, **options: Any) -> Any:
            if self.left:
                self.left -= 1
                if self.left == 0:
                    self.hits += 1
                    raise OSError(self.code, os.strerror(self.code))
            return step(*args, **options)

        return faulty

    def after(self, calls: int, code: int) -> None:
        self.left, self.code = calls, code

    def never(self) -> None:
        self.left = 0


def noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def course() -> Iterator[tuple[str, Any, Any]]:
    """Puts, replaces and deletes that roll, reclaim, demote, grow and write value files."""
    draw = random.Random(3)
    for i in itertools.count():
        if i % 5 == 4:
            yield "delete", draw.randrange(60), None
        else:
            size = draw.choice([10, 5_000, 250_000, 300_000, 900_000])
            yield "put", draw.randrange(60), noise(i, size)


@pytest.mark.parametrize("opener", [open_segments, open_tiers, open_archive])
@pytest.mark.parametrize("code", CODES)
def test_a_fault_changes_nothing(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch, opener: Any, code: int
) -> None:
    faults = Faults(monkeypatch)
    draw = random.Random(code)
    model: dict[Any, Any] = {}
    steps = itertools.islice(course(), 300)
    with ExitStack() as opened:
        store = opened.enter_context(opener(private_tmp))
        raised = 0
        codes: set[int | None] = set()
        for verb, key, value in steps:
            faults.after(draw.randint(1, 12), code)
            count = len(store)
            try:
                if verb == "put":
                    store.put(key, value)
                    model[key] = value
                else:
                    store.delete(key)
                    model.pop(key, None)
            except OSError as error:
                raised += 1
                faults.never()
                if "reopen the store" in str(error):  # a sync had failed before
                    store.close()
                    store = opened.enter_context(opener(private_tmp))
                else:
                    codes.add(error.errno)
                if opener is not open_segments:  # which evicts to make room
                    assert len(store) == count
                    assert store.get(key) == model.get(key)
            faults.never()
            if opener is open_segments and key not in store:  # evicted: what made room for it
                model.pop(key, None)
            assert store.get(key) == model.get(key), (verb, key)
        assert faults.hits > 20
        assert raised > 3
        assert codes == {code}
        store.close()  # after a sync that failed, flush would refuse
        store = opened.enter_context(opener(private_tmp))
        verify(store, model, evicts=opener is open_segments)
        store.put("space is back", noise(0, 400_000))
        assert store.get("space is back") == noise(0, 400_000)
        store.flush()
        for values in (engine_of(store).files.warm_values, engine_of(store).files.cold_values):
            for number in values.numbers() if values else ():
                assert not engine_of(store).files.is_orphan(values, number)
        model["space is back"] = noise(0, 400_000)
        if opener is not open_archive:
            assert engine_of(store).warm_bytes <= BUDGET
            assert linked_bytes(private_tmp / "l2") <= BUDGET
    with opener(private_tmp) as store:
        verify(store, model, evicts=opener is open_segments)


def verify(store: Any, model: dict[Any, Any], *, evicts: bool) -> None:
    store.check()
    found = contents(store)
    if evicts:
        assert found.items() <= model.items()
    else:
        assert found == model


@pytest.mark.parametrize("opener", [open_segments, open_tiers, open_archive])
@pytest.mark.parametrize("state", ["fresh", "clean", "rebuild"])
def test_a_fault_while_opening_leaks_nothing(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch, opener: Any, state: str
) -> None:
    if state != "fresh":
        with opener(private_tmp) as store:
            store.update({i: noise(i, 3000) for i in range(200)})
            store.put("large", noise(0, 300_000))
    faults = Faults(monkeypatch)
    for calls in range(1, 200):
        if state == "rebuild":
            for folder in ("l2", "l3"):
                (private_tmp / folder / "index").unlink(missing_ok=True)
        held = resources()
        faults.hits = 0
        faults.after(calls, errno.EMFILE)
        with suppress(OSError):
            opener(private_tmp).close()
        faults.never()
        assert resources() == held, f"call {calls}"
        if not faults.hits:
            break
    else:
        pytest.fail("an opening of 200 calls")
    assert calls > 5
    with opener(private_tmp) as store:
        store.check()
        if state != "fresh":
            small: dict[Any, bytes] = {i: noise(i, 3000) for i in range(200)}
            assert contents(store) == small | {"large": noise(0, 300_000)}


def resources() -> tuple[int, int]:
    """Open descriptors, and mappings of a store's files; none of what other tests left to die."""
    gc.collect()
    with open("/proc/self/maps") as maps:
        mapped = sum("/l2/" in line or "/l3/" in line for line in maps)
    return len(os.listdir("/proc/self/fd")), mapped


@pytest.mark.parametrize("opener", [open_segments, open_tiers])
def test_a_failed_sync_is_never_claimed_later(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch, opener: Any
) -> None:
    failing = [False]

    class Failing(Mapping):
        def sync(self, offset: int, length: int) -> None:
            if failing[0]:
                raise OSError(errno.EIO, "Input/output error")
            super().sync(offset, length)

    monkeypatch.setattr(files, "map_file", Failing)
    with opener(private_tmp, durability="disk") as store:
        store.put("before", 1)
        failing[0] = True
        with pytest.raises(OSError, match="Input/output"):
            store.put("k", 1)
        failing[0] = False
        synced = engine_of(store).files.super.get("synced")
        for call in (lambda: store.put("later", 1), store.flush, lambda: store.delete("before")):
            with pytest.raises(StoreError, match="reopen"):
                call()
        assert store.get("before") == 1
        assert store.get("k") == 1  # in place before the wait, as `put` says
        assert "later" not in store
        assert engine_of(store).files.super.get("synced") == synced
    with opener(private_tmp, durability="disk") as store:
        store.put("again", 1)
        assert store.get("again") == 1


# -- a disk that is really full --------------------------------------------------------------


@pytest.fixture
def small_disk(private_tmp: Path) -> Iterator[Path]:
    """A file system of 40 MiB."""
    at = private_tmp / "disk"
    at.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=40m,mode=0700", "tmpfs", str(at)]
    try:
        done = subprocess.run(mount, capture_output=True, timeout=20, check=False)
    except FileNotFoundError:
        pytest.skip("no mount command")
    if done.returncode:
        pytest.skip(f"mount is not permitted: {done.stderr.decode().strip()}")
    try:
        yield at
    finally:
        subprocess.run(["umount", "-l", str(at)], check=True, timeout=20)


def test_a_full_disk(small_disk: Path) -> None:
    with SegmentStore(small_disk / "l2", budget_bytes=64 << 20) as store:
        model: dict[Any, bytes] = {}
        failures: list[int | None] = []
        for i in range(700):
            value = noise(i, 300_000 if i % 3 == 0 else 100_000)
            try:
                store.put(i, value)
                model[i] = value
            except OSError as error:
                failures.append(error.errno)
        assert len(failures) > 10
        assert set(failures) == {errno.ENOSPC}
        assert contents(store) == model
        store.check()
        for key in list(model)[:40]:
            store.delete(key)
            del model[key]
        store.flush()
        store.put("back", noise(1, 300_000))
        assert contents(store) == {**model, "back": noise(1, 300_000)}
    with SegmentStore(small_disk / "l2", budget_bytes=64 << 20) as store:
        assert contents(store) == {**model, "back": noise(1, 300_000)}


def test_a_disk_filled_by_others_under_an_archive(small_disk: Path) -> None:
    """L2 has its room; the archive finds none: puts fail, nothing is lost, and it goes on."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(20 << 20))
    model: dict[Any, bytes] = {}
    with open_tiers(small_disk) as memory:
        failures = 0
        for i in range(400):
            try:
                memory.put(i, noise(i, 90_000))
                model[i] = noise(i, 90_000)
            except (OSError, FastmemError):
                failures += 1
        assert failures
        assert contents(memory) == model
        ballast.unlink()
        memory.put("back", 1)
        for i in range(100):
            memory.put((i,), noise(i, 50_000))
            model[i,] = noise(i, 50_000)
        assert contents(memory) == {**model, "back": 1}
        memory.check()
