"""Death at every step: before each call of the door and each store of a first page, one by one."""

from __future__ import annotations

import os
import random
import traceback
from collections.abc import Callable
from pathlib import Path
from shutil import rmtree
from typing import Any

import pytest

from fastmem.storage import files
from fastmem.storage.files import Directory
from fastmem.storage.superblock import Superblock
from tests.crash.directories import (
    contents,
    copy,
    engine_of,
    open_archive,
    open_segments,
    open_tiers,
    rebuilt_contents,
)
from tests.places import places

DOOR = ("open", "unlink", "rename", "publish", "sync", "sync_file")
CALLS = ("fallocate", "map_file", "_write_all")
STORES = ("set", "trust", "note_time")
DIED = 86
Step = tuple[Any, Any]  # (key, value); value None deletes


class Countdown:
    """Ends the process at the Nth call of anything that it was put around."""

    def __init__(self, left: int) -> None:
        self.left = left

    def around(self, step: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **options: Any) -> Any:
            self.left -= 1
            if self.left == 0:
                os._exit(DIED)
            return step(*args, **options)

        return counted

    def arm(self) -> None:
        for name in DOOR:
            setattr(Directory, name, self.around(getattr(Directory, name)))
        for name in CALLS:
            setattr(files, name, self.around(getattr(files, name)))
        for name in STORES:
            setattr(Superblock, name, self.around(getattr(Superblock, name)))


def run_child(at: Path, opener: Any, steps: list[Step], die_at: int) -> tuple[int, int]:
    """Do `steps` in a child that dies at call `die_at`. Return (exit status, steps finished)."""
    acks = at / "acks"
    child = os.fork()
    if child == 0:
        try:
            done = os.open(acks, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            Countdown(die_at).arm()
            with opener(at) as store:
                for key, value in steps:
                    if key == "flush":
                        store.flush()
                    elif value is None:
                        store.delete(key)
                    else:
                        store.put(key, value)
                    os.write(done, b".")
            os._exit(0)
        except BaseException:  # noqa: BLE001 - told on stderr; this process ends here
            traceback.print_exc()
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), acks.stat().st_size if acks.exists() else 0


def after(state: dict[Any, Any], steps: list[Step]) -> dict[Any, Any]:
    state = dict(state)
    for key, value in steps:
        if key == "flush":
            continue
        if value is None:
            state.pop(key, None)
        else:
            state[key] = value
    return state


def noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def nearly_full(at: Path) -> dict[Any, Any]:
    """A memory whose next puts roll, reclaim and demote."""
    state = {i: noise(i, 100_000) for i in range(100)}
    with open_tiers(at) as memory:
        memory.update(state)
        memory.put("large", noise(1, 3_200_000))
        memory.flush()
        memory.put("large", noise(2, 300_000))
        memory.delete(5)
    del state[5]
    return {**state, "large": noise(2, 300_000)}


def small(at: Path) -> dict[Any, Any]:
    with open_segments(at) as store:
        store.update({i: i for i in range(4_500)})
    return {i: i for i in range(4_500)}


def damaged(at: Path) -> dict[Any, Any]:
    """What has to be rebuilt, with leftovers of processes that died."""
    state = nearly_full(at)
    (at / "l2" / "index").unlink()
    (at / "l2" / "new.val.0123456789abcdef").write_bytes(b"half")
    (at / "l2" / "rebuilt.index").write_bytes(bytes(4096))
    return state


def archived(at: Path) -> dict[Any, Any]:
    with open_archive(at) as archive:
        archive.update({i: noise(i, 3000) for i in range(100)})
    return {i: noise(i, 3000) for i in range(100)}


MOVES: list[Step] = [
    ("small", 1),
    ("large", noise(3, 400_000)),
    (7, None),
    *((f"roll-{i}", noise(1000 + i, 250_000)) for i in range(14)),
    ("flush", None),
    ("large", None),
    (8, noise(4, 300_000)),
    *((f"more-{i}", noise(2000 + i, 250_000)) for i in range(10)),
]
SCENARIOS: dict[str, tuple[Any, Callable[[Path], dict[Any, Any]], list[Step]]] = {
    "fresh": (open_tiers, lambda _at: {}, [("k", 1), ("large", noise(0, 300_000)), ("k", None)]),
    "reclaim": (open_tiers, nearly_full, MOVES),
    "rebuild": (open_tiers, damaged, [("k", "v"), (3, None)]),
    "growth": (open_segments, small, [((i, "new"), i) for i in range(900)]),
    "archive": (
        open_archive,
        archived,
        [(1, noise(1, 600_000)), (2, None), (1, "small"), ("new", noise(9, 400_000))],
    ),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_death_before_every_step(private_tmp: Path, name: str) -> None:
    opener, prepare, steps = SCENARIOS[name]
    base = private_tmp / "base"
    base.mkdir()
    state = prepare(base)
    for points, die_at in enumerate(places()):
        at = copy(base, private_tmp / "run")
        at.mkdir(exist_ok=True)
        status, done = run_child(at, opener, steps, die_at)
        assert status in (0, DIED), f"step {die_at}"
        check(at, opener, state, steps, done, f"{name}, step {die_at}, {done} done")
        if points % 10 == 0:
            with opener(at) as store:
                held = contents(store)
            again = rebuilt_contents(at, private_tmp / "rebuilt", opener)
            assert again == held, f"{name}, step {die_at}: rebuilt"
            rmtree(private_tmp / "rebuilt")
        rmtree(at)
        if status == 0:
            break
    assert die_at > (15 if name == "growth" else 30)


def check(
    at: Path, opener: Any, state: dict[Any, Any], steps: list[Step], done: int, where: str
) -> None:
    """The finished steps hold; the next one is done or not; nothing is left lying about."""
    with opener(at) as store:
        store.check()
        found = contents(store)
        possible = [after(state, steps[:done]), after(state, steps[: done + 1])]
        assert found in possible, f"{where}: {difference(found, possible[0])}"
        store.put("probe", "alive")
        assert store.get("probe") == "alive"
        store.delete("probe")
        store.flush()
        store.put("free", 1)
        store.delete("free")
        engine = engine_of(store)
        held = engine.files
        for values in (held.warm_values, held.cold_values):
            for number in values.numbers() if values else ():
                assert not held.is_orphan(values, number), f"{where}: orphan"
    for folder in at.iterdir():
        if folder.is_dir():
            left = [file.name for file in folder.iterdir() if file.name[:3] in ("new", "reb")]
            assert left == [], where


def difference(found: dict[Any, Any], wanted: dict[Any, Any]) -> str:
    keys = [key for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key)]
    return f"differs at {keys[:5]}"
