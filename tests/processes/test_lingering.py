"""Value files that wait for a sync to be unlinked, and who replaced their records rests or died."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from fastmem import ClosedError
from fastmem._core.log import WARM
from tests.crash.directories import BUDGET, engine_of, open_segments, open_tiers
from tests.processes.deaths import killed

LARGE_BYTES = 400_000
COUNT = BUDGET * 3 // 4 // LARGE_BYTES

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def value_files(path: Path) -> set[str]:
    return {file.name for file in (path / "l2").glob("val.*")}


def put_large(store: Any) -> None:
    for number in range(COUNT):
        store.put(number, os.urandom(LARGE_BYTES))
    store.flush()  # what was promised is unlinked only after another sync


def replace(store: Any) -> None:
    for number in range(COUNT):
        store.put(number, number)


def fill(store: Any) -> None:
    """Twice the budget, and nothing of it has a file of its own."""
    for number in range(2 * BUDGET // 100_000):
        store.put(("more", number), os.urandom(100_000))


@pytest.mark.parametrize("opener", [open_segments, open_tiers])
def test_who_rests_keeps_no_room(private_tmp: Path, opener: Any) -> None:
    with opener(private_tmp) as idle, opener(private_tmp) as busy:
        put_large(idle)
        idle.flush()
        replace(idle)
        if opener is open_segments:
            assert len(value_files(private_tmp)) == COUNT
        fill(busy)
        assert value_files(private_tmp) == set()
        assert busy.get(("more", 0)) is None or opener is open_tiers  # it was full
        assert engine_of(busy).files.warm_values.numbers() == []
        busy.check()
        idle.put("k", 1)
        idle.flush()
        idle.check()


def test_who_dies_keeps_no_room_in_files_of_others(private_tmp: Path) -> None:
    with open_segments(private_tmp) as owner:
        put_large(owner)
        killed(lambda: replace(open_segments(private_tmp)))
        assert len(value_files(private_tmp)) == COUNT
        with open_segments(private_tmp) as busy:
            fill(busy)
            assert value_files(private_tmp) == set()
            busy.check()
        owner.check()


def test_room_that_is_wanted_at_once(private_tmp: Path) -> None:
    """One put wants more than what is left beside the files that wait."""
    with open_segments(private_tmp) as idle, open_segments(private_tmp) as busy:
        put_large(idle)
        replace(idle)
        busy.put("k", os.urandom(BUDGET // 2))
        assert len(value_files(private_tmp)) == 1
        assert busy.get("k") is not None
        busy.check()
        idle.check()


def test_a_file_that_a_record_leads_to_stays_marked_or_not(private_tmp: Path) -> None:
    """As after a power loss that has taken the record which had replaced it."""
    with open_segments(private_tmp) as idle, open_segments(private_tmp) as busy:
        idle.put("k", bytes(LARGE_BYTES))
        idle.flush()
        (name,) = value_files(private_tmp)
        os.chmod(private_tmp / "l2" / name, 0o600 | stat.S_ISVTX)
        files = engine_of(busy).files
        with engine_of(busy).lock:
            assert not files.take_over(files.values(WARM))
        busy.flush()
        assert idle.get("k") == bytes(LARGE_BYTES)
        busy.check()


def test_a_file_whose_record_is_not_appended_yet_stays(private_tmp: Path) -> None:
    """However long its writer takes, and however short of room the others are."""
    told, tell = os.pipe()
    go, say = os.pipe()
    with open_segments(private_tmp) as busy:
        child = os.fork()
        if child == 0:
            store = open_segments(private_tmp)
            provided = engine_of(store).provided

            def late(*step: Any) -> Any:
                os.write(tell, b"x")
                os.read(go, 1)
                return provided(*step)

            engine_of(store).provided = late
            store.put("late", bytes(LARGE_BYTES))
            store.close()
            os._exit(0)
        os.read(told, 1)
        fill(busy)
        assert len(value_files(private_tmp)) == 1
        os.write(say, b"x")
        assert os.waitpid(child, 0)[1] == 0
        assert busy.get("late") == bytes(LARGE_BYTES)
        busy.check()
    for fd in (told, tell, go, say):
        os.close(fd)


def test_a_close_amid_a_large_put_leaves_nothing(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is written, and its record is refused: nobody is left who would remove it."""
    with open_segments(private_tmp) as other:
        other.put("k", 1)
        closing = open_segments(private_tmp)
        values = engine_of(closing).files.warm_values
        write, written, go = values.write, threading.Event(), threading.Event()

        def late(*what: Any, **more: Any) -> Any:
            pointer = write(*what, **more)
            written.set()
            go.wait(10)
            return pointer

        monkeypatch.setattr(values, "write", late)
        refused: list[Exception] = []

        def put() -> None:
            try:
                closing.put("k", bytes(LARGE_BYTES))
            except ClosedError as error:
                refused.append(error)

        putting = threading.Thread(target=put)
        putting.start()
        written.wait(10)
        closing.close()
        go.set()
        putting.join()
        assert len(refused) == 1
        assert len(value_files(private_tmp)) == 1
        other.put("large", bytes(LARGE_BYTES))
        assert len(value_files(private_tmp)) == 1
        assert other.get("k") == 1
        other.check()
