"""Faults of the operating system in one of two processes that have a store open, one system call
after the other: an error that names the file, nothing lost, and the other goes on.
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from fastmem import StoreError
from fastmem._core.mapping import Mapping
from fastmem.storage import descriptors, files
from tests.conftest import PROFILE
from tests.crash.directories import contents, engine_of, open_archive, open_segments, open_tiers
from tests.fuzz.hostile import Remote, build
from tests.fuzz.hostile_actor import KEYS

CODES = (errno.ENOSPC, errno.EIO, errno.EMFILE)
JOINING = CODES if PROFILE == "nightly" else (errno.EMFILE,)
SYNCING = CODES if PROFILE == "nightly" else (errno.EIO,)
CALLS = frozenset(
    ("open", "fstat", "stat", "listdir", "pread", "write", "unlink", "rename", "fsync", "fdatasync")
)
MOST_CALLS = 200
EVERY = 1 if PROFILE == "nightly" else 4  # of the calls of one operation
KINDS: dict[str, Callable[..., Any]] = {
    "segments": open_segments,
    "archive": open_archive,
    "tiers": open_tiers,
}
LARGE, SMALL = 300_000, 60_000


class System:
    """The door's `os`, and what it calls besides. The Nth call fails when it is told so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = 0
        self.code = 0
        self.failed = ""
        for door in (files, descriptors):
            monkeypatch.setattr(door, "os", self)
        for name in ("fallocate", "rename_new"):
            monkeypatch.setattr(files, name, self.faulty(name, getattr(files, name)))
        system = self

        class Mapped(Mapping):
            def __init__(self, fd: int, size: int, writable: bool) -> None:
                system.step("mmap")

            def sync(self, offset: int, length: int) -> None:
                system.step("msync")
                super().sync(offset, length)

        monkeypatch.setattr(files, "Mapping", Mapped)

    def __getattr__(self, name: str) -> Any:
        found = getattr(os, name)
        return self.faulty(name, found) if name in CALLS else found

    def faulty(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def stepped(*args: Any, **options: Any) -> Any:
            self.step(name, *args[:1])
            return call(*args, **options)

        return stepped

    def step(self, name: str, place: object = None) -> None:
        if self.left:
            self.left -= 1
            if self.left == 0:
                self.failed = name
                error = OSError(self.code, os.strerror(self.code))
                if isinstance(place, (str, Path)):  # as Python has it
                    error.filename = str(place)
                raise error

    @contextmanager
    def failing(self, nth: int, code: int) -> Iterator[None]:
        self.left, self.code, self.failed = nth, code, ""
        try:
            yield
        finally:
            self.left = 0


@contextmanager
def companion(kind: str, at: Path) -> Iterator[Remote]:
    """Another process that has the store open and knows what its keys hold."""
    build(kind, at)
    remote = Remote("b")
    try:
        remote.ask("open", kind, at)
        assert remote.answer()["came"] == {}
        yield remote
    finally:
        remote.end()


def go_on(remote: Remote, seed: object) -> None:
    """The other works and reads all that it has put: no error, no miss, no wrong value."""
    came: dict[str, int] = {}
    for words in (["work", seed, 12], ["verify"]):
        remote.ask(*words)
        told = remote.answer()
        assert told["wrong"] == []
        came |= told["came"]
    assert not [what for what in came if ":" in what or what == "miss"], came


def noise(size: int) -> bytes:
    return random.randbytes(size)


def put_small(store: Any, model: dict[str, bytes]) -> None:
    """Enough for a new segment now and then."""
    for i in range(6):
        key, value = f"a-x{i}", noise(SMALL)
        store.put(key, value)
        model[key] = value


def put_large(store: Any, model: dict[str, bytes]) -> None:
    value = noise(LARGE)
    store.put("a-xl", value)
    model["a-xl"] = value


def delete_large(store: Any, model: dict[str, bytes]) -> None:
    store.delete("a-xl")
    model.pop("a-xl", None)


def read_all(store: Any, model: dict[str, bytes]) -> None:
    """Segments and value files that the other has made are mapped here. What cannot be read is a
    miss, and counted.
    """
    for i in range(KEYS):
        store.get(f"b-{i}")
    store.get("b-large")
    assert all(store.get(key) in (None, value) for key, value in model.items())


def check(store: Any, _model: dict[str, bytes]) -> None:
    store.stats()
    len(store)


STEPS = [put_small, put_large, read_all, delete_large, put_large, check]


def told_of(error: OSError, at: Path, system: System) -> None:
    assert error.errno == system.code, (system.failed, error)
    assert str(error.filename).startswith(str(at)), (system.failed, error)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("code", CODES, ids=errno.errorcode.get)
def test_a_fault_at_each_call_of_each_step(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch, kind: str, code: int
) -> None:
    with companion(kind, private_tmp) as other:
        system = System(monkeypatch)
        model: dict[str, bytes] = {}
        failed: set[str] = set()
        with KINDS[kind](private_tmp) as store:
            for step in STEPS:
                for nth in range(1, MOST_CALLS, EVERY):
                    go_on(other, nth)
                    changed = dict(model)
                    try:
                        with system.failing(nth, code):
                            step(store, changed)
                    except OSError as error:
                        told_of(error, private_tmp, system)
                    failed.add(system.failed)
                    # What an error came from is not done; what came before it is.
                    for key in {*model, *changed}:
                        found = store.get(key)
                        assert found in (model.get(key), changed.get(key)) or (
                            step is put_small and found is not None and len(found) == SMALL
                        ), (step, nth, system.failed)
                        model.pop(key, None)
                        if found is not None:
                            model[key] = found
                    if not system.failed:
                        break
                else:
                    pytest.fail(f"{step.__name__} takes {MOST_CALLS} calls")
                go_on(other, "between")
                store.check()
            assert {"open", "stat"} & failed
            assert not system.left
        go_on(other, "alone")
        with KINDS[kind](private_tmp) as store:
            assert engine_of(store).files.attached
            assert {key: store.get(key) for key in model} == model
            store.check()
        other.ask("close")
        assert other.answer()["came"] == {}
    with KINDS[kind](private_tmp) as store:
        assert not store_stats(store)["rebuilt"]
        found = contents(store)
        assert {key: value for key, value in found.items() if key.startswith("a-x")} == model
        store.check()


def store_stats(store: Any) -> dict[str, Any]:
    stats = store.stats()
    found: dict[str, Any] = stats.get("l2", stats)
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("code", JOINING, ids=errno.errorcode.get)
def test_a_fault_while_joining_and_leaving(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch, kind: str, code: int
) -> None:
    with companion(kind, private_tmp) as other:
        go_on(other, "first")
        system = System(monkeypatch)
        met: set[str] = set()
        for nth in range(1, MOST_CALLS):
            store = None
            try:
                with system.failing(nth, code):
                    store = KINDS[kind](private_tmp)
                    store.close()
            except OSError as error:
                told_of(error, private_tmp, system)
            if store is not None:
                with suppress(OSError):
                    store.close()
            met.add(system.failed)
            if nth % 5 == 0:
                go_on(other, nth)
            if not system.failed:
                break
        else:
            pytest.fail(f"joining takes {MOST_CALLS} calls")
        assert met >= {"open", "fstat", "stat", "listdir", "mmap", ""}
        with KINDS[kind](private_tmp) as store:
            assert store_stats(store)["processes"] == 2
            store.check()
        go_on(other, "last")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("code", SYNCING, ids=errno.errorcode.get)
def test_a_fault_while_syncing(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch, kind: str, code: int
) -> None:
    """What a device has refused no process syncs again, nor claims to have; it goes on without."""
    value = noise(SMALL)
    with companion(kind, private_tmp) as other:
        system = System(monkeypatch)
        refused: set[str] = set()
        for nth in range(1, MOST_CALLS, EVERY):
            with KINDS[kind](private_tmp) as store:
                store.put("a-x0", value)
                store.put("a-xl", noise(LARGE))
                try:
                    with system.failing(nth, code):
                        store.flush()
                except OSError as error:
                    told_of(error, private_tmp, system)
                    refused.add(system.failed)
                    if {"fsync", "fdatasync", "msync"} & {system.failed}:
                        with pytest.raises(StoreError, match="reopen"):
                            store.flush()
                store.put("a-x1", value)
                assert store.get("a-x0") == store.get("a-x1") == value
                store.check()
            for words in (["work", nth, 12], ["verify"], ["close"], ["open", kind, private_tmp]):
                other.ask(*words)
                told = other.answer()
                assert told["wrong"] == []
                assert not {what for what in told["came"] if what != "flush: StoreError"} - {
                    "put", "delete", "hit", "none"
                }, told  # fmt: skip
            if not system.failed:
                break
        assert refused
        with KINDS[kind](private_tmp) as store:
            store.flush()
