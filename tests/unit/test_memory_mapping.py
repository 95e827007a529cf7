"""The memory as a mapping over three tiers: every inherited method, wherever the entry is."""

import os
from collections.abc import Callable, Iterator, MutableMapping
from pathlib import Path

import pytest

from fastmem import MemoryTier, TieredMemorySystem
from tests.demotion import archive_warm, empty_l1

MISSING = object()


@pytest.fixture
def memory(private_tmp: Path) -> Iterator[TieredMemorySystem]:
    with TieredMemorySystem(1, private_tmp / "l2", private_tmp / "l3", l2_size_mb=16) as memory:
        yield memory


def to_archive(memory: TieredMemorySystem) -> None:
    """Everything warm goes where a full L2 would send it; L1 lets go of it too."""
    archive_warm(memory)
    out_of_l1(memory)


def out_of_l1(memory: TieredMemorySystem) -> None:
    empty_l1(memory)
    assert len(memory.l1) == 0


PLACES = {
    MemoryTier.L1_HOT: lambda memory: None,
    MemoryTier.L2_WARM: out_of_l1,
    MemoryTier.L3_COLD: to_archive,
}


@pytest.fixture(params=PLACES, ids=[tier.value for tier in PLACES])
def placed(
    request: pytest.FixtureRequest, memory: TieredMemorySystem
) -> Iterator[TieredMemorySystem]:
    """A memory whose "k" is in one tier, and whose "n" holds None there."""
    memory["k"] = [1, 2]
    memory["n"] = None
    PLACES[request.param](memory)
    assert memory.entry("k").tier is request.param
    yield memory
    memory.check()


def test_is_a_mutable_mapping(memory: TieredMemorySystem) -> None:
    assert isinstance(memory, MutableMapping)


def test_get_and_subscript(placed: TieredMemorySystem) -> None:
    assert placed.get("k") == [1, 2]
    assert placed["k"] == [1, 2]
    assert placed.get("n", "default") is None
    assert placed.get("absent", "default") == "default"
    with pytest.raises(KeyError):
        placed["absent"]


def test_peek_entry_and_in_promote_nothing(placed: TieredMemorySystem) -> None:
    before = list(placed.l1)
    assert placed.peek("k") == [1, 2]
    assert placed.peek("n", 1) is None
    assert placed.entry("n").value is None
    assert "k" in placed
    assert "absent" not in placed
    assert list(placed.l1) == before


def test_get_promotes(placed: TieredMemorySystem) -> None:
    placed.get("k")
    assert placed.entry("k").tier is MemoryTier.L1_HOT


def test_the_put_time_stays_the_same_in_every_tier(memory: TieredMemorySystem) -> None:
    memory.put("k", 1, 3600)
    entry = memory.entry("k")
    for move in (out_of_l1, to_archive):
        move(memory)
        below = memory.entry("k")
        memory.get("k")
        promoted = memory.entry("k")
        for later in (below, promoted):
            assert later.timestamp == pytest.approx(entry.timestamp, abs=0.05)
            assert later.ttl == pytest.approx(3600, abs=0.05)
    assert promoted.tier is MemoryTier.L1_HOT


@pytest.mark.parametrize("remove", [
    lambda m: m.delete("k"), lambda m: m.__delitem__("k"), lambda m: m.pop("k"),
    lambda m: m.clear(), lambda m: m.put("k", 1, 1e-9),
])  # fmt: skip
def test_what_removes_removes_everywhere(
    placed: TieredMemorySystem, remove: Callable[[TieredMemorySystem], object]
) -> None:
    remove(placed)
    while "k" in placed:  # until the coarse clock ticks, where a ttl removes
        pass
    out_of_l1(placed)
    assert "k" not in placed
    assert placed.get("k", MISSING) is MISSING
    assert "k" not in list(placed)


def test_delete_and_pop_tell_whether_it_was_there(placed: TieredMemorySystem) -> None:
    assert placed.delete("k") is True
    assert placed.delete("k") is False
    assert placed.pop("n") is None
    assert placed.pop("n", "gone") == "gone"
    with pytest.raises(KeyError):
        placed.pop("n")
    with pytest.raises(KeyError):
        del placed["k"]
    assert len(placed) == 0


def test_put_replaces_everywhere(placed: TieredMemorySystem) -> None:
    placed["k"] = "new"
    out_of_l1(placed)
    assert placed["k"] == "new"
    assert len(placed) == 2


def test_setdefault(placed: TieredMemorySystem) -> None:
    assert placed.setdefault("k", 5) == [1, 2]
    assert placed.setdefault("n", 5) is None
    assert placed.setdefault("new", 5) == 5
    assert placed.setdefault("none") is None
    assert placed["new"] == 5


def test_touch(placed: TieredMemorySystem) -> None:
    assert placed.touch("k", 60) is True
    assert placed.entry("k").ttl == pytest.approx(60, abs=1)
    out_of_l1(placed)
    assert placed.entry("k").ttl == pytest.approx(60, abs=1)
    assert placed.touch("k", float("inf")) is True
    assert placed.entry("k").ttl is None
    assert placed.touch("n") is True
    assert placed.touch("absent") is False
    with pytest.raises(ValueError, match="ttl_seconds"):
        placed.touch("absent", -1)
    assert placed["k"] == [1, 2]


def test_popitem_takes_everything(placed: TieredMemorySystem) -> None:
    taken = dict(placed.popitem() for _ in range(2))
    assert taken == {"k": [1, 2], "n": None}
    with pytest.raises(KeyError):
        placed.popitem()


def test_popitem_takes_the_victim_to_be(memory: TieredMemorySystem) -> None:
    memory.update({"a": 1, "b": 2, "c": 3})
    memory.get("a")
    assert memory.popitem() == ("b", 2)


def test_popitem_ends_when_no_entry_can_be_read(memory: TieredMemorySystem) -> None:
    """A record whose bytes are damaged is listed, since heads are whole, and is a miss."""
    memory["k"] = "x" * 1000
    out_of_l1(memory)
    segment = next((memory.l2_path).glob("seg.*"))
    data = bytearray(segment.read_bytes())
    at = data.index(b"x" * 1000)
    with open(segment, "r+b") as file:
        os.pwrite(file.fileno(), b"y", at + 500)
    with pytest.raises(KeyError):
        memory.popitem()
    assert memory.get("k") is None


def test_update_takes_what_dict_takes(placed: TieredMemorySystem) -> None:
    placed.update({"k": 1}, b=2)
    placed.update([("c", 3)])
    placed.update(d=4)
    assert dict(placed.items()) == {"k": 1, "n": None, "b": 2, "c": 3, "d": 4}


def test_views(placed: TieredMemorySystem) -> None:
    assert sorted(placed) == sorted(placed.keys()) == ["k", "n"]
    assert dict(placed.items()) == {"k": [1, 2], "n": None}
    before = list(placed.l1)
    assert "k" in placed.keys()  # noqa: SIM118 - the view is what is tested
    assert [1, 2] in placed.values()
    assert [3] not in placed.values()
    assert ("n", None) in placed.items()
    assert ("n", 0) not in placed.items()
    assert ("absent", None) not in placed.items()
    assert list(placed.l1) == before
    assert placed.keys() & {"k", "z"} == {"k"}
    assert len(placed.keys()) == len(placed.items()) == 2


def test_equality_compares_all_tiers(placed: TieredMemorySystem) -> None:
    assert placed == {"k": [1, 2], "n": None}
    assert placed != {"k": [1, 2]}
    assert placed != 5


def test_what_a_mapping_is_not(memory: TieredMemorySystem) -> None:
    with pytest.raises(TypeError):
        reversed(memory)
    with pytest.raises(TypeError):
        hash(memory)
    with pytest.raises(TypeError):
        memory | {}  # type: ignore[operator]
    with pytest.raises(TypeError):
        memory |= {"a": 1}  # type: ignore[operator]


def test_an_empty_memory_is_false_like_a_dict(memory: TieredMemorySystem) -> None:
    assert not memory
    memory["a"] = 1
    assert memory


def test_expire_and_resize_are_those_of_l1(placed: TieredMemorySystem) -> None:
    placed.put("brief", 1, 1e-9)
    while "brief" in placed:
        pass
    placed.expire()
    placed.resize(1)
    assert len(placed.l1) == 0
    assert placed.l1_size_bytes == 1
    assert placed["k"] == [1, 2]


def test_iteration_survives_every_change(placed: TieredMemorySystem) -> None:
    for i in range(500):
        placed[i] = i
    met = []
    for key in placed:
        met.append(key)
        placed.delete(key)
        placed[f"new {key}"] = 1
    assert len(met) == len(set(met))
    assert {*range(500), "k", "n"} <= set(met)


def test_iteration_in_cache_mode_meets_what_moves_up(private_tmp: Path) -> None:
    """A put takes a key from below to L1 alone, perhaps away from where the iteration still is."""
    with TieredMemorySystem(
        1, private_tmp / "l2", private_tmp / "l3", l2_size_mb=16, durability="cache"
    ) as memory:
        for i in range(2000):
            memory[i] = i
        memory.flush()
        out_of_l1(memory)
        met = []
        for key in memory:
            met.append(key)
            memory[1999 - key] = 0
        assert sorted(met) == list(range(2000))


def test_the_l1_view_is_live_and_read_only(memory: TieredMemorySystem) -> None:
    memory.put("a", 1, 60)
    view = memory.l1
    assert list(view) == ["a"]
    assert view["a"].value == 1
    assert view["a"].tier is MemoryTier.L1_HOT
    memory["b"] = 2
    assert len(view) == 2
    assert "absent" not in view
    with pytest.raises(KeyError):
        view["absent"]
    with pytest.raises(TypeError):
        view["a"] = 1  # type: ignore[index]


def test_what_the_archive_evicts_leaves_l1_too(private_tmp: Path) -> None:
    """Or L1 would hold what iteration and len do not know, until it silently went."""
    with TieredMemorySystem(
        64, private_tmp / "l2", private_tmp / "l3", l2_size_mb=16, l3_size_mb=16
    ) as memory:
        for i in range(160):
            memory[i] = os.urandom(250_000)
            memory.check()
        assert set(memory.l1) <= set(memory)
        stats = memory.stats()
        assert stats["l3"]["evictions"]["size"] == 160 - len(memory) > 0
        assert stats["l3"]["bytes"] <= stats["l3"]["budget"]
        assert stats["l2"]["bytes"] <= stats["l2"]["budget"]
