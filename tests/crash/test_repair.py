"""A repair keeps all that is sound, loses no byte of the rest, and may die at any point."""

from __future__ import annotations

import os
import shutil
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastmem import StoreLockedError
from fastmem._core import rebuild
from fastmem.storage.checking import Check
from fastmem.storage.findings import Findings
from fastmem.storage.quarantine import KeepingDirectory
from fastmem.storage.repairing import Repair, Repaired
from fastmem.terminal import unseen
from tests.crash.directories import (
    Opener,
    contents,
    copy,
    engine_of,
    open_archive,
    open_segments,
    open_tiers,
    patch,
)
from tests.crash.test_crash_points import DIED, Countdown
from tests.demotion import archive_warm
from tests.places import places

MARK = b"to be found in the file "
LARGE = os.urandom(300_000)
OPENERS: dict[str, Opener] = {
    "segments": open_segments,
    "archive": open_archive,
    "tiers": open_tiers,
}
Damage = Callable[[Path], None]


def fill(at: Path, kind: str) -> None:
    """Every sort of file; of the key "marked" an older value, of "gone" one that is deleted."""
    with OPENERS[kind](at) as store:
        store.put("marked", "an older value")
        store.put("gone", "deleted")
        for i in range(200):
            store.put(i, {"number": i, "text": "much of the same; " * (i % 20)})
        store.put("large", LARGE)
        store.put("other", LARGE[::-1])
        if kind == "tiers":
            archive_warm(store)
            for i in range(100, 300):
                store.put(i, {"number": i})
            store.put("warm", LARGE[1:])
        store.delete("gone")
        store.put("marked", MARK + os.urandom(900))


def paths_of(at: Path) -> tuple[Path | None, Path | None]:
    warm, cold = at / "l2", at / "l3"
    return warm if warm.exists() else None, cold if cold.exists() else None


def check(at: Path) -> Findings:
    return Check(*paths_of(at), unseen).run()


def repaired(at: Path) -> Repaired:
    repair = Repair(*paths_of(at), unseen)
    return repair.run(repair.look())


def flip(path: Path, at: int) -> None:
    patch(path, at, bytes([path.read_bytes()[at] ^ 1]))


def marked(at: Path) -> tuple[Path, int]:
    for path in sorted([*at.glob("l?/seg.*"), *at.glob("l?/cold.*")]):
        if (found := path.read_bytes().find(MARK)) >= 0:
            return path, found
    raise AssertionError("nowhere")


def body(at: Path) -> None:
    path, offset = marked(at)
    flip(path, offset + 3)


def header(at: Path) -> None:
    path, offset = marked(at)
    flip(path, path.read_bytes().rindex(b"smarked", 0, offset))


def rubbish(at: Path) -> None:
    path, offset = marked(at)
    patch(path, offset - 300, os.urandom(1_000))


def zeros(at: Path) -> None:
    path, offset = marked(at)
    patch(path, offset - 300, bytes(1_000))


def segment_header(at: Path) -> None:
    flip(marked(at)[0], 20)


def cut(at: Path) -> None:
    path, offset = marked(at)
    os.truncate(path, offset)


def cut_to_nothing(at: Path) -> None:
    os.truncate(marked(at)[0], 10)


def gone(at: Path) -> None:
    marked(at)[0].unlink()


def value(at: Path) -> None:
    flip(min(at.rglob("val.*")), 200_000)


def value_header(at: Path) -> None:
    flip(min(at.rglob("val.*")), 20)


def value_gone(at: Path) -> None:
    min(at.rglob("val.*")).unlink()


def orphan(at: Path) -> None:
    path = min(at.rglob("val.*"))
    shutil.copyfile(path, path.with_name("val.0123456789abcdef"))


def foreign(at: Path) -> None:
    path = marked(at)[0]
    shutil.copyfile(path, path.with_name(f"{path.name[:-1]}{int(path.name[-1]) + 1}"))


def set_aside(at: Path) -> None:
    marked(at)[0].with_name("foreign.seg.9").write_bytes(b"somebody else's")


def unfinished(at: Path) -> None:
    marked(at)[0].with_name("new.val.0123456789abcdef").write_bytes(b"half a value")


def first_page(at: Path) -> None:
    page = min(at.glob("l?/super"))
    flip(page, 30)


def clock_and_key(at: Path) -> None:
    for page in at.glob("l?/super"):
        flip(page, 322)
        flip(page, 390)


DAMAGES: list[Damage] = [
    body, header, rubbish, zeros, segment_header, cut, cut_to_nothing, gone, value, value_header,
    value_gone, orphan, foreign, set_aside, unfinished, first_page, clock_and_key,
]  # fmt: skip
# What no byte of a value, or of what leads to it, is lost with.
HARMLESS = [
    segment_header, value_header, orphan, foreign, set_aside, unfinished, first_page, clock_and_key,
]  # fmt: skip
named = pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
kinds = pytest.mark.parametrize("kind", OPENERS)


def bytes_of(at: Path) -> set[bytes]:
    """The contents of all files that hold data, wherever they lie."""
    held = ("seg", "cold", "val", "dict", "new", "foreign")
    return {path.read_bytes() for path in at.rglob("*") if path.name.split(".")[0] in held}


def lost_bytes(before: set[bytes], at: Path) -> list[int]:
    """The sizes of what is nowhere any more. In place of zeros there may be something by now."""
    after = bytes_of(at)

    def grew_to(old: bytes, new: bytes) -> bool:
        if len(old) != len(new):
            return False
        was, is_now = np.frombuffer(old, np.uint8), np.frombuffer(new, np.uint8)
        return bool(((was == is_now) | (was == 0)).all())

    return [len(old) for old in before - after if not any(grew_to(old, new) for new in after)]


def built(at: Path, kind: str) -> dict[Any, Any]:
    fill(at, kind)
    with OPENERS[kind](at) as store:
        return contents(store)


def holds(at: Path, kind: str, state: dict[Any, Any], damage: Damage) -> None:
    """After a repair: sound, of every key its newest value or none, and what is sound is there."""
    assert check(at).damage == []
    with OPENERS[kind](at) as store:
        assert not store.stats().get("l2", store.stats())["rebuilt"]
        store.check()
        found = contents(store)
        assert {key: state.get(key) for key in found} == found
        missing = state.keys() - found.keys()
        if damage in HARMLESS:
            assert missing == set()
        elif damage in (value, value_gone):
            assert missing < {"large", "other", "warm"}
            assert len(missing) == 1
        elif damage in (body, header):
            assert missing == {"marked"}
        elif damage in (rubbish, zeros):
            assert len(missing) < 20
            assert "marked" in missing
        assert store.get("gone") is None
        store.put("marked", "a new value")
        assert store.get("marked") == "a new value"


@kinds
@named
def test_what_is_sound_stays_and_nothing_is_removed(
    private_tmp: Path, kind: str, damage: Damage
) -> None:
    state = built(private_tmp, kind)
    damage(private_tmp)
    before = bytes_of(private_tmp)
    done = repaired(private_tmp)
    assert done.left.damage == []
    assert not lost_bytes(before, private_tmp)
    for kept in done.kept:
        assert kept.path.parent.name.startswith("quarantine-")
        assert kept.path.exists()
        assert kept.reason
    holds(private_tmp, kind, state, damage)


@kinds
def test_nothing_is_done_where_nothing_is_wrong(private_tmp: Path, kind: str) -> None:
    state = built(private_tmp, kind)
    done = repaired(private_tmp)
    assert (done.kept, done.dropped, done.buried, done.passed_over) == ([], [], 0, 0)
    holds(private_tmp, kind, state, set_aside)
    assert list(private_tmp.rglob("quarantine-*")) == []


def test_it_is_refused_while_the_directory_is_open(private_tmp: Path) -> None:
    built(private_tmp, "segments")
    value(private_tmp)
    found = check(private_tmp)
    with open_segments(private_tmp), pytest.raises(StoreLockedError):
        repaired(private_tmp)
    with open_segments(private_tmp), pytest.raises(StoreLockedError):
        Repair(*paths_of(private_tmp), unseen).run(found)
    assert list(private_tmp.rglob("quarantine-*")) == []


def die_repairing(at: Path, die_at: int) -> int:
    """Repair in a child that dies before step `die_at`; its exit status."""
    child = os.fork()
    if child == 0:
        try:
            repair = Repair(*paths_of(at), unseen)
            found = repair.look()
            count = Countdown(die_at)
            count.arm()
            for name in ("copy", "move"):
                setattr(KeepingDirectory, name, count.around(getattr(KeepingDirectory, name)))
            rebuild.pass_over = count.around(rebuild.pass_over)
            repair.run(found)
            os._exit(0)
        except BaseException:  # noqa: BLE001 - told on stderr; this process ends here
            traceback.print_exc()
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("damage", [body, header, rubbish, value, value_header, cut, foreign])
def test_death_at_every_step_of_a_repair(private_tmp: Path, damage: Damage) -> None:
    base = private_tmp / "base"
    base.mkdir(mode=0o700)
    state = built(base, "tiers")
    damage(base)
    before = bytes_of(base)
    died = 0
    for die_at in places(dense=1):
        at = copy(base, private_tmp / f"at-{die_at}")
        status = die_repairing(at, die_at)
        assert status in (0, DIED)
        died += status == DIED
        repaired(at)
        assert not lost_bytes(before, at), f"death at {die_at}"
        holds(at, "tiers", state, damage)
        shutil.rmtree(at)
        if status == 0:
            break
    assert died > 10


def test_a_damaged_dictionary(private_tmp: Path) -> None:
    state: dict[Any, Any] = {}
    with open_archive(private_tmp) as store:
        for i in range(8_000):
            store.put(i, {"number": i, "text": f"much of the same as {i}; " * 20})
        engine_of(store).cold.dictionaries._training.join()
        for i in range(50):
            store.put(("with", i), {"number": i, "text": f"much of the same as {i}; " * 20})
        state = contents(store)
    flip(private_tmp / "l3/dict.1", 5_000)
    done = repaired(private_tmp)
    assert done.left.damage == []
    assert {kept.path.name for kept in done.kept} >= {"dict.1"}
    with open_archive(private_tmp) as store:
        found = contents(store)
        assert found == {key: value for key, value in state.items() if not isinstance(key, tuple)}
