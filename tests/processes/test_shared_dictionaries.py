"""Dictionaries of an archive that several processes write to: trained in one, needed in all."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from fastmem import Archive
from fastmem.storage.dictionaries import Dictionaries
from tests.crash.directories import open_archive


def session(number: int) -> str:
    return f"session {number}: " + " ".join(f"field{n}=value{n * number % 97}" for n in range(60))


def fill(archive: Archive, start: int) -> dict[int, str]:
    rows = {number: session(number) for number in range(start, start + 3_000)}
    archive.update(rows)
    return rows


def wait_for_dictionary(archive: Archive, start: int) -> dict[int, str]:
    """Put until there is one, and then a frame that needs it."""
    rows: dict[int, str] = {}
    until = time.monotonic() + 60
    while not archive.stats()["dictionaries"] and time.monotonic() < until:
        rows |= fill(archive, start + len(rows))
        time.sleep(0.05)
    rows |= fill(archive, start + len(rows))
    return rows


def missed(archive: Archive, rows: dict[int, str]) -> list[int]:
    return [number for number, row in rows.items() if archive.get(number) != row]


def test_one_trained_elsewhere_is_found_when_it_is_needed(private_tmp: Path) -> None:
    with open_archive(private_tmp) as one, open_archive(private_tmp) as two:
        with open_archive(private_tmp, read_only=True) as looker:
            rows = wait_for_dictionary(two, 0)
            assert one.stats()["dictionaries"] == looker.stats()["dictionaries"] == []
            assert missed(one, rows) == missed(looker, rows) == []
            assert one.stats()["dictionaries"] == [1]
        one.check()
        two.check()


def test_two_that_train_at_once_keep_one(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_archive(private_tmp) as one, open_archive(private_tmp) as two:
        gathered = Dictionaries._gather
        inner: list[dict[int, str]] = []

        def meanwhile(self: Dictionaries) -> Any:
            """Another process has trained and stored one while this one gathered."""
            samples = gathered(self)
            monkeypatch.setattr(Dictionaries, "_gather", gathered)
            inner.append(wait_for_dictionary(two, 1_000_000))
            return samples

        monkeypatch.setattr(Dictionaries, "_gather", meanwhile)
        rows = wait_for_dictionary(one, 0)
        rows |= inner[0]
        assert missed(one, rows) == missed(two, rows) == []
        one.check()
    with open_archive(private_tmp) as again:
        assert missed(again, rows) == []
        assert again.stats()["dictionaries"] == [1]


def test_a_thread_waits_for_the_one_that_loads(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_archive(private_tmp) as one, open_archive(private_tmp) as two:
        rows = wait_for_dictionary(two, 0)
        newest = max(rows)
        amid, asked = threading.Event(), threading.Event()
        read = Dictionaries._read

        def slow(self: Dictionaries, name: str, number: int) -> bytes | None:
            amid.set()
            asked.wait(0.2)  # as long as a busy device takes
            return read(self, name, number)

        monkeypatch.setattr(Dictionaries, "_read", slow)
        loading = threading.Thread(target=one.get, args=(newest,))
        loading.start()
        assert amid.wait(10)
        assert one.get(newest) == rows[newest]
        asked.set()
        loading.join()
        assert one.stats()["errors"]["corrupt"] == 0
        one.check()


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, OSError(24, "too many files")])
def test_one_that_could_not_be_loaded_is_tried_again(
    error: BaseException, private_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_archive(private_tmp) as one, open_archive(private_tmp) as two:
        rows = wait_for_dictionary(two, 0)
        newest = max(rows)

        def refused(self: Dictionaries, name: str, number: int) -> bytes | None:
            raise error

        with monkeypatch.context() as patched:
            patched.setattr(Dictionaries, "_read", refused)
            with pytest.raises((KeyboardInterrupt, MemoryError, OSError)):
                one.get(newest)
        assert one.get(newest) == rows[newest]
        assert one.stats()["errors"]["corrupt"] == 0
        one.check()
