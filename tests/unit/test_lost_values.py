"""A value that cannot be had is counted and logged once for each place, in its own words."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import pytest

from fastmem import SerializationError
from fastmem.codecs import FrameCompressor
from tests.crash.directories import forget_key, open_archive, open_segments, open_tiers, patch
from tests.demotion import archive_warm, empty_l1

OPENERS = [open_segments, open_archive, open_tiers]
LARGE = os.urandom(300_000)


def errors_of(store: Any) -> int:
    """Corrupt records counted in all lower tiers."""
    stats = store.stats()
    tiers = [stats["l2"], stats["l3"]] if "l2" in stats else [stats]
    return sum(tier["errors"]["corrupt"] for tier in tiers)


def value_file(top: Path) -> Path:
    (path,) = top.rglob("val.*")
    return path


def read_three_times(store: Any, key: str, log: pytest.LogCaptureFixture) -> str:
    """The one line that three reads left."""
    for _ in range(3):
        assert store.get(key) is None
    assert store.pop(key, "absent") == "absent"
    assert errors_of(store) == 1
    (line,) = log.messages
    return line


@pytest.mark.parametrize("opener", OPENERS)
def test_a_damaged_value_file(
    private_tmp: Path, caplog: pytest.LogCaptureFixture, opener: Any
) -> None:
    with opener(private_tmp) as store:
        store.put("k", LARGE)
    path = value_file(private_tmp)
    patch(path, 200_000, bytes([path.read_bytes()[200_000] ^ 1]))
    with opener(private_tmp) as store, caplog.at_level(logging.WARNING, "fastmem"):
        line = read_three_times(store, "k", caplog)
    assert "does not match its checksum (offset " in line
    assert line.count(str(path)) == 1
    assert line.count("Errno") == line.count("offset") == 1


@pytest.mark.parametrize("opener", OPENERS)
def test_a_missing_value_file(
    private_tmp: Path, caplog: pytest.LogCaptureFixture, opener: Any
) -> None:
    with opener(private_tmp) as store:
        store.put("k", LARGE)
        value_file(private_tmp).unlink()
        if opener is open_tiers:
            empty_l1(store)
        with caplog.at_level(logging.WARNING, "fastmem"):
            line = read_three_times(store, "k", caplog)
        assert "value file is missing (offset 64)" in line
        assert line.count("Errno") == line.count("offset") == 1


@pytest.mark.parametrize("opener", OPENERS)
def test_a_record_of_another_key(
    private_tmp: Path, caplog: pytest.LogCaptureFixture, opener: Any
) -> None:
    with opener(private_tmp, secret_key=b"a" * 16) as store:
        store.put("k", 1)
    forget_key(private_tmp)
    wrong = opener(private_tmp, secret_key=b"b" * 16)
    with wrong as store, caplog.at_level(logging.WARNING, "fastmem"):
        line = read_three_times(store, "k", caplog)
    assert "record without a valid MAC (offset 64): " in line
    assert line.count("Errno") == line.count("offset") == 1


def test_a_damaged_frame(
    private_tmp: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sound by its checksum, and no frame: of another dictionary, say."""

    def refuse(*_: object) -> bytes:
        raise SerializationError("compressed with dictionary 9, which is missing")

    with open_archive(private_tmp) as store:
        store.put("k", "much of the same " * 100)
        monkeypatch.setattr(FrameCompressor, "decompress", refuse)
        with caplog.at_level(logging.WARNING, "fastmem"):
            line = read_three_times(store, "k", caplog)
    assert "compressed with dictionary 9, which is missing (offset 64): " in line
    assert line.count("Errno") == line.count("offset") == 1


@pytest.mark.parametrize("read_first", [True, False])
def test_reclaim_counts_what_a_read_has_counted_no_second_time(
    private_tmp: Path, caplog: pytest.LogCaptureFixture, read_first: bool
) -> None:
    with open_tiers(private_tmp) as memory:
        memory.put("record", b"VALUE" * 20)
        memory.put("large", LARGE)
        empty_l1(memory)
        segment = private_tmp / "l2" / "seg.0"
        patch(segment, segment.read_bytes().find(b"VALUE"), b"v")
        value_file(private_tmp).unlink()
        if read_first:
            assert memory.get("record") is None
            assert memory.get("large") is None
            assert errors_of(memory) == 2
        archive_warm(memory)
        assert list(memory) == []
        assert errors_of(memory) == 2
        assert len(caplog.messages) == 2
        assert all("offset" in line and str(private_tmp) in line for line in caplog.messages)
