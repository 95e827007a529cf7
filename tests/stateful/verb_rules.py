"""The conditional and bulk verbs as rules of the law machine."""

import time
from typing import Any

import numpy
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from fastmem import TieredMemorySystem
from tests.stateful.memory_model import ABSENT, Model, same
from tests.stateful.memory_values import KEYS, SMALL


class Nothing:
    """Equal to nothing, arrays included."""

    __array_ufunc__ = None

    def __eq__(self, other: object) -> bool:
        return False


class VerbRules(RuleBasedStateMachine):
    memory: TieredMemorySystem
    model: Model

    @rule(key=KEYS, value=SMALL)
    def add(self, key: Any, value: Any) -> None:
        absent = self.model.get(key) is ABSENT
        assert self.memory.add(key, value) is absent
        if absent:
            self.model.put(key, value)

    @rule(key=KEYS, delta=st.integers(-(2**70), 2**70))
    def incr(self, key: Any, delta: int) -> None:
        held = self.model.get(key)
        if held is ABSENT or type(held) is int:
            total = (held if type(held) is int else 0) + delta
            assert self.memory.incr(key, delta) == total
            self.model.put(key, total, self.model.timed.get(key))
        else:
            with pytest.raises(TypeError, match="no incr"):
                self.memory.incr(key, delta)

    @rule(key=KEYS, value=SMALL, wrong=st.booleans())
    def compare_and_set(self, key: Any, value: Any, wrong: bool) -> None:
        expected = self.memory.peek(key, ABSENT)
        there = expected is not ABSENT and not isinstance(expected, numpy.ndarray)
        if wrong or not there:
            assert self.memory.compare_and_set(key, Nothing(), value) is False
        else:
            assert self.memory.compare_and_set(key, expected, value) is True
            self.model.put(key, value, self.model.timed.get(key))

    @rule(pairs=st.lists(st.tuples(KEYS, SMALL), max_size=3), ttl=st.sampled_from([None, 3600]))
    def put_many(self, pairs: list[tuple[Any, Any]], ttl: Any) -> None:
        self.memory.put_many(pairs, ttl)
        for key, value in pairs:
            self.model.put(key, value, None if ttl is None else time.time() + ttl)

    @rule(keys=st.lists(KEYS, max_size=3))
    def get_many(self, keys: list[Any]) -> None:
        found = self.memory.get_many(keys)
        assert found.keys() == {key for key in keys if self.model.get(key) is not ABSENT}
        assert all(same(found[key], self.model.get(key)) for key in found)

    @rule(keys=st.lists(KEYS, max_size=3))
    def delete_many(self, keys: list[Any]) -> None:
        there = sum(self.model.drop(key) is not ABSENT for key in keys)
        assert self.memory.delete_many(keys) == there
