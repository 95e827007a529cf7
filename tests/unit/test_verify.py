"""Asked to verify, a store tells each damaged record with path and offset, and touches nothing."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastmem import ClosedError, CorruptRecordError, TieredMemorySystem
from fastmem._core import scan
from fastmem.storage.values import Pointer, ValueFiles
from tests.crash.directories import (
    engine_of,
    forget_key,
    open_archive,
    open_segments,
    open_tiers,
    patch,
    snapshot,
)
from tests.demotion import archive_warm

OPENERS = [open_segments, open_archive, open_tiers]
LARGE = os.urandom(300_000)
MARK = b"to be found in the file"


def flip(path: Path, offset: int) -> None:
    patch(path, offset, bytes([path.read_bytes()[offset] ^ 1]))


def errors_of(store: Any) -> list[CorruptRecordError]:
    found: list[CorruptRecordError] = []
    store.verify(on_corrupt=found.append)
    return found


def fill(store: Any) -> None:
    for number in range(200):
        store.put(("row", number), {"number": number, "text": "much of the same; " * 20})
    store.put("noise", os.urandom(100) + MARK)
    store.put("large", LARGE)
    store.put("gone", LARGE[::-1])
    store.delete("gone")


def body_of(top: Path) -> tuple[Path, int]:
    """Where a byte of a record's body lies."""
    for path in sorted(top.rglob("*")):
        if path.is_file() and (at := path.read_bytes().find(MARK)) >= 0:
            return path, at
    raise AssertionError("nowhere")


def header_of(top: Path) -> tuple[Path, int]:
    """Where a byte of that record's key lies."""
    path, at = body_of(top)
    return path, path.read_bytes().rindex(b"snoise", 0, at)


def value_file_of(top: Path) -> tuple[Path, int]:
    (path,) = top.rglob("val.*")
    return path, 200_000


@pytest.mark.parametrize("opener", OPENERS)
def test_a_sound_store(private_tmp: Path, opener: Any) -> None:
    with opener(private_tmp) as store:
        assert store.verify() == 0
        fill(store)
        assert store.verify() == len(store) == 202
        assert errors_of(store) == []
        if opener is open_tiers:
            archive_warm(store)
            assert store.verify() == 202


@pytest.mark.parametrize("opener", OPENERS)
@pytest.mark.parametrize("place", [body_of, header_of, value_file_of])
def test_every_sort_of_damage_has_path_and_offset(
    private_tmp: Path,
    opener: Any,
    place: Callable[[Path], tuple[Path, int]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with opener(private_tmp) as store:
        fill(store)
    path, at = place(private_tmp)
    flip(path, at)
    before = {folder: snapshot(folder) for folder in private_tmp.iterdir()}
    with opener(private_tmp, read_only=True) as store:
        with caplog.at_level(logging.WARNING, "fastmem"):
            with pytest.raises(CorruptRecordError) as caught:
                store.verify()
            (error,) = errors_of(store)
            assert store.verify(on_corrupt=[].append) == 202
        for found in (caught.value, error):
            assert found.filename == str(path)
            assert at - 200_000 <= found.offset <= at
            assert f"offset {found.offset:,}" in str(found)
        assert caplog.messages == []
        for tier in ("l2", "l3") if opener is open_tiers else (None,):
            counts = store.stats()[tier] if tier else store.stats()
            assert not any(counts["errors"].values())
            assert counts["hits"] == counts["misses"] == 0
    assert {folder: snapshot(folder) for folder in private_tmp.iterdir()} == before


@pytest.mark.parametrize("opener", OPENERS)
def test_a_missing_value_file_and_a_wrong_key(private_tmp: Path, opener: Any) -> None:
    with opener(private_tmp, secret_key=b"a" * 16) as store:
        fill(store)
    value_file_of(private_tmp)[0].unlink()
    with opener(private_tmp, secret_key=b"a" * 16) as store:
        (error,) = errors_of(store)
        assert "value file is missing" in str(error)
    forget_key(private_tmp)
    with opener(private_tmp, secret_key=b"b" * 16) as store:
        errors = errors_of(store)
    assert len(errors) == 202
    assert len({(error.filename, error.offset) for error in errors}) == 202
    assert sum("without a valid MAC" in str(error) for error in errors) == 201


def test_frames_and_dictionaries_of_the_archive(private_tmp: Path) -> None:
    with open_archive(private_tmp) as store:
        for number in range(8_000):
            store.put(number, {"number": number, "text": f"much of the same as {number}; " * 20})
        engine_of(store).cold.dictionaries._training.join()  # `close` would cut it short
        store.put("with", {"number": 1, "text": "much of the same as ; " * 20})
        assert store.verify() == 8_001
        path = private_tmp / "l3" / "dict.1"
        flip(path, 5_000)
        (error,) = errors_of(store)  # this process has read it; the next cannot
        assert (error.filename, error.offset) == (str(path), 0)
        path.rename(path.with_name("away"))
        (error,) = errors_of(store)
        assert "missing" in str(error)
    with open_archive(private_tmp) as store:
        errors = errors_of(store)
        assert errors
        assert all("dictionary 1, which is missing" in str(error) for error in errors)


@pytest.mark.parametrize("opener", OPENERS)
def test_nothing_is_marked_promoted_or_counted(private_tmp: Path, opener: Any) -> None:
    with opener(private_tmp) as store:
        fill(store)
        keys = [record.key for record in scan.heads(engine_of(store).log)]
        for key in keys:
            engine_of(store).log.was_touched(key)
        before = store.stats()
        assert store.verify() == 202
        assert store.stats() == before
        assert not any(engine_of(store).log.was_touched(key) for key in keys)


@pytest.mark.parametrize("opener", OPENERS)
def test_writers_go_on_meanwhile(private_tmp: Path, opener: Any, eager_switches: None) -> None:
    """Replacing, deleting and reclaim are no damage."""
    with opener(private_tmp) as store:
        fill(store)
        done = threading.Event()

        def write() -> None:
            number = 0
            while not done.is_set():
                store.put(("row", number % 200), os.urandom(20_000))
                store.put(("large", number % 3), os.urandom(300_000))
                store.delete(("large", (number + 1) % 3))
                number += 1

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _ in range(20):
                assert errors_of(store) == []
        finally:
            done.set()
            writer.join()


@pytest.mark.parametrize("opener", OPENERS)
def test_a_value_file_that_goes_with_its_record_is_no_damage(
    private_tmp: Path, opener: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = ValueFiles.read

    with opener(private_tmp) as store:
        fill(store)

        def delete_and_read(
            values: ValueFiles, key: bytes, pointer: Pointer, *, wait: bool
        ) -> bytes:
            store.delete("large")
            store.flush()  # now nothing needs the file any more
            return real(values, key, pointer, wait=wait)

        monkeypatch.setattr(ValueFiles, "read", delete_and_read)
        assert errors_of(store) == []
        assert not list(private_tmp.rglob("val.*"))


@pytest.mark.parametrize("opener", OPENERS)
def test_a_closed_store(private_tmp: Path, opener: Any) -> None:
    store = opener(private_tmp)
    store.put("k", 1)
    store.close()
    with pytest.raises(ClosedError):
        store.verify()


def test_what_on_corrupt_raises_ends_the_walk(private_tmp: Path) -> None:
    with open_segments(private_tmp) as store:
        fill(store)
    flip(*body_of(private_tmp))

    def stop(error: CorruptRecordError) -> None:
        raise KeyboardInterrupt from error

    with open_segments(private_tmp) as store:
        with pytest.raises(KeyboardInterrupt):
            store.verify(on_corrupt=stop)
        store.put("k", 1)
        assert store.get("k") == 1


def test_dirty_entries_are_no_records(private_tmp: Path) -> None:
    memory: TieredMemorySystem
    with open_tiers(private_tmp, durability="cache") as memory:
        memory.put("k", 1)
        assert memory.verify() == 0
        memory.flush()
        assert memory.verify() == 1
