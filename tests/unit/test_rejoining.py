"""An L3 that was opened once with a new, empty L2 goes back to its own, if nothing was put."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fastmem import Archive, DirectoryRefusedError, StoreLockedError, TieredMemorySystem, cli
from fastmem.storage.rejoining import doubts, openings, rejoin
from tests.crash.directories import contents, snapshot
from tests.demotion import archive_warm

Run = Callable[..., tuple[int, str]]


def open_with(at: Path, l2: str) -> TieredMemorySystem:
    return TieredMemorySystem(1, at / l2, at / "cold", l2_size_mb=16)


@pytest.fixture
def mistyped(private_tmp: Path) -> Path:
    """A memory in warm and cold, of which cold was opened with "worm" since."""
    with open_with(private_tmp, "warm") as memory:
        memory.update(dict.fromkeys(range(50), "old"))
        archive_warm(memory)
        memory.update(dict.fromkeys(range(20), "new"))
        memory.delete(49)
    open_with(private_tmp, "worm").close()
    with pytest.raises(DirectoryRefusedError, match="is no L2 for"):
        open_with(private_tmp, "warm")
    return private_tmp


@pytest.fixture
def repair(mistyped: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*more: str) -> tuple[int, str]:
        capsys.readouterr()
        warm, cold = str(mistyped / "warm"), str(mistyped / "cold")
        status = cli.main(["repair", "--rejoin", warm, "--l3", cold, *more])
        shown = capsys.readouterr()
        return status, shown.out + shown.err

    return run


def holds_all(at: Path, changed: dict[int, str] | None = None) -> None:
    wanted = {i: "new" if i < 20 else "old" for i in range(49)} | (changed or {})
    for _ in range(2):
        with open_with(at, "warm") as memory:
            memory.check()
            assert contents(memory) == wanted
    assert cli.main(["check", str(at / "warm"), "--l3", str(at / "cold")]) == 0


def test_where_nothing_was_put_it_is_as_it_was(mistyped: Path, repair: Run) -> None:
    status, text = repair("--other", str(mistyped / "worm"))
    assert status == 0
    assert text.splitlines()[-1] == f"{mistyped}/cold belongs to {mistyped}/warm again"
    assert [path.name for path in mistyped.glob("cold/quarantine-*/*")] == ["archive"]
    holds_all(mistyped)
    with pytest.raises(DirectoryRefusedError, match="is no L2 for"):
        open_with(mistyped, "worm")
    status, text = repair("--other", str(mistyped / "worm"))
    assert status == 2
    assert "as it is" in text


def test_without_the_other_nobody_knows_what_was_put(mistyped: Path, repair: Run) -> None:
    before = snapshot(mistyped / "cold")
    status, text = repair()
    assert status == 1
    assert "is not known: name its directory" in text
    assert "not rejoined" in text
    assert snapshot(mistyped / "cold") == before
    assert repair("--force")[0] == 0
    holds_all(mistyped)


@pytest.mark.parametrize("change", ["put", "delete"])
def test_what_was_put_or_deleted_since_needs_consent(
    mistyped: Path, repair: Run, change: str
) -> None:
    with open_with(mistyped, "worm") as memory:
        memory.delete(30) if change == "delete" else memory.put(30, "newest")
    status, text = repair("--other", str(mistyped / "worm"))
    assert status == 1
    assert "worm holds 1 records of values that were put or deleted through it" in text
    assert repair("--other", str(mistyped / "worm"), "--force")[0] == 0
    holds_all(mistyped)  # the older value is back, as was said


def test_what_went_down_since_needs_consent(mistyped: Path, repair: Run) -> None:
    with open_with(mistyped, "worm") as memory:
        memory.put(30, "newest")
        archive_warm(memory)
    status, text = repair("--other", str(mistyped / "worm"))
    assert status == 1
    assert "has changed since" in text
    assert repair("--force")[0] == 0
    holds_all(mistyped, {30: "newest"})


def test_it_must_be_the_one_that_has_it(mistyped: Path, repair: Run) -> None:
    TieredMemorySystem(1, mistyped / "x", mistyped / "y", l2_size_mb=16).close()
    status, text = repair("--other", str(mistyped / "x"))
    assert status == 2
    assert "is not the L2 that the archive was last written with" in text


def test_what_was_opened_after_the_look_is_not_rejoined(mistyped: Path) -> None:
    opens = openings(mistyped / "cold")
    assert doubts(mistyped / "warm", mistyped / "cold", mistyped / "worm") == []
    with open_with(mistyped, "worm") as memory:
        memory.put(30, "newest")
    with pytest.raises(StoreLockedError, match="was opened meanwhile"):
        rejoin(mistyped / "warm", mistyped / "cold", opens)
    with open_with(mistyped, "worm") as memory:
        assert memory.get(30) == "newest"


def test_it_is_refused_while_a_process_has_it_open(mistyped: Path, repair: Run) -> None:
    before = snapshot(mistyped / "cold")
    with open_with(mistyped, "worm"):
        status, text = repair("--other", str(mistyped / "worm"), "--force")
        assert status == 2
        assert "another process" in text
    with Archive(mistyped / "cold"):
        assert repair("--force")[0] == 2
    assert snapshot(mistyped / "cold").keys() >= before.keys()
