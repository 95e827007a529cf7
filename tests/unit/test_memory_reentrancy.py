"""User code that runs inside an operation may use the same memory, whatever the operation is.

Serializers, sizers, ``__reduce__`` and ``__del__`` are tried with every action, in every durability
that differs, and again while a victim is written back.
"""

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fastmem import SerializationError, TieredMemorySystem
from fastmem._core.keys import encode_key
from fastmem.memory import Durability
from tests.demotion import empty_l1

L1_BYTES = 40_000

Action = Callable[[TieredMemorySystem], object]
ACTIONS: dict[str, Action] = {
    "get": lambda m: m.get("warm"),
    "get absent": lambda m: m.get("absent"),
    "get same": lambda m: m.get("target"),
    "put new": lambda m: m.put("new", "inner"),
    "put same": lambda m: m.put("target", "inner"),
    "put large": lambda m: m.put("large", os.urandom(300_000)),
    "put many": lambda m: m.update({f"m{i}": bytes(900) for i in range(100)}),
    "delete same": lambda m: m.delete("target"),
    "delete": lambda m: m.delete("warm"),
    "pop": lambda m: m.pop("warm", None),
    "popitem": lambda m: m.popitem() if len(m) else None,
    "touch": lambda m: m.touch("warm", 60),
    "clear": lambda m: m.clear(),
    "resize": lambda m: m.resize(20_000),
    "flush": lambda m: m.flush(),
    "iterate": lambda m: list(m.items()),
    "stats": lambda m: m.get_stats(),
    "collect": lambda m: gc.collect(),
}


class Hook:
    """What values and callables below have in common: `act` runs the action once."""

    memory: TieredMemorySystem
    action: Action | None = None
    runs = 0

    @classmethod
    def arm(cls, memory: TieredMemorySystem, action: Action) -> None:
        cls.memory, cls.action, cls.runs = memory, staticmethod(action), 0

    @classmethod
    def act(cls) -> None:
        memory, action = Hook.memory, Hook.action
        if action is not None:
            Hook.action = None
            Hook.runs += 1
            action(memory)
            if not memory.closed:
                memory.check()


class ActsInReduce:
    def __reduce__(self) -> tuple[Any, ...]:
        Hook.act()
        return str, ("restored",)


class ActsInGetstate:
    def __getstate__(self) -> object:
        Hook.act()
        return {"a": 1}


class ActsInSizeof:
    def __sizeof__(self) -> int:
        Hook.act()
        return 100

    def __reduce__(self) -> tuple[Any, ...]:
        return str, ("restored",)


class ActsInDel:
    def __del__(self) -> None:
        Hook.act()

    def __reduce__(self) -> tuple[Any, ...]:
        return str, ("restored",)


class ActsInLoad:
    def __setstate__(self, state: object) -> None:
        Hook.act()

    def __getstate__(self) -> object:
        return {"a": 1}


class ActingSerializer:
    """Values in and out through a callback."""

    def dumps(self, value: Any) -> bytes:
        if value == "target":
            Hook.act()
        return repr(value).encode()

    def loads(self, data: Any) -> object:
        if b"target" in data:
            Hook.act()
        return data.decode()


@pytest.fixture(params=["process", "cache"])
def memory(request: pytest.FixtureRequest, private_tmp: Path) -> Iterator[TieredMemorySystem]:
    Hook.action = None
    with TieredMemorySystem(
        L1_BYTES / 2**20, private_tmp / "l2", private_tmp / "l3", l2_size_mb=16,
        durability=request.param,
    ) as memory:  # fmt: skip
        memory["warm"] = "w" * 100
        for i in range(20):
            memory[i] = bytes(300)
        yield memory
        Hook.action = None


def is_sound(memory: TieredMemorySystem) -> None:
    memory.check()
    assert memory.l1_current_bytes <= memory.l1_size_bytes
    assert memory._limbo == {}
    for i in range(100):
        memory[f"fill {i}"] = bytes(900)
    assert memory["fill 3"] == bytes(900)
    memory.check()
    memory.flush()


everywhere = pytest.mark.parametrize("action", ACTIONS.values(), ids=ACTIONS)


@everywhere
@pytest.mark.parametrize("kind", [ActsInReduce, ActsInGetstate, ActsInSizeof])
def test_code_of_a_value_while_it_is_stored(
    memory: TieredMemorySystem, kind: Callable[[], object], action: Action
) -> None:
    value = kind()
    Hook.arm(memory, action)
    memory["target"] = value
    if Hook.runs:  # else it is asked only when it is written back
        assert memory["target"] is value  # the outer put ends last
    empty_l1(memory)
    assert Hook.runs == 1
    is_sound(memory)


@everywhere
@pytest.mark.parametrize("kind", [ActsInReduce, ActsInGetstate])
@pytest.mark.parametrize("how", ["evicted", "flushed", "closed"])
def test_code_of_a_value_while_it_is_written_back(
    private_tmp: Path, kind: Callable[[], object], action: Action, how: str
) -> None:
    memory = TieredMemorySystem(
        L1_BYTES / 2**20, private_tmp / "l2", private_tmp / "l3", l2_size_mb=16, durability="cache"
    )
    for i in range(20):
        memory[i] = bytes(300)
    memory["warm"] = "w" * 100
    memory["target"] = kind()
    memory["last"] = "kept"
    Hook.arm(memory, action)
    if how == "evicted":
        empty_l1(memory)
    elif how == "flushed":
        memory.flush()
    else:
        memory.close()
    assert Hook.runs == 1
    if how != "closed":
        is_sound(memory)
        memory.close()
    with TieredMemorySystem(1, private_tmp / "l2", private_tmp / "l3", l2_size_mb=16) as memory:
        memory.check()
        if action is ACTIONS["put same"]:
            assert memory["target"] == "inner"
        elif action in (ACTIONS["delete same"], ACTIONS["clear"]):
            assert "target" not in memory
        if action not in (ACTIONS["clear"], ACTIONS["popitem"]):
            assert memory["last"] == "kept"


@everywhere
@pytest.mark.parametrize("leave", [
    lambda m: m.put("target", "outer"),
    lambda m: m.put("target", bytes(300_000)),
    lambda m: m.delete("target"),
    lambda m: m.pop("target"),
    empty_l1,
    lambda m: m.clear(),
    lambda m: m.touch("target", 5) and empty_l1(m),
    lambda m: m.update({f"n{i}": bytes(900) for i in range(100)}),
], ids=["put", "put large", "delete", "pop", "evict", "clear", "touch", "crowd out"])  # fmt: skip
def test_del_of_a_value_that_leaves(
    memory: TieredMemorySystem, leave: Action, action: Action
) -> None:
    memory["target"] = ActsInDel()
    Hook.arm(memory, action)
    leave(memory)
    gc.collect()
    assert Hook.runs == 1
    if leave.__name__ == "<lambda>" and action is not ACTIONS["put same"]:
        assert memory.get("target") in (None, "outer", bytes(300_000), "restored")
    is_sound(memory)


@everywhere
def test_del_of_a_value_superseded_in_limbo_or_l1_does_not_undo_the_put(
    memory: TieredMemorySystem, action: Action
) -> None:
    """Its ``__del__`` may run only when the newer value is in its place, in every tier."""
    memory["target"] = ActsInDel()
    Hook.arm(memory, action)
    memory["target"] = "outer"
    assert Hook.runs == 1
    expected: str | None = "outer"
    if action is ACTIONS["put same"]:
        expected = "inner"  # put later
    elif action in (ACTIONS["delete same"], ACTIONS["clear"]):
        expected = None
    if action is not ACTIONS["popitem"]:
        assert memory.get("target") == expected
        empty_l1(memory)
        assert memory.get("target") == expected
    is_sound(memory)


@pytest.mark.parametrize("act", [
    lambda m: m.put("victim", "inner"),
    lambda m: m.delete("victim"),
    lambda m: m.update({f"m{i}": os.urandom(900) for i in range(1500)}),  # rolls the log
    lambda m: m.get("victim"),
    lambda m: m.flush(),
])  # fmt: skip
@pytest.mark.parametrize("newer", ["outer", "o" * 60_000])
def test_del_of_a_value_superseded_in_limbo(private_tmp: Path, act: Action, newer: str) -> None:
    """The put of a key whose older value waits to be written back: that one's ``__del__`` comes
    when the newer value is in its place, or what it does would be undone."""

    class PutsVictim:
        def __reduce__(self) -> tuple[Any, ...]:
            assert "victim" in own._limbo
            own["victim"] = newer
            return str, ("restored",)

    with TieredMemorySystem(
        L1_BYTES / 2**20, private_tmp / "l2", private_tmp / "l3", l2_size_mb=16, durability="cache"
    ) as own:
        own["putter"] = PutsVictim()  # evicted first
        own["victim"] = ActsInDel()
        Hook.arm(own, act)
        own.resize(1)
        assert Hook.runs == 1
        expected = own.get("victim")
        assert expected in (newer, "inner", None)
        own.resize(L1_BYTES)
        own.check()
        assert own.get("victim") == expected
        assert own["putter"] == "restored"
        own.flush()
        assert own._engine.read(encode_key("victim")) is not None or expected is None


@everywhere
def test_code_of_a_value_while_it_is_loaded(memory: TieredMemorySystem, action: Action) -> None:
    memory["target"] = ActsInLoad()
    empty_l1(memory)
    Hook.arm(memory, action)
    assert type(memory["target"]) is ActsInLoad
    assert Hook.runs == 1
    if action is ACTIONS["put same"]:
        assert memory.get("target") == "inner"  # what was loaded before it did not take its place
    elif action in (ACTIONS["delete same"], ACTIONS["clear"]):
        assert "target" not in memory
        assert "target" not in memory.l1
    is_sound(memory)


@everywhere
def test_a_serializer_that_uses_the_memory(private_tmp: Path, action: Action) -> None:
    with TieredMemorySystem(
        L1_BYTES / 2**20, private_tmp / "l2", private_tmp / "l3", l2_size_mb=16,
        serializer=ActingSerializer(),
    ) as memory:  # fmt: skip
        for key in ("warm", *range(20)):
            memory[key] = "x" * 300
        Hook.arm(memory, action)
        memory["target"] = "target"
        assert Hook.runs == 1
        assert memory["target"] == "target"
        empty_l1(memory)
        Hook.arm(memory, action)
        assert memory["target"] == "'target'"
        assert Hook.runs == 1
        memory.check()


@everywhere
@pytest.mark.parametrize("durability", ["process", "cache"])
def test_a_sizer_that_uses_the_memory(
    private_tmp: Path, durability: Durability, action: Action
) -> None:
    def sizer(value: object) -> int:
        if value == "target":
            Hook.act()
        return 500

    Hook.action = None
    with TieredMemorySystem(
        L1_BYTES / 2**20, private_tmp / "l2", private_tmp / "l3", l2_size_mb=16, sizer=sizer,
        durability=durability,
    ) as memory:  # fmt: skip
        for key in ("warm", *range(20)):
            memory[key] = "x"
        Hook.arm(memory, action)
        memory["target"] = "target"
        assert Hook.runs == 1
        assert memory["target"] == "target"
        memory.check()


def test_a_value_that_puts_itself_for_ever_does_not_overflow_the_stack(private_tmp: Path) -> None:
    class Again:
        count = 0

        def __reduce__(self) -> tuple[Any, ...]:
            Again.count += 1
            if Again.count < 50:
                own.update({f"crowd {i}": bytes(5000) for i in range(10)})
            return str, ("restored",)

    with TieredMemorySystem(
        L1_BYTES / 2**20, private_tmp / "l2", private_tmp / "l3", durability="cache"
    ) as own:
        for i in range(5):
            own[i] = Again()
        empty_l1(own)
        assert [own[i] for i in range(5)] == ["restored"] * 5
        assert own.stats()["l1"]["evictions"]["spill_failed"] == 0
        assert Again.count == 5


def test_unpicklable_by_its_own_recursion(memory: TieredMemorySystem) -> None:
    class Deep:
        def __reduce__(self) -> tuple[Any, ...]:
            return Deep, (Deep(),)

    if memory._write_back:
        memory["deep"] = Deep()
        with pytest.raises(SerializationError):
            memory.flush()
    else:
        with pytest.raises(SerializationError):
            memory["deep"] = Deep()
    assert memory["warm"] == "w" * 100
