"""L1Cache against a small model: the same answers, order, bytes and events, and every invariant,
each step.

Time is the test's own: an entry expires when its deadline is moved into the past.
"""

from functools import partial
from typing import Any, ClassVar, Literal

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fastmem._core.l1 import L1Cache
from fastmem.errors import ValueTooLargeError
from tests.stateful.l1_models import ABSENT, EXPIRED, MODELS, Model

PAST = 1


class Collides:
    """Unequal keys with one hash."""

    def __init__(self, name: int) -> None:
        self.name = name

    def __hash__(self) -> int:
        return 7

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Collides) and self.name == other.name


KEYS = st.one_of(
    st.integers(-3, 12),
    st.sampled_from(["", "a", "b", "é", "日本", b"", b"a", b"b", None, 0.5, 2**70, True, 1.0]),
    st.tuples(st.integers(0, 3), st.sampled_from("ab")),
    st.builds(Collides, st.integers(0, 5)),
)
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 2), st.binary(max_size=300), st.lists(st.integers())
)


class L1Machine(RuleBasedStateMachine):
    policy: ClassVar[Literal["lru", "s3fifo"]]

    @initialize(budget=st.integers(200, 4000), listens=st.booleans())
    def start(self, budget: int, listens: bool) -> None:
        self.model: Model = MODELS[self.policy](budget)
        self.cache = L1Cache(budget, policy=self.policy)
        self.told: list[tuple[Any, Any, str]] | None = None
        if listens:  # else what is replaced goes another way
            self.told = []
            self.cache.add_listener(self.on_evict)

    def on_evict(self, key: Any, value: Any, cause: str) -> None:
        assert self.told is not None
        self.told.append((key, value, cause))

    @rule(key=KEYS, value=VALUES, how=st.sampled_from(["put", "ttl", "item", "update"]))
    def put(self, key: Any, value: Any, how: str) -> None:
        cache = self.cache
        act = {
            "put": partial(cache.put, key, value),
            "ttl": partial(cache.put, key, value, 3600),
            "item": partial(cache.__setitem__, key, value),
            "update": partial(cache.update, [(key, value)]),
        }[how]
        size, limit = self.model.entry_size(key, value), self.model.budget
        if size > limit:
            with pytest.raises(ValueTooLargeError) as raised:
                act()
            assert (raised.value.size, raised.value.limit) == (size, limit)
        else:
            act()
            self.model.put(key, value)

    @rule(key=KEYS)
    def get(self, key: Any) -> None:
        assert self.cache.get(key, ABSENT) is self.model.get(key)

    @rule(key=KEYS)
    def subscript(self, key: Any) -> None:
        expected = self.model.get(key)
        if expected is ABSENT:
            with pytest.raises(KeyError):
                self.cache[key]
        else:
            assert self.cache[key] is expected

    @rule(key=KEYS)
    def peek(self, key: Any) -> None:
        expected = self.model.peek(key)
        assert (key in self.cache) == (expected is not ABSENT)
        assert self.cache.peek(key, ABSENT) is expected

    @rule(key=KEYS)
    def pop(self, key: Any) -> None:
        assert self.cache.pop(key, ABSENT) is self.model.pop(key)

    @rule(key=KEYS)
    def delete(self, key: Any) -> None:
        assert self.cache.delete(key) is (self.model.pop(key) is not ABSENT)

    @rule(key=KEYS, ttl=st.sampled_from([None, 60, float("inf")]))
    def touch(self, key: Any, ttl: Any) -> None:
        assert self.cache.touch(key, ttl) is (self.model.get(key) is not ABSENT)

    @rule(key=KEYS, value=VALUES)
    def setdefault(self, key: Any, value: Any) -> None:
        expected = self.model.get(key)
        if expected is not ABSENT:
            assert self.cache.setdefault(key, value) is expected
        elif self.model.entry_size(key, value) <= self.model.budget:
            self.model.put(key, value)
            assert self.cache.setdefault(key, value) is value
        else:
            with pytest.raises(ValueTooLargeError):
                self.cache.setdefault(key, value)

    @rule(key=KEYS, value=VALUES)
    def add(self, key: Any, value: Any) -> None:
        present = key in self.model.entries and not self.model.entries[key][EXPIRED]
        if not present and self.model.entry_size(key, value) > self.model.budget:
            with pytest.raises(ValueTooLargeError):
                self.cache.add(key, value)
            return
        assert self.cache.add(key, value) is not present
        if not present:
            self.model.put(key, value)

    @rule(key=KEYS, delta=st.integers(-3, 3), initial=st.sampled_from([0, 5, None]))
    def incr(self, key: Any, delta: Any, initial: Any) -> None:
        value, _, expired, _ = self.model.entries.get(key, (ABSENT, 0, True, 0))
        if expired and initial is None:
            with pytest.raises(KeyError):
                self.cache.incr(key, delta, initial=initial)
        elif not expired and type(value) is not int:
            with pytest.raises(TypeError):
                self.cache.incr(key, delta, initial=initial)
        else:
            total = (initial if expired else value) + delta
            if self.model.entry_size(key, total) <= self.model.budget:
                found = self.cache.incr(key, delta, initial=initial)
                assert found == total
                self.model.put(key, found)

    @rule(key=KEYS, expected=VALUES, value=VALUES)
    def compare_and_set(self, key: Any, expected: Any, value: Any) -> None:
        held, _, expired, _ = self.model.entries.get(key, (ABSENT, 0, True, 0))
        same = not expired and held == expected
        if same and self.model.entry_size(key, value) > self.model.budget:
            with pytest.raises(ValueTooLargeError):
                self.cache.compare_and_set(key, expected, value)
            return
        assert self.cache.compare_and_set(key, expected, value) is same
        if same:
            self.model.put(key, value)

    @rule(keys=st.lists(KEYS, max_size=5))
    def get_many(self, keys: Any) -> None:
        found = self.cache.get_many(keys)
        expected = {}
        for key in keys:
            value = self.model.get(key)
            if value is not ABSENT:
                expected[key] = value
        assert list(found) == list(expected)
        assert all(found[key] is expected[key] for key in expected)

    @rule(pairs=st.lists(st.tuples(KEYS, VALUES), max_size=5))
    def put_many(self, pairs: Any) -> None:
        if any(self.model.entry_size(*pair) > self.model.budget for pair in pairs):
            with pytest.raises(ValueTooLargeError):
                self.cache.put_many(pairs)
        else:
            self.cache.put_many(pairs)
            for pair in pairs:
                self.model.put(*pair)

    @rule(keys=st.lists(KEYS, max_size=5))
    def delete_many(self, keys: Any) -> None:
        gone = sum(self.model.pop(key) is not ABSENT for key in keys)
        assert self.cache.delete_many(keys) == gone

    @rule(key=KEYS)
    def time_passes_for(self, key: Any) -> None:
        if key in self.model.entries:  # nobody notices yet
            self.model.entries[key][EXPIRED] = True
            self.cache._set_deadline(key, PAST)

    @rule()
    def expire(self) -> None:
        assert self.cache.expire() == self.model.expire()

    @rule()
    def popitem(self) -> None:
        expected = self.model.popitem()
        if expected is None:
            with pytest.raises(KeyError):
                self.cache.popitem()
        else:
            key, value = self.cache.popitem()
            assert key == expected[0]
            assert value is expected[1]

    @rule(budget=st.integers(1, 4000))
    def resize(self, budget: int) -> None:
        self.model.resize(budget)
        self.cache.resize(budget)

    @rule(rarely=st.integers(0, 9))
    def clear(self, rarely: int) -> None:
        if rarely == 0:
            self.model.clear()
            self.cache.clear()

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "cache"):
            return
        self.cache._check()
        assert self.cache.used_bytes == self.model.used() <= self.model.budget
        assert len(self.cache) == len(self.model.entries)
        found, expected = list(self.cache.items()), self.model.live()
        assert [key for key, _ in found] == [key for key, _ in expected]
        assert all(a is b for (_, a), (_, b) in zip(found, expected, strict=True))
        if self.told is not None:
            heard, expected_events = self.told, self.model.events
            assert len(heard) == len(expected_events)
            for key, value, cause in heard:
                # Entries that leave in one call for one reason may do so in any order.
                at = next(i for i, event in enumerate(expected_events) if event[0] == key)
                assert all(event[2] == cause for event in expected_events[:at])
                _, told_value, told_cause = expected_events.pop(at)
                assert cause == told_cause
                assert value is told_value
            heard.clear()
        self.model.events.clear()


class LruMachine(L1Machine):
    policy = "lru"


class S3FifoMachine(L1Machine):
    policy = "s3fifo"


TestLruMachine = LruMachine.TestCase
TestS3FifoMachine = S3FifoMachine.TestCase
if settings().max_examples >= settings.get_profile("nightly").max_examples:
    TestLruMachine.settings = TestS3FifoMachine.settings = settings(max_examples=10_000)
