"""What other processes put and delete in the shared log, as every verb of a memory sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fastmem import NOT_LOADED, TieredMemorySystem, memoize
from fastmem._core.keys import encode_key
from tests.demotion import archive_warm, empty_l1, reclaim
from tests.elsewhere import Elsewhere

Opener = Callable[..., TieredMemorySystem]
AT_ONCE = {"coherent": True}
IN_AN_HOUR = {"coherent": False, "max_stale_s": 3600}
IN_A_TICK = {"coherent": False, "max_stale_s": 1e-9}


def both(opened: Opener, options: dict[str, Any], value: Any = 1) -> tuple[Any, Elsewhere]:
    """A memory that holds "k" in L1, and the other process."""
    memory = opened(**options)
    elsewhere = Elsewhere(memory)
    memory.put("k", value)
    return memory, elsewhere


def memoized(memory: TieredMemorySystem) -> Any:
    return memoize(memory, key=lambda: "k")(lambda: "loaded")()


HITS: dict[str, Callable[[Any], Any]] = {  # what answers from L1 without a look at the log
    "get": lambda memory: memory.get("k"),
    "get by name": lambda memory: memory.get(key="k"),
    "get by an equal key": lambda memory: memory.get(str(b"k", "ascii")),
    "[]": lambda memory: memory["k"],
    "get_many": lambda memory: memory.get_many(["k"])["k"],
    "setdefault": lambda memory: memory.setdefault("k", 9),
}
LOOKS: dict[str, Callable[[Any], Any]] = {
    "peek": lambda memory: memory.peek("k"),
    "entry": lambda memory: memory.entry("k").value,
    "pop": lambda memory: memory.pop("k"),
    "popitem": lambda memory: memory.popitem()[1],
    "values": lambda memory: next(iter(memory.values())),
    "items": lambda memory: dict(memory.items())["k"],
    "incr": lambda memory: memory.incr("k", 0),
    "compare_and_set": lambda memory: 2 if memory.compare_and_set("k", 2, 3) else None,
    "touch": lambda memory: memory.touch("k", 3600) and memory.peek("k"),
    "add": lambda memory: None if memory.add("k", 5) else memory.peek("k"),
}  # fmt: skip


@pytest.mark.parametrize("look", [*HITS.values(), *LOOKS.values()], ids=[*HITS, *LOOKS])
def test_what_was_put_elsewhere_is_seen_at_once(opened: Opener, look: Any) -> None:
    memory, elsewhere = both(opened, AT_ONCE)
    elsewhere.put("k", 2)
    assert look(memory) == 2


@pytest.mark.parametrize("look", HITS.values(), ids=HITS)
def test_without_coherence_a_hit_is_as_old_as_the_bound(opened: Opener, look: Any) -> None:
    memory, elsewhere = both(opened, IN_AN_HOUR)
    assert look(memory) == 1
    elsewhere.put("k", 2)
    assert look(memory) == 1
    memory, elsewhere = both(opened, IN_A_TICK)
    elsewhere.put("k", 2)
    while look(memory) == 1:  # a tick of the coarse clock
        pass
    assert look(memory) == 2


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_what_takes_longer_than_a_hit_looks_at_once(opened: Opener, look: Any) -> None:
    memory, elsewhere = both(opened, IN_AN_HOUR)
    elsewhere.put("k", 2)
    assert look(memory) == 2


@pytest.mark.parametrize("options", [AT_ONCE, IN_A_TICK], ids=["at once", "in a tick"])
def test_what_was_deleted_elsewhere_is_gone(opened: Opener, options: dict[str, Any]) -> None:
    memory, elsewhere = both(opened, options)
    elsewhere.delete("k")
    while options is IN_A_TICK and "k" in memory.get_many(["k"]):
        pass
    assert memory.get("k", "gone") == "gone"
    assert memory.get_many(["k"]) == {}
    assert "k" not in memory
    assert memory.entry("k") is None
    assert "k" not in memory.l1
    assert memory.pop("k", "gone") == "gone"
    assert not memory.touch("k", 60)
    assert not memory.compare_and_set("k", 1, 2)
    with pytest.raises(KeyError):
        memory.incr("k", initial=None)
    assert memory.add("k", 7)
    memory.check()


def test_a_memoized_result(opened: Opener) -> None:
    memory, elsewhere = both(opened, AT_ONCE)
    elsewhere.put("k", 2)
    assert memoized(memory) == 2
    elsewhere.delete("k")
    assert memoized(memory) == "loaded"
    elsewhere.put("k", 3)
    assert memoized(memory) == 3


def test_what_was_cached_alone_is_compared_when_another_comes(opened: Opener) -> None:
    memory = opened(**AT_ONCE)
    for number in range(100):
        memory.put(number, "old")
    elsewhere = Elsewhere(memory)
    for number in range(0, 100, 2):
        elsewhere.put(number, "new")
    assert [memory.get(number) for number in range(100)] == ["new", "old"] * 50
    assert memory.stats()["l1"]["invalidations"] == 50


@pytest.mark.parametrize("options", [AT_ONCE, IN_A_TICK], ids=["at once", "in a tick"])
def test_a_record_that_moves_is_the_same_value(opened: Opener, options: dict[str, Any]) -> None:
    memory, _elsewhere = both(opened, options)
    for number in range(200):
        memory.put(number, "x" * 100)
    for number in range(200):
        memory.peek(number)  # after the last put to its bucket
    held = memory.stats()["l1"]["misses"]
    memory._engine.provided(memory._engine.log.roll, 0)
    reclaim(memory._engine, 1 << 20)
    archive_warm(memory)
    assert memory.stats()["l3"]["entries"] == 201
    assert [memory.get(number) for number in range(200)] == ["x" * 100] * 200
    assert memory.stats()["l1"]["misses"] == held
    assert memory.stats()["l1"]["invalidations"] == 0


def test_a_record_that_comes_up_again_is_the_same_value(opened: Opener) -> None:
    memory, _elsewhere = both(opened, AT_ONCE)
    archive_warm(memory)
    for _ in range(2):
        empty_l1(memory)
        assert memory.get("k") == 1
    assert memory.stats()["l2"]["entries"] == 1  # promoted by the second get
    misses = memory.stats()["l1"]["misses"]
    assert memory.get("k") == 1
    assert memory.stats()["l1"]["misses"] == misses


def test_what_moved_can_be_changed(opened: Opener) -> None:
    memory, _elsewhere = both(opened, AT_ONCE)
    archive_warm(memory)
    assert memory.incr("k") == 2
    archive_warm(memory)
    assert memory.compare_and_set("k", 2, 3)
    archive_warm(memory)
    assert memory.pop("k") == 3


def stamp(memory: TieredMemorySystem) -> int:
    record = memory._engine.log.peek(encode_key("k"))
    assert record is not None
    return record.stamp


@pytest.mark.parametrize("options", [AT_ONCE, IN_A_TICK], ids=["at once", "in a tick"])
def test_a_neighbour_in_the_bucket_invalidates_nothing(
    opened: Opener, options: dict[str, Any]
) -> None:
    memory, elsewhere = both(opened, options)
    before = stamp(memory)
    number = 0
    while stamp(memory) == before:
        number += 1
        elsewhere.put(number, number)
    misses = memory.stats()["l1"]["misses"]
    assert memory.get("k") == 1
    assert memory.stats()["l1"]["misses"] == misses
    assert memory.stats()["l1"]["invalidations"] == 0


def test_growth(opened: Opener) -> None:
    memory = opened(**AT_ONCE)
    elsewhere = Elsewhere(memory)
    for number in range(2000):
        memory.put(number, "old")
    buckets = memory._engine.log.buckets[0]
    elsewhere.fill(9000)
    assert memory._engine.log.buckets[0] > buckets
    assert {memory.get(number) for number in range(2000)} == {"old"}
    for number in range(2000):
        elsewhere.put(number, "new")
    assert {memory.get(number) for number in range(2000)} == {"new"}


def test_a_put_elsewhere_right_after_an_own(opened: Opener) -> None:
    memory, elsewhere = both(opened, AT_ONCE)
    for number in range(100):
        memory.put("k", ("own", number))
        elsewhere.put("k", ("theirs", number))
        assert memory.get("k") == ("theirs", number)


def test_what_changes_while_a_value_is_loaded_is_not_kept(opened: Opener) -> None:
    change: list[Callable[[], object]] = []

    def sizer(value: object) -> int:
        for step in change:
            step()
        return 100

    memory = opened(sizer=sizer, **AT_ONCE)
    elsewhere = Elsewhere(memory)
    memory.put("k", "old")
    empty_l1(memory)
    change.append(lambda: elsewhere.put("k", "new"))
    assert memory.get("k") == "old"  # it was, when the get began
    change.clear()
    assert memory.get("k") == "new"


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("change", ["put", "delete"])
def test_what_is_loaded_is_not_stored_over_a_change(
    opened: Opener, change: str, alone: bool
) -> None:
    memory = opened(**AT_ONCE)
    elsewhere = Elsewhere(memory)
    elsewhere.come(0 if alone else 1)

    @memoize(memory, key=lambda: "k")
    def load() -> str:
        elsewhere.come()
        elsewhere.put("k", "theirs") if change == "put" else elsewhere.delete("k")
        return "loaded"

    assert load() == "loaded"
    assert memory.get("k") == ("theirs" if change == "put" else None)


class EqualOnce:
    """Equals whatever it is compared with, once, and lets `change` happen then."""

    def __init__(self, change: Callable[[], object]) -> None:
        self.change: Callable[[], object] | None = change

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        change, self.change = self.change, None
        return change is not None and (change(), True)[1]


@pytest.mark.parametrize("held", [True, False], ids=["in L1", "below"])
@pytest.mark.parametrize("options", [AT_ONCE, IN_AN_HOUR], ids=["coherent", "incoherent"])
def test_a_change_in_the_middle_of_compare_and_set(
    opened: Opener, options: dict[str, Any], held: bool
) -> None:
    memory, elsewhere = both(opened, options)
    if not held:
        empty_l1(memory)
    assert not memory.compare_and_set("k", EqualOnce(lambda: elsewhere.put("k", 2)), 3)
    assert memory.peek("k") == 2
    memory.check()


@pytest.mark.parametrize("verb", ["add", "incr", "pop"])
def test_a_change_between_the_look_and_the_change(
    opened: Opener, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    memory, elsewhere = both(opened, AT_ONCE, 10)
    step = "_erase_all" if verb == "pop" else "_store"
    real = getattr(memory, step)

    def before(*arguments: Any) -> Any:
        monkeypatch.undo()
        if verb == "pop":
            elsewhere.delete("k")
        else:
            elsewhere.put("k", 20)
        return real(*arguments)

    if verb == "add":
        memory.delete("k")
    monkeypatch.setattr(memory, step, before)
    if verb == "add":
        assert not memory.add("k", 5)
    elif verb == "incr":
        assert memory.incr("k", 5) == 25
    else:
        assert memory.pop("k", "theirs") == "theirs"
    assert memory.peek("k", "gone") == {"add": 20, "incr": 25, "pop": "gone"}[verb]


def test_nobody_hears_of_it_and_it_is_counted(opened: Opener) -> None:
    memory, elsewhere = both(opened, AT_ONCE)
    heard: list[tuple[Any, ...]] = []
    memory.add_listener(lambda *event: heard.append(event))
    elsewhere.put("k", 2)
    assert memory.get("k") == 2
    elsewhere.delete("k")
    assert memory.get("k") is None
    assert heard == []
    assert memory.get_stats()["l1_invalidations"] == 2
    memory.put("k", 3)
    elsewhere.put("k", 4)
    memory.put("k", 5)  # replaces what L1 did not hold
    assert heard == [("k", NOT_LOADED, "replaced")]


def test_epochs_come_round(opened: Opener) -> None:
    memory, elsewhere = both(opened, IN_A_TICK)
    while memory._epoch < 3:
        assert memory.get("k") == 1
    memory._epoch = (1 << 32) - 1
    while memory._epoch != 3:
        assert memory.get("k") == 1
    memory._epoch = (1 << 32) - 1
    elsewhere.put("k", 2)
    while memory.get("k") == 1:
        assert memory._epoch == (1 << 32) - 1


def test_in_write_back_mode_nobody_else_is_there(opened: Opener) -> None:
    memory = opened(durability="cache", **AT_ONCE)
    Elsewhere(memory)
    memory.put("k", 1)
    assert memory.get("k") == 1
    assert memory.incr("k") == 2


def test_hits_after_close(opened: Opener) -> None:
    memory, _elsewhere = both(opened, AT_ONCE)
    memory._engine.close()  # as a thread finds it that hits in the middle of close()
    assert memory.get("k") == 1
    memory.close()
