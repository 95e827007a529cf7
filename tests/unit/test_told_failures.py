"""What the system refuses after every put is counted each time, and not logged each time."""

import errno
import logging
from pathlib import Path
from typing import Any, NoReturn

import pytest

from fastmem.storage import room
from tests.crash.directories import engine_of, open_segments


def refusing(code: int) -> Any:
    def refuse(*_: object) -> NoReturn:
        raise OSError(code, "not now")

    return refuse


def test_one_kind_is_logged_once_in_a_while(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = [100.0]
    monkeypatch.setattr("fastmem.storage.room.time.monotonic", lambda: clock[0])
    with open_segments(private_tmp) as store, caplog.at_level(logging.WARNING, "fastmem"):
        own = engine_of(store).room
        for code in (errno.ENOSPC, errno.EIO):
            monkeypatch.setattr(own, "_do_chores", refusing(code))
            for number in range(20):
                own.owe()
                store.put("k", number)
        codes = [f"[Errno {code}]" for code in (errno.ENOSPC, errno.EIO)]
        assert len(caplog.records) == 2
        assert all(map(str.__contains__, caplog.messages, codes))
        clock[0] += room.SILENCE_S + 1
        own.owe()
        store.put("k", 1)
        assert len(caplog.records) == 3
        errors = store.stats()["errors"]
        assert (errors["no_space"], errors["io"]) == (20, 21)
        monkeypatch.undo()
