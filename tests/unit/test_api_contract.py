"""What is promised of the tiers: names, positions, defaults, shapes."""

import enum
import inspect
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import fastmem
from fastmem import MemoryEntry, MemoryTier, TieredMemorySystem
from fastmem._core.tiered import TieredL1


@pytest.fixture
def memory(private_tmp: Path) -> Iterator[TieredMemorySystem]:
    with TieredMemorySystem(1, private_tmp / "l2", private_tmp / "l3") as memory:
        yield memory


def test_tiers() -> None:
    assert issubclass(MemoryTier, enum.Enum)
    assert {tier.name: tier.value for tier in MemoryTier} == {
        "L1_HOT": "l1_hot", "L2_WARM": "l2_warm", "L3_COLD": "l3_cold",
    }  # fmt: skip


def test_entries_can_be_constructed() -> None:
    entry = MemoryEntry("k", 1, MemoryTier.L1_HOT, 12.5)
    assert (entry.access_count, entry.ttl) == (0, None)
    assert entry == MemoryEntry("k", 1, MemoryTier.L1_HOT, 12.5, 0, None)
    entry.access_count += 1
    assert MemoryEntry(
        key="k", value=1, tier=MemoryTier.L1_HOT, timestamp=12.5, access_count=1, ttl=None
    ) == entry  # fmt: skip


def test_the_constructor() -> None:
    parameters = inspect.signature(TieredMemorySystem.__init__).parameters
    positional = [p for p in parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert [(p.name, p.default) for p in positional[1:]] == [
        ("l1_size_mb", 512), ("l2_path", "./.moai/cache"), ("l3_path", "./.moai/archive"),
    ]  # fmt: skip
    named = {p.name: p.default for p in parameters.values() if p.kind is p.KEYWORD_ONLY}
    assert isinstance(named.pop("timeout_s"), float)
    assert named.pop("level") == 3
    assert named == {
        "l2_size_mb": None, "l3_size_mb": None, "policy": "lru", "durability": "process",
        "coherent": False, "max_stale_s": 1.0, "serializer": "auto", "allow_pickle": True,
        "secret_key": None, "read_only": False, "sizer": None, "progress": None,
    }  # fmt: skip


def test_put_and_get_take_their_arguments_by_position_and_by_name(
    memory: TieredMemorySystem,
) -> None:
    assert memory.put("a", 1) is None
    assert memory.put("b", 2, 60) is None
    assert memory.put(key="c", value=3, ttl_seconds=60) is None
    assert memory.get("a") == 1
    assert memory.get("z") is None
    assert memory.get("z", 5) == 5
    assert memory.get("z", default=5) == 5


def test_the_defaults_work_in_a_fresh_directory(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(private_tmp)
    with TieredMemorySystem() as memory:
        memory.put("a", {"b": 1})
        assert memory.l1_size_bytes == 512 << 20
        assert os.path.samefile(memory.l2_path, "./.moai/cache")
        assert os.path.samefile(memory.l3_path, "./.moai/archive")
        assert memory.get_stats()["l2_budget"] == 2048 << 20
    for path in (".moai/cache", ".moai/archive"):
        assert os.stat(path).st_mode & 0o777 == 0o700
    monkeypatch.chdir("/")
    places = private_tmp / ".moai/cache", str(private_tmp / ".moai/archive")
    with TieredMemorySystem(512, *places) as memory:
        assert memory["a"] == {"b": 1}


def test_paths_are_where_the_memory_was_opened_whatever_becomes_of_the_cwd(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(private_tmp)
    with TieredMemorySystem(1, "l2", "l3") as memory:
        monkeypatch.chdir("/")
        memory["a"] = "x" * 300_000
        memory.resize(1)
        assert memory["a"] == "x" * 300_000
        assert (private_tmp / "l2").samefile(memory.l2_path)


def test_attributes(memory: TieredMemorySystem) -> None:
    memory.put("a", [1], 60)
    assert isinstance(memory.l1, Mapping)
    entry = memory.l1["a"]
    assert isinstance(entry, MemoryEntry)
    assert (entry.key, entry.value, entry.tier) == ("a", [1], MemoryTier.L1_HOT)
    memory.get("a")
    assert memory.l1["a"].access_count == 1
    assert memory.entry("a").access_count == 1
    assert memory.l1_size_bytes == 1 << 20
    assert 0 < memory.l1_current_bytes <= memory.l1_size_bytes
    for name in ("l1", "l1_size_bytes", "l1_current_bytes", "l2_path", "l3_path"):
        with pytest.raises(AttributeError):
            setattr(memory, name, 1)


def test_get_stats(memory: TieredMemorySystem) -> None:
    memory["a"] = "x" * 1000
    stats = memory.get_stats()
    for name in (
        "l1_entries", "l1_usage_mb", "l1_capacity_mb", "l2_files", "l3_files", "l2_entries",
        "l3_entries",
    ):  # fmt: skip
        assert isinstance(stats[name], int | float)
        assert not isinstance(stats[name], bool)
    assert (stats["l1_entries"], stats["l2_entries"], stats["l3_entries"]) == (1, 1, 0)
    assert stats["l1_capacity_mb"] == 1
    assert stats["l1_usage_mb"] == memory.l1_current_bytes / 2**20
    assert (stats["l2_files"], stats["l3_files"]) == (1, 0)


def test_get_stats_is_the_flat_view_of_stats(memory: TieredMemorySystem) -> None:
    for i in range(200):
        memory[i] = os.urandom(20_000)
        memory.get(i // 2)
    memory.get("absent")
    stats, flat = memory.stats(), memory.get_stats()
    assert list(stats) == ["l1", "l2", "l3"]
    for tier, counts in stats.items():
        assert {
            "entries", "bytes", "budget", "hits", "misses", "promotions", "demotions",
            "expirations", "evictions", "errors",
        } <= set(counts)  # fmt: skip
        for name, count in counts.items():
            if isinstance(count, dict):
                for kind, number in count.items():
                    assert flat[f"{tier}_{name}_{kind}"] == number
            else:
                assert flat[f"{tier}_{name}"] == count
    assert stats["l1"]["demotions"] > 0
    assert flat["l1_evictions"] == flat["l2_evictions"] == flat["l3_evictions"] == 0
    assert stats["l2"]["hits"] == stats["l2"]["promotions"] > 0
    assert stats["l2"]["misses"] == stats["l3"]["misses"] == 1


def test_hits_and_misses_add_up(memory: TieredMemorySystem) -> None:
    memory["a"] = 1
    for key in ("a", "a", "b", "a", "c"):
        memory.get(key)
    stats = memory.stats()
    assert (stats["l1"]["hits"], stats["l1"]["misses"]) == (3, 2)
    assert (stats["l2"]["misses"], stats["l3"]["misses"]) == (2, 2)


def test_sizes_may_be_fractions(private_tmp: Path) -> None:
    with TieredMemorySystem(0.5, private_tmp / "l2", private_tmp / "l3", l2_size_mb=16.5) as memory:
        assert memory.l1_size_bytes == 1 << 19
        assert memory.stats()["l2"]["budget"] == int(16.5 * 2**20)


@pytest.mark.parametrize(
    ("wrong", "error", "text"),
    [
        ({"l1_size_mb": 0}, ValueError, "size_mb"),
        ({"l1_size_mb": -1}, ValueError, "size_mb"),
        ({"l1_size_mb": float("nan")}, ValueError, "size_mb"),
        ({"l2_size_mb": 8}, ValueError, "16,777,216"),
        ({"l3_size_mb": 8}, ValueError, "16,777,216"),
        ({"policy": "fifo"}, ValueError, "policy"),
        ({"durability": "none"}, ValueError, "durability"),
        ({"serializer": "yaml"}, ValueError, "serializer"),
        ({"serializer": object()}, TypeError, "dumps"),
        ({"sizer": 5}, TypeError, "sizer"),
        ({"timeout_s": 0}, ValueError, "timeout_s"),
        ({"level": 99}, ValueError, "level"),
        ({"l3_path": "l2"}, ValueError, "same directory"),
    ],
)
def test_what_the_constructor_refuses(
    private_tmp: Path,
    monkeypatch: pytest.MonkeyPatch,
    wrong: Any,
    error: type[BaseException],
    text: str,
) -> None:
    monkeypatch.chdir(private_tmp)
    asked = {"l1_size_mb": 1, "l2_path": "l2", "l3_path": "l3", "l2_size_mb": 16} | wrong
    with pytest.raises(error, match=text):
        TieredMemorySystem(**asked)
    with TieredMemorySystem(1, "l2", "l3"):  # nothing stays locked
        pass


def test_everything_is_importable_from_the_top() -> None:
    for name in fastmem.__all__:
        assert getattr(fastmem, name) is not None
    for name in ("TieredMemorySystem", "L1Cache", "SegmentStore", "Archive", "ClosedError"):
        assert name in fastmem.__all__


# Whatever the compiled cache offers and a memory does not override acts on L1 alone, on purpose:
INHERITED = {
    "__eq__",  # compares items(), which is overridden
    "__getitem__", "get",  # a hit is the compiled cache's own; a miss asks _load
    "__init__", "__new__", "__repr__", "__doc__", "__module__", "__reduce__", "__setstate__",
    "__reduce_cython__", "__setstate_cython__", "__pyx_vtable__", "__hash__",
    "__ne__", "__lt__", "__le__", "__gt__", "__ge__",
    "__class_getitem__", "budget_bytes", "used_bytes", "closed", "resize", "expire",
}  # fmt: skip


def test_no_inherited_method_bypasses_the_tiers() -> None:
    above = TieredMemorySystem.__mro__[: TieredMemorySystem.__mro__.index(TieredL1)]
    own = {name for each in above for name in vars(each)}
    cache = vars(fastmem.L1Cache)
    bypassing = {name for name in cache if name not in own and name not in INHERITED}
    assert {name for name in bypassing if not name.startswith("_")} == set()
    assert {name for name in bypassing if name.startswith("__")} == set()
