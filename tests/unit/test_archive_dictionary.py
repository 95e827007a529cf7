"""When an archive gets its dictionary: once it holds enough, whichever process put it there."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastmem import Archive, codecs
from fastmem._core.keys import encode_key
from fastmem.storage import dictionaries
from fastmem.storage.dictionaries import SAMPLE_LIMIT_BYTES, TRAINING_BYTES, Dictionaries
from tests.crash.directories import engine_of, open_tiers
from tests.demotion import archive_warm


def session(number: int) -> dict[str, Any]:
    return {"user": number, "name": f"name{number}", "text": f"some text {number % 37} " * 30}


def wait(store: Any) -> None:
    """Until the training under way, if any, is done."""
    training = engine_of(store).cold.dictionaries._training
    if training is not None:
        training.join()


def put_sessions(archive: Archive, opening: int, count: int) -> None:
    for number in range(count):
        archive.put((opening, number), session(number))


def test_openings_that_archive_little_each(private_tmp: Path) -> None:
    for opening in range(4):
        with Archive(private_tmp / "l3") as archive:
            put_sessions(archive, opening, 2_000)  # 0.9 MB
            wait(archive)
    with Archive(private_tmp / "l3") as archive:
        assert archive.stats()["dictionaries"] == [1]
        archive.put("after", session(5_000))
        assert engine_of(archive).log.get(encode_key("after")).dictionary == 1
        archive.check()


def test_what_a_memory_moved_down_before_counts(private_tmp: Path) -> None:
    for opening in range(3):  # 1.4 MB each: the third finds enough at its first look
        with open_tiers(private_tmp) as memory:
            for number in range(3_000):
                memory.put((opening, number), session(number))
            archive_warm(memory)
            wait(memory)
    with open_tiers(private_tmp) as memory:
        assert memory.stats()["l3"]["dictionaries"] == [1]


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The bytes of samples of each training; the first two learn nothing."""
    seen: list[int] = []
    real = codecs.train_dictionary

    def train(samples: list[bytes]) -> bytes | None:
        seen.append(sum(map(len, samples)))
        return real(samples) if len(seen) > 2 else None

    monkeypatch.setattr(dictionaries, "train_dictionary", train)
    return seen


def test_a_training_in_vain_is_repeated_later_and_later(
    private_tmp: Path, trainings: list[int]
) -> None:
    archived = 0
    at: list[int] = []
    with Archive(private_tmp / "l3") as archive:
        for number in range(30 * TRAINING_BYTES // 8_000):
            archive.put(number, os.urandom(4_000) + bytes(4_000))
            archived += 8_000
            wait(archive)
            if len(trainings) > len(at):
                at.append(archived)
            if archive.stats()["dictionaries"]:
                break
        assert len(trainings) == 3
        assert at[1] - at[0] >= 2 * TRAINING_BYTES
        assert at[2] - at[1] >= 4 * TRAINING_BYTES
        assert max(trainings) < TRAINING_BYTES + SAMPLE_LIMIT_BYTES
        archive.check()


def test_no_look_at_every_put_while_values_are_replaced(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The archive stays just below what is needed: it is looked at seldom all the same."""
    looks = 0
    draw = random.Random(1)
    with Archive(private_tmp / "l3") as archive:
        writer: Dictionaries = engine_of(archive).cold.dictionaries
        stored = writer._stored

        def look() -> Iterator[bytes]:
            nonlocal looks
            looks += 1
            return stored()

        monkeypatch.setattr(writer, "_stored", look)
        count = TRAINING_BYTES // 8_100
        for number in range(6 * count):
            archive.put(number % count, draw.randbytes(8_000))
            wait(archive)
        assert 2 < looks < 30
        assert archive.stats()["dictionaries"] == []


def test_samples_do_not_count_as_read(private_tmp: Path) -> None:
    """Else the first real read of each would promote it, and reclaim would move it on."""
    with Archive(private_tmp / "l3") as archive:
        put_sessions(archive, 0, 8_000)
        wait(archive)
        assert archive.stats()["dictionaries"] == [1]
        log = engine_of(archive).log
        assert not any(log.was_touched(encode_key((0, number))) for number in range(8_000))


def test_no_dictionary_of_a_read_only_archive(private_tmp: Path) -> None:
    with Archive(private_tmp / "l3") as archive:
        put_sessions(archive, 0, 100)
    with Archive(private_tmp / "l3", read_only=True) as archive:
        assert len(list(archive)) == 100
        assert engine_of(archive).cold.dictionaries._training is None
