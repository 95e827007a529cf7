"""The write lock of the log: taken before a step decides anything, free after every way out."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fastmem._core.drafts import Draft
from fastmem._core.log import COLD, NEED_LOCK, NEED_OVERFLOW, NEED_SEGMENT, WARM, LogNeeds
from fastmem.storage.engine import Engine
from tests.crash.directories import BUDGET, LOCK_AT, SEGMENT, UNIT, word

Step = Callable[[Engine], object]
VALUE, POINTER, RAW = 1, 4, 1
HELD = 0x7B
NOTHING = Draft(b"", RAW, 0, 0, VALUE)
LIVE, ABSENT = b"live" * 11_000, b"absent" * 7_000  # even a tombstone of these needs 40 kB
LEFT_BYTES = 40_000


def open_engine(at: Path) -> Engine:
    return Engine(
        at / "l2", at / "l3", warm_budget_bytes=BUDGET, cold_budget_bytes=BUDGET
    )  # segments of 1 MiB


def put(engine: Engine, key: bytes = LIVE) -> int:
    return engine.log.put(key, Draft(b"v" * 20_000, RAW, 0, 0, VALUE))


def put_cold(engine: Engine, key: bytes = LIVE) -> int:
    return engine.log.put_cold(key, Draft(b"v" * 20_000, RAW, 0, 0, VALUE, raw_len=20_000))


STEPS: dict[str, Step] = {
    "put": put,
    "put_new": lambda engine: put(engine, ABSENT),
    "put_cold": put_cold,
    "delete": lambda engine: engine.log.delete(LIVE),
    "forward": lambda engine: engine.log.forward(LIVE, engine.log.seek(LIVE)),
    "remove": lambda engine: engine.log.remove(LIVE, engine.log.seek(LIVE)),
    "shadow": lambda engine: engine.log.shadow(LIVE, 5, 0),
    "roll": lambda engine: engine.log.roll(WARM),
    "roll_cold": lambda engine: engine.log.roll(COLD),
}


@pytest.fixture
def engine(private_tmp: Path) -> Iterator[Engine]:
    engine = open_engine(private_tmp)
    yield engine
    engine.files.super.set("lock", 0)
    engine.close()


def fill(engine: Engine, which: int) -> None:
    """Put LIVE, then leave so little of the tier's segment that it takes no record of LIVE."""
    page, name = engine.files.super, "cold_tail" if which == COLD else "tail"
    step = put_cold if which == COLD else put
    engine.provided(step, engine)
    while page.get(name) % (SEGMENT // UNIT) < (SEGMENT - LEFT_BYTES) // UNIT:
        engine.provided(step, engine, b"fill")


def full_tails(engine: Engine) -> None:
    """The next record of LIVE rolls its tier to a segment that is there; LIVE is warm."""
    fill(engine, COLD)
    fill(engine, WARM)
    with engine.lock:
        engine.room.add_segment(WARM)
        engine.room.add_segment(COLD)
    assert not engine.log.seek(LIVE) >> 47 & 1


def content(engine: Engine) -> dict[Path, bytes]:
    folders = [engine.files.directory.path, engine.files.directory.path.parent / "l3"]
    return {path: path.read_bytes() for folder in folders for path in folder.iterdir()}


@pytest.mark.parametrize("name", STEPS)
def test_a_held_lock_stops_a_step_before_it_touches_anything(engine: Engine, name: str) -> None:
    full_tails(engine)
    engine.files.super.set("lock", HELD)
    before = content(engine)
    with pytest.raises(LogNeeds) as needs:
        STEPS[name](engine)
    assert needs.value.what == NEED_LOCK
    assert content(engine) == before
    engine.files.super.set("lock", 0)
    assert STEPS[name](engine) is not False
    assert content(engine) != before
    engine.check()


DIE_DECIDING = """
import ctypes, resource, sys
from pathlib import Path
from tests.unit import test_log_lock as here
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
engine = here.open_engine(Path(sys.argv[1]))
here.full_tails(engine)
word = engine.log.seek(here.LIVE)
log = engine.log
which, name = sys.argv[2:]
step = {
    **here.STEPS,
    "get": lambda engine: log.get(here.LIVE),
    "seek": lambda engine: log.seek(here.LIVE),
    "forward": lambda engine: log.forward(here.LIVE, word),
    "remove": lambda engine: log.remove(here.LIVE, word),
}[name]
number = engine.files.tail_segment(here.WARM)
mapping = engine.files._index if which == "index" else log.mapping(here.WARM, number)
start = ctypes.addressof(ctypes.c_char.from_buffer(mapping))
skip, access = (4096, 0) if which == "index" else (0, 1)
length = ctypes.c_size_t(mapping.size - skip)
assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(start + skip), length, access) == 0
step(engine)
"""


def lock_at_death(at: Path, forbidden: str, name: str) -> int:
    """The lock word that a process left when a step first touched what it may not."""
    child = subprocess.run(
        [sys.executable, "-X", "faulthandler=0", "-c", DIE_DECIDING, at, forbidden, name],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        check=False,
    )
    assert child.returncode == -signal.SIGSEGV, child.stderr.decode()
    return word(at / "l2" / "super", LOCK_AT)


@pytest.mark.parametrize("name", ["put", "put_new", "put_cold", "delete", "forward", "remove"])
def test_the_index_is_read_under_the_lock(private_tmp: Path, name: str) -> None:
    assert lock_at_death(private_tmp, "index", name) != 0


@pytest.mark.parametrize("name", ["get", "seek"])
def test_readers_take_no_lock(private_tmp: Path, name: str) -> None:
    assert lock_at_death(private_tmp, "index", name) == 0


@pytest.mark.parametrize("name", ["put", "delete", "forward", "roll"])
def test_a_seal_is_written_under_the_lock(private_tmp: Path, name: str) -> None:
    assert lock_at_death(private_tmp, "segment", name) != 0


def is_free(engine: Engine) -> bool:
    """The lock is free, and a step can be taken."""
    return engine.files.super.get("lock") == 0 and engine.log.put(b"after", NOTHING) > 0


def test_the_lock_is_free_after_a_segment_was_missing(engine: Engine) -> None:
    with pytest.raises(LogNeeds) as needs:
        put(engine)
    assert needs.value.what == NEED_SEGMENT
    fill(engine, WARM)
    for name in ("put", "put_new", "forward", "roll"):
        with pytest.raises(LogNeeds):
            STEPS[name](engine)
        assert is_free(engine)


def test_the_lock_is_free_after_a_chain_was_full(engine: Engine) -> None:
    engine.put(b"first", RAW, b"", 0)
    buckets, room = engine.log.buckets[:2]
    engine.log.set_room(room, 1)  # no overflow bucket
    number = 0

    def put_until_it_is_full() -> None:
        nonlocal number
        for number in range(100 * buckets):
            engine.log.put(b"%d" % number, NOTHING)

    with pytest.raises(LogNeeds) as needs:
        put_until_it_is_full()
    assert needs.value.what == NEED_OVERFLOW
    assert engine.files.super.get("lock") == 0
    assert engine.log.put(b"first", Draft(b"again", RAW, 0, 0, VALUE))
    assert engine.log.seek(b"%d" % number) == 0


def test_the_lock_is_free_after_a_step_that_was_refused(engine: Engine) -> None:
    log = engine.log
    engine.provided(put, engine)
    current = log.seek(LIVE)
    tail = engine.files.super.get("tail")
    refused: list[Any] = [
        log.put(LIVE, NOTHING, 0),
        log.put_cold(LIVE, NOTHING, current + 1),
        log.delete(b"absent"),
        log.remove(LIVE, current + 1),
        log.forward(LIVE, current + 1),
        log.forward(b"absent", current),
    ]
    assert not any(refused)
    for key, body in ((b"k" * 70_000, b""), (b"k", b"v" * 300_000)):
        with pytest.raises(ValueError, match="limit"):
            log.put(key, Draft(body, RAW, 0, 0, VALUE))
    with pytest.raises(ValueError, match="limit 65536"):
        log.remove(b"k" * 70_000, 1)
    assert log.seek(LIVE) == current
    assert engine.files.super.get("tail") == tail
    assert is_free(engine)


def test_a_closed_log_names_its_directory(private_tmp: Path) -> None:
    engine = Engine(private_tmp / "l2", None, warm_budget_bytes=BUDGET)
    engine.put(LIVE, RAW, b"", 0)
    engine.close()
    for step in (put, *STEPS.values()):
        with pytest.raises(ValueError, match=rf"closed: '{private_tmp / 'l2'}'"):
            step(engine)


def test_what_a_step_finds_damaged_is_told_later(engine: Engine) -> None:
    engine.provided(put, engine)
    damaged = engine.log.seek(LIVE)
    at = UNIT * (damaged & ((1 << 46) - 1)) % SEGMENT
    mapping = engine.log.mapping(WARM, 0)
    assert mapping is not None
    with memoryview(mapping) as view:
        view[at + 48] ^= 1  # the first byte of the key
    assert engine.log.corrupt_places == set()
    assert put(engine) != damaged
    assert put(engine) != damaged
    assert engine.log.corrupt_places == {damaged}


def test_value_files_that_lost_their_record_wait_in_order(engine: Engine) -> None:
    log = engine.log
    pointers = [number.to_bytes(8, "little") + bytes(16) for number in range(1, 10)]
    engine.provided(log.put, b"k", Draft(pointers[0], RAW, 0, 0, POINTER))
    words = []
    for pointer in pointers[1:]:
        words.append(log.seek(b"k"))
        log.put(b"k", Draft(pointer, RAW, 0, 0, POINTER))
    words.append(log.seek(b"k"))
    assert log.delete(b"k")
    freed = []
    while log.freed:
        freed.append(log.first_freed())
        log.drop_freed()
    assert freed == list(zip(words, range(1, 10), strict=True))
    with pytest.raises(IndexError):
        log.first_freed()
    log.drop_freed()
    assert log.freed == 0
