"""Processes that wait for the device share its syncs, and what it says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from fastmem import SegmentStore, StoreError, StoreTimeoutError
from tests.crash.directories import engine_of, open_segments
from tests.processes.syncers import Syncer, until_there


@pytest.fixture
def crowd(private_tmp: Path) -> Iterator[list[Syncer]]:
    """Four of them, none of which has to sync what it found any more."""
    with ExitStack() as stack:
        crowd = [stack.enter_context(Syncer(private_tmp)) for _ in range(4)]
        for i, each in enumerate(crowd):
            assert each.ask(f"put first-{i}").startswith("done")
        yield crowd


@pytest.fixture
def store(private_tmp: Path, crowd: list[Syncer]) -> Iterator[SegmentStore]:
    with open_segments(private_tmp, timeout_s=0.1) as store:
        yield store


def wait_together(crowd: list[Syncer], store: SegmentStore) -> tuple[Syncer, list[Syncer]]:
    """One leads, and is held at the device; the others have put, and wait. Nobody has heard."""
    leader, *others = crowd
    assert leader.ask("hold").startswith("done")
    assert leader.ask("put k0") == "held"
    for i, other in enumerate(others):
        other.say(f"put k{i + 1}")
    until_there(store, "k1", "k2", "k3")
    return leader, others


def test_all_who_wait_share_one_sync(crowd: list[Syncer], store: SegmentStore) -> None:
    leader, others = wait_together(crowd, store)
    assert all(other.hear(0.05) == "" for other in others)  # it began before they had put
    assert leader.ask("go") == "done 1 0"
    asked = sorted(other.hear() for other in others)
    assert asked == ["done 0 0", "done 0 0", "done 1 0"]
    assert store.stats()["unsynced_bytes"] == 0


def test_four_processes_put_more_than_they_sync(crowd: list[Syncer]) -> None:
    puts = 60
    for each in crowd:
        each.ask("slow 0.002")
    for each in crowd:
        each.say(f"puts {puts}")
    syncs = sum(int(each.hear().split()[1]) for each in crowd)
    assert len(crowd) * puts / syncs > 1.4


def test_a_failed_sync_is_everybodys(
    private_tmp: Path, crowd: list[Syncer], store: SegmentStore
) -> None:
    leader, others = wait_together(crowd, store)
    synced = engine_of(store).files.synced
    assert "Input/output error" in leader.ask("fail")
    for other in others:
        said = other.hear()
        assert "reopen the store" in said
        assert "(asked 0)" in said  # which would have found the pages clean
    with pytest.raises(StoreError, match="reopen"):
        store.flush()
    with (
        open_segments(private_tmp, durability="disk") as newcomer,
        pytest.raises(StoreError, match="reopen"),
    ):
        newcomer.put("k4", 4)
    assert engine_of(store).files.synced == synced
    assert store.get("k0") == "k0"  # in place before the wait


def test_what_was_refused_is_written_again_once_the_store_is_reopened(private_tmp: Path) -> None:
    with Syncer(private_tmp) as leader:
        leader.ask("put first")
        leader.ask("hold")
        assert leader.ask("put k") == "held"
        assert "Input/output error" in leader.ask("fail")
        assert leader.ask("close") == "closed"
    with Syncer(private_tmp) as later:
        asked, rewritten = later.ask("put later").split()[1:]
        assert int(asked) >= int(rewritten) > 0
        assert later.ask("put more").split()[2] == rewritten


def test_a_leader_that_dies_is_succeeded(crowd: list[Syncer], store: SegmentStore) -> None:
    leader, others = wait_together(crowd, store)
    leader.kill()
    # Nobody knows what the device told it.
    assert sorted(other.hear() for other in others) == ["done 0 0", "done 0 0", "done 1 1"]
    assert store.stats()["unsynced_bytes"] == 0
    assert all(store.get(f"k{i}") == f"k{i}" for i in range(4))


def test_segments_are_made_while_a_sync_is_under_way(
    crowd: list[Syncer], store: SegmentStore
) -> None:
    leader, others = wait_together(crowd, store)
    before = len(engine_of(store).files.warm.numbers)
    for i in range(30):
        store.put(f"more-{i}", bytes(100_000))
    assert len(engine_of(store).files.warm.numbers) > before + 1
    assert leader.ask("go") == "done 1 0"
    assert all(other.hear().startswith("done") for other in others)


def test_reclaim_takes_what_is_being_synced_for_promised(private_tmp: Path) -> None:
    """It moves records on, beyond what that sync covers, and may not unlink them before."""
    with open_segments(private_tmp, timeout_s=0.1) as store:
        for i in range(30):
            store.put(f"k{i}", bytes(100_000))
        with Syncer(private_tmp) as leader:
            leader.ask("hold")
            assert leader.ask("put k") == "held"
            assert engine_of(store).files.synced == (0, 0)
            with pytest.raises(StoreTimeoutError, match="sync has been under way"):
                store.put_many({i: bytes(100_000) for i in range(400)})  # more than the budget
            assert 0 in engine_of(store).files.warm.numbers
            assert leader.ask("go").startswith("done")
            store.put("after", 1)
            assert 0 not in engine_of(store).files.warm.numbers


def test_a_value_that_another_process_synced_stays_until_what_replaced_it_is_synced(
    private_tmp: Path,
) -> None:
    with open_segments(private_tmp) as one, open_segments(private_tmp) as other:
        one.put("k", bytes(300_000))
        other.flush()
        one.put("k", "new")
        assert len(list((private_tmp / "l2").glob("val.*"))) == 1
        one.flush()
        assert not list((private_tmp / "l2").glob("val.*"))
