"""Read-only, closed, forked, forgotten: the ends of a memory's life."""

import gc
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fastmem import (
    ClosedError,
    MemoryTier,
    ReadOnlyError,
    StoreLockedError,
    StoreNotFoundError,
    TieredMemorySystem,
)
from fastmem.memory import Durability
from tests.children import forked
from tests.demotion import archive_warm

Use = Callable[[TieredMemorySystem], object]
MUTATIONS: dict[str, Use] = {
    "put": lambda m: m.put("a", 1),
    "put too large": lambda m: m.put("a", bytes(9 << 20)),
    "set item": lambda m: m.__setitem__("a", 1),
    "delete": lambda m: m.delete("a"),
    "delete absent": lambda m: m.delete("absent"),
    "del item": lambda m: m.__delitem__("a"),
    "pop": lambda m: m.pop("a"),
    "pop absent": lambda m: m.pop("absent", None),
    "popitem": lambda m: m.popitem(),
    "setdefault": lambda m: m.setdefault("absent", 1),
    "update": lambda m: m.update(a=1),
    "update nothing": lambda m: m.update(),
    "touch": lambda m: m.touch("a", 5),
    "clear": lambda m: m.clear(),
    "flush": lambda m: m.flush(),
}
READS: dict[str, Use] = {
    "get": lambda m: m.get("a"),
    "get absent": lambda m: m.get("absent"),
    "subscript": lambda m: m["a"],
    "peek": lambda m: m.peek("a"),
    "entry": lambda m: m.entry("a"),
    "in": lambda m: "a" in m,
    "touch": lambda m: m.touch("a"),
    "setdefault": lambda m: m.setdefault("a"),
    "len": len,
    "iterate": list,
    "keys": lambda m: list(m.keys()),
    "values": lambda m: list(m.values()),
    "items": lambda m: list(m.items()),
    "equal": lambda m: m == {"z": 1},
    "l1": lambda m: list(m.l1),
    "l1 entry": lambda m: m.l1["a"],
    "l1 len": lambda m: len(m.l1),
    "stats": lambda m: m.stats(),
    "get_stats": lambda m: m.get_stats(),
    "check": lambda m: m.check(),
    "resize": lambda m: m.resize(1 << 20),
    "expire": lambda m: m.expire(),
    "with": lambda m: m.__enter__(),
}


@pytest.fixture
def filled(places: tuple[Path, Path]) -> tuple[Path, Path]:
    with TieredMemorySystem(1, *places, l2_size_mb=16) as memory:
        memory.update({"a": [1], "cold": "c" * 500, "large": "x" * 300_000})
        archive_warm(memory)
        memory["a"] = [2]
    return places


def listing(places: tuple[Path, Path]) -> Any:
    return {
        path: (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_size)
        for place in places
        for path in place.iterdir()
    }


def test_read_only_reads_and_changes_no_byte(filled: tuple[Path, Path]) -> None:
    before = listing(filled)
    with TieredMemorySystem(1, *filled, read_only=True) as memory:
        assert dict(memory.items()) == {"a": [2], "cold": "c" * 500, "large": "x" * 300_000}
        assert memory.entry("cold").tier is MemoryTier.L3_COLD
        for _ in range(3):
            assert memory["cold"] == "c" * 500
            assert memory["a"] == [2]
        assert set(memory.l1) == {"a", "cold"}
        memory.check()
        for name, read in READS.items():
            if name != "l1 entry":
                read(memory)
        assert memory.get("absent", 7) == 7
    assert listing(filled) == before


@pytest.mark.parametrize("durability", ["process", "cache", "disk"])
@pytest.mark.parametrize("mutate", MUTATIONS.values(), ids=MUTATIONS)
def test_read_only_refuses_every_change(
    filled: tuple[Path, Path], mutate: Use, durability: Durability
) -> None:
    before = listing(filled)
    with TieredMemorySystem(1, *filled, read_only=True, durability=durability) as memory:
        memory.get("a")
        with pytest.raises(ReadOnlyError):
            mutate(memory)
        assert memory["a"] == [2]
    assert listing(filled) == before


def test_read_only_where_nothing_is(private_tmp: Path) -> None:
    places = private_tmp / "l2", private_tmp / "l3"
    for made in (None, *places):
        if made:
            made.mkdir(mode=0o700)
        with pytest.raises(StoreNotFoundError) as caught:
            TieredMemorySystem(1, *places, read_only=True)
        assert isinstance(caught.value, FileNotFoundError)
        assert caught.value.filename in map(str, places)
    assert list(private_tmp.rglob("*")) == list(places)


def test_readers_share_a_directory_and_keep_a_writer_out(filled: tuple[Path, Path]) -> None:
    with TieredMemorySystem(1, *filled, read_only=True) as one:
        with TieredMemorySystem(1, *filled, read_only=True) as two:
            assert one["a"] == two["a"] == [2]
        with pytest.raises(StoreLockedError):
            TieredMemorySystem(1, *filled)


@pytest.mark.parametrize("durability", ["process", "cache", "disk"])
def test_a_closed_memory_says_so(places: tuple[Path, Path], durability: Durability) -> None:
    memory = TieredMemorySystem(1, *places, durability=durability)
    memory["a"] = 1
    memory.close()
    memory.close()
    assert memory.closed
    assert issubclass(ClosedError, ValueError)
    for use in (*MUTATIONS.values(), *READS.values()):
        with pytest.raises(ClosedError):
            use(memory)
    assert "closed" in repr(memory)
    assert (memory.l1_current_bytes, memory.l1_size_bytes) == (0, 1 << 20)
    assert memory.l2_path == places[0]


def test_an_iteration_ends_when_the_memory_is_closed(places: tuple[Path, Path]) -> None:
    memory = TieredMemorySystem(1, *places)
    memory.update({i: i for i in range(5000)})
    rest = iter(memory)
    next(rest)
    memory.close()
    with pytest.raises(ClosedError):
        list(rest)


def test_an_opened_directory_is_shared_with_a_second_opener(places: tuple[Path, Path]) -> None:
    with TieredMemorySystem(1, *places) as memory:
        with TieredMemorySystem(1, *places) as other:
            memory["a"] = 1
            assert other["a"] == 1
            other["b"] = 2
        assert memory["b"] == 2
    with TieredMemorySystem(1, *places) as memory:
        assert dict(memory.items()) == {"a": 1, "b": 2}


# -- forgotten


def open_files() -> list[str]:
    links = []
    for name in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink(f"/proc/self/fd/{name}"))
        except FileNotFoundError:  # the listing's own
            continue
    with open("/proc/self/maps") as maps:
        links += [line.split()[-1] for line in maps if "/" in line]
    return links


def left_open(place: Path) -> list[str]:
    return [link for link in open_files() if str(place) in link]


@pytest.mark.parametrize("durability", ["process", "cache"])
@pytest.mark.parametrize("in_a_cycle", [False, True])
def test_a_forgotten_memory_is_closed(
    places: tuple[Path, Path], durability: Durability, in_a_cycle: bool
) -> None:
    memory = TieredMemorySystem(1, *places, durability=durability)
    memory["a"] = [1]
    memory["large"] = "x" * 300_000
    if in_a_cycle:
        holder: list[Any] = [memory]
        holder.append(holder)
        memory.attribute = holder  # type: ignore[attr-defined]
        memory["in it"] = "dirty"
        del holder
    assert left_open(places[0].parent)
    del memory
    if in_a_cycle:
        gc.collect()
    assert left_open(places[0].parent) == []
    with TieredMemorySystem(1, *places) as memory:
        assert memory["a"] == [1]
        assert memory["large"] == "x" * 300_000
        assert memory.stats()["l2"]["rebuilt"] is False


def test_a_cycle_through_a_value_is_collected(places: tuple[Path, Path]) -> None:
    class Node:
        memory: TieredMemorySystem

        def __reduce__(self) -> tuple[Any, ...]:
            return dict, ()

    memory = TieredMemorySystem(1, *places)
    node = Node()
    node.memory = memory
    memory["node"] = node
    del memory, node
    gc.collect()
    assert left_open(places[0].parent) == []
    with TieredMemorySystem(1, *places) as memory:
        assert "node" in memory


def test_a_constructor_that_fails_leaves_nothing_open(places: tuple[Path, Path]) -> None:
    with pytest.raises(ValueError, match="level"):
        TieredMemorySystem(1, *places, level=99)
    gc.collect()
    assert left_open(places[0].parent) == []


def run(code: str, *places: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(code), *places],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("durability", ["process", "cache"])
def test_the_end_of_the_process_closes(places: tuple[Path, Path], durability: Durability) -> None:
    done = run(
        f"""
        import sys
        from fastmem import TieredMemorySystem
        memory = TieredMemorySystem(1, *sys.argv[1:], durability={durability!r})
        memory["a"] = [1]
        """,
        *places,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    with TieredMemorySystem(1, *places) as memory:
        assert memory["a"] == [1]
        assert memory.stats()["l2"]["redone_records"] == 0


# -- forked


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_in_a_forked_child_write_back_is_closed_and_the_parent_goes_on(
    places: tuple[Path, Path],
) -> None:
    with TieredMemorySystem(1, *places, durability="cache") as memory:
        memory["a"] = [1]
        for use in (*MUTATIONS.values(), *READS.values()):
            assert forked(partial(use, memory)).startswith("ClosedError")
        assert forked(memory.close) == "None"
        assert forked(lambda: memory.closed) == "True"
        memory["b"] = 2
        assert dict(memory.items()) == {"a": [1], "b": 2}
        memory.check()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("durability", ["process", "disk"])
def test_in_a_forked_child_it_goes_on(places: tuple[Path, Path], durability: Durability) -> None:
    with TieredMemorySystem(1, *places, durability=durability) as memory:
        memory["a"] = [1]
        for use in (*MUTATIONS.values(), *READS.values()):
            assert not forked(partial(use, memory)).startswith("ClosedError")
        assert forked(memory.close) == "None"
        assert forked(lambda: memory.closed) == "False"
        memory.clear()
        memory["b"] = 2
        assert forked(lambda: memory["b"]) == "2"
        assert dict(memory.items()) == {"b": 2}
        memory.check()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_runs_no_destructor_of_its_parents_values(
    places: tuple[Path, Path], tmp_path: Path
) -> None:
    mark = tmp_path / "deleted"

    class Removes:
        def __reduce__(self) -> tuple[Any, ...]:
            return dict, ()

        def __del__(self) -> None:
            with open(mark, "a") as file:
                file.write(f"{os.getpid()}\n")

    memory = TieredMemorySystem(1, *places, durability="cache")
    memory["a"] = Removes()

    def forget() -> Any:
        memory.close()
        globals()["memory"] = None
        return gc.collect() >= 0

    assert forked(forget) == "True"
    assert not mark.exists()
    memory.close()
    assert mark.read_text() == f"{os.getpid()}\n"
