"""What fails after a commit fails no call; what cannot be read stops nothing."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from fastmem import Archive, TieredMemorySystem
from fastmem.storage.cold import ColdWriter
from fastmem.storage.dictionaries import TRAINING_BYTES
from fastmem.storage.files import Directory
from tests.crash.directories import BUDGET, engine_of, open_segments
from tests.crash.interrupts import interrupted
from tests.places import places

# An interrupt between opening a file and the `with` around it leaves it to its finalizer.
pytestmark = pytest.mark.filterwarnings(
    "ignore:unclosed file:ResourceWarning",
    "ignore:Exception ignored in. <_io.FileIO:pytest.PytestUnraisableExceptionWarning",
)

MIB = 1 << 20


def tiers(at: Path, **options: Any) -> TieredMemorySystem:
    return TieredMemorySystem(1, at / "l2", at / "l3", l2_size_mb=BUDGET / MIB, **options)


class Unreadable:
    """Reading the chosen files fails as a bad sector does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: set[str] = set()
        read = Directory.read

        def reading(directory: Directory, name: str, limit: int, offset: int = 0) -> bytes:
            if name in self.names:
                raise OSError(errno.EIO, os.strerror(errno.EIO), name)
            return read(directory, name, limit, offset)

        monkeypatch.setattr(Directory, "read", reading)

    def choose(self, directory: Path) -> None:
        self.names = {path.name for path in directory.glob("val.*")}
        assert self.names


@pytest.fixture
def unreadable(monkeypatch: pytest.MonkeyPatch) -> Unreadable:
    return Unreadable(monkeypatch)


@pytest.mark.parametrize("l3_size_mb", [None, 64])
def test_an_unreadable_value_is_a_miss_and_does_not_stop_reclaim(
    private_tmp: Path, unreadable: Unreadable, l3_size_mb: int | None
) -> None:
    with tiers(private_tmp, l3_size_mb=l3_size_mb) as memory:
        memory.put("victim", os.urandom(1_500_000))
        unreadable.choose(private_tmp / "l2")
        assert memory.get("victim") is None
        assert memory.stats()["l2"]["errors"]["corrupt"] == 1
        for number in range(600):
            memory.put(number, os.urandom(50_000))
        memory.check()
        assert "victim" not in memory
        assert memory.get(599) is not None


def test_a_store_with_an_unreadable_value_opens_after_a_kill(
    private_tmp: Path, unreadable: Unreadable
) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; "
        "from tests.crash.directories import open_segments; "
        "store = open_segments(Path(sys.argv[1])); "
        "store.put('small', 1); store.put('large', bytes(400_000)); "
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(private_tmp)], check=False)
    assert killed.returncode == -signal.SIGKILL
    unreadable.choose(private_tmp / "l2")
    for rebuilt in (False, True):
        if rebuilt:
            (private_tmp / "l2" / "index").unlink()
        with open_segments(private_tmp) as store:
            assert store.get("small") == 1
            assert store.get("large") is None
    assert list((private_tmp / "l2").glob("val.*"))


def test_no_memory_for_reclaim_is_counted_and_tried_again(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> bool:
        raise MemoryError

    with tiers(private_tmp, l3_size_mb=64) as memory:
        with monkeypatch.context() as patch:
            patch.setattr(ColdWriter, "stamped", refuse)
            number = 0
            while not memory.stats()["l2"]["errors"]["memory"]:
                memory.put(number, os.urandom(50_000))
                assert memory.get(number) is not None
                number += 1
        memory.put("after", 1)
        memory.check()
        assert [key for key in range(number) if key not in memory] == []


def test_a_dictionary_needs_a_thread_and_the_archive_does_not(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with Archive(private_tmp / "l3") as archive:
        for number in range(TRAINING_BYTES // 8_000 + 2):
            archive.put(number, bytes(8_000))
        assert archive.stats()["dictionaries"] == []
    with Archive(private_tmp / "l3") as archive:
        assert archive.get(3) == bytes(8_000)


@pytest.mark.parametrize("durability", ["process", "cache"])
def test_an_interrupted_close_can_be_repeated(private_tmp: Path, durability: str) -> None:
    large = os.urandom(300_000)
    for nth in places():
        memory = tiers(private_tmp, durability=durability)
        memory.put("a", nth)
        memory.put("large", large)
        it, _ = interrupted(nth, memory.close)
        memory.close()
        assert memory.closed
        with tiers(private_tmp) as again:
            assert again.get("a") == nth, it.where
            assert again.get("large") == large, it.where
        if not it.raised:
            break
    assert nth > 50


def test_an_engine_that_is_closed_twice_stays_closed(private_tmp: Path) -> None:
    store = open_segments(private_tmp)
    store.put("k", 1)
    store.close()
    store.close()
    assert engine_of(store).files.closed
