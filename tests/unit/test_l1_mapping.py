"""What L1Cache answers: the verbs, None as a value, errors, closing, statistics."""

from __future__ import annotations

from collections.abc import Hashable, MutableMapping
from typing import Any, get_args

import pytest

from fastmem._core.l1 import L1Cache
from fastmem.errors import ClosedError, FastmemError


@pytest.fixture
def cache() -> L1Cache:
    return L1Cache(100_000)


@pytest.mark.parametrize("value", [None, False, 0, "", b"", [], float("nan")])
def test_an_empty_value_is_not_a_miss(cache: L1Cache, value: Any) -> None:
    absent = object()
    assert cache.get("k", absent) is absent
    cache.put("k", value)
    assert cache.get("k", absent) is value
    assert cache["k"] is value
    assert "k" in cache
    assert cache.pop("k", absent) is value
    assert cache.get("k", absent) is absent


def test_reading_creates_nothing(cache: L1Cache) -> None:
    cache.get("a")
    cache.peek("a")
    cache.touch("a")
    cache.pop("a", None)
    assert "a" not in cache
    assert len(cache) == 0
    assert list(cache.items()) == []


def test_misses_raise_or_default(cache: L1Cache) -> None:
    assert cache.get("a") is None
    assert cache.get("a", default=3) == 3
    assert cache.peek("a", 4) == 4
    assert cache.pop("a", 5) == 5
    assert cache.delete("a") is False
    assert cache.touch("a") is False
    for missing in (lambda: cache["a"], lambda: cache.pop("a"), lambda: cache.__delitem__("a")):
        with pytest.raises(KeyError) as raised:
            missing()
        assert raised.value.args == ("a",)
    with pytest.raises(KeyError, match="empty"):
        cache.popitem()


def test_a_tuple_key_is_named_whole_in_its_key_error(cache: L1Cache) -> None:
    with pytest.raises(KeyError) as raised:
        cache["a", 1]
    assert raised.value.args == (("a", 1),)


def test_put_replaces_and_delete_removes(cache: L1Cache) -> None:
    cache["a"] = 1
    cache.put("a", 2)
    assert (cache["a"], len(cache)) == (2, 1)
    del cache["a"]
    assert len(cache) == 0
    cache["a"] = 3
    assert cache.delete("a") is True
    assert cache.used_bytes == 0


def test_order_runs_from_the_next_victim_to_the_most_recent(cache: L1Cache) -> None:
    for key in "abcd":
        cache[key] = key.upper()
    cache.get("a")
    cache["b"] = "B"
    cache.touch("c")
    cache.peek("d")
    assert "d" in cache
    assert list(cache) == ["d", "a", "b", "c"]
    assert cache.popitem() == ("d", "D")
    assert list(cache.values()) == ["A", "B", "C"]


def test_setdefault_stores_only_on_a_miss(cache: L1Cache) -> None:
    assert cache.setdefault("a", 1) == 1
    assert cache.setdefault("a", 2) == 1
    assert cache.setdefault("n") is None
    assert cache.setdefault("n", 5) is None


def test_update_takes_what_dict_update_takes(cache: L1Cache) -> None:
    class Keyed:
        def keys(self) -> Any:
            return ["k"]

        def __getitem__(self, key: Any) -> Any:
            return key * 2

    cache.update({"a": 1}, b=2)
    cache.update([("c", 3)])
    cache.update(Keyed())
    cache.update(z=26)
    assert dict(cache.items()) == {"a": 1, "b": 2, "c": 3, "k": "kk", "z": 26}
    with pytest.raises(ValueError):
        cache.update([(1, 2, 3)])  # type: ignore[list-item]


def test_views_behave_like_those_of_a_dict(cache: L1Cache) -> None:
    cache.update(a=1, b=2)
    assert cache.keys() & {"a", "x"} == {"a"}
    assert cache.items() == {("a", 1), ("b", 2)}
    keys = cache.keys()
    assert "a" in keys
    assert "x" not in keys
    assert 2 in cache.values()
    assert 3 not in cache.values()
    assert ("a", 1) in cache.items()
    assert ("a", 2) not in cache.items()
    assert "a" not in cache.items()  # type: ignore[operator]
    assert len(cache.values()) == 2
    assert cache.stats()["hits"] == 0


def test_caches_compare_as_mappings_and_do_not_hash(cache: L1Cache) -> None:
    other = L1Cache(5_000)
    cache.update(a=1)
    other.update(a=1)
    assert cache == other == {"a": 1}
    assert cache != {"a": 2}
    assert cache != 3
    assert not isinstance(cache, Hashable)


def test_statistics_count_what_happened() -> None:
    cache = L1Cache(1_000)
    cache["a"] = b"x" * 500
    cache["b"] = b"x" * 500
    cache.get("a")
    cache.get("b")
    cache["b"]
    cache.peek("b")
    assert cache.stats() == {
        "entries": 1,
        "bytes": cache.used_bytes,
        "budget": 1_000,
        "hits": 2,
        "misses": 1,
        "expirations": 0,
        "evictions": {"size": 1},
        "errors": {"listener": 0, "sizer": 0, "too_large": 0},
        "untold": {"entries": 0, "bytes": 0},
    }


def test_a_closed_cache_says_so_to_everything() -> None:
    with L1Cache(1_000) as cache:
        cache["a"] = 1
        view = cache.items()
    assert cache.closed
    assert repr(cache) == "<L1Cache closed>"
    for use in (
        lambda: cache.get("a"),
        lambda: cache["a"],
        lambda: cache.put("a", 1),
        lambda: cache.peek("a"),
        lambda: cache.pop("a", None),
        lambda: cache.popitem(),
        lambda: cache.delete("a"),
        lambda: cache.touch("a"),
        lambda: cache.setdefault("a", 1),
        lambda: cache.update(a=1),
        lambda: "a" in cache,
        lambda: len(cache),
        lambda: list(cache),
        lambda: list(view),
        lambda: cache.clear(),
        lambda: cache.expire(),
        lambda: cache.resize(5),
        lambda: cache.stats(),
        lambda: cache.__enter__(),
        lambda: cache.add("a", 1),
        lambda: cache.incr("a"),
        lambda: cache.compare_and_set("a", 1, 2),
        lambda: cache.get_many(["a"]),
        lambda: cache.get_many([]),
        lambda: cache.put_many({"a": 1}),
        lambda: cache.delete_many([]),
        lambda: cache.add_listener(print),
    ):
        with pytest.raises(ClosedError):
            use()
    cache.close()
    cache._check()


@pytest.mark.parametrize("budget", [0, -1])
def test_a_budget_must_be_positive(budget: int) -> None:
    with pytest.raises(ValueError):
        L1Cache(budget)


@pytest.mark.parametrize("budget", [1.5, "1", None, True])
def test_a_budget_must_be_an_int(budget: int) -> None:
    with pytest.raises(TypeError):
        L1Cache(budget)


def test_constructor_names_the_choices() -> None:
    with pytest.raises(ValueError, match="lru"):
        L1Cache(10, policy="fifo")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="int"):
        L1Cache(10, sizer=3)  # type: ignore[arg-type]
    assert L1Cache(2**200).budget_bytes == 2**61


def test_a_subclass_may_take_arguments_of_its_own() -> None:
    class Named(L1Cache):
        def __init__(self, name: str, **kwargs: Any) -> None:
            self.name = name
            super().__init__(1_000, **kwargs)

    cache = Named("x")
    cache["a"] = 1
    assert (cache.name, cache["a"], repr(cache)[:6]) == ("x", 1, "<Named")


def test_a_subclass_that_forgets_init_has_no_room() -> None:
    class Forgets(L1Cache):
        def __init__(self) -> None:
            pass

    with pytest.raises(FastmemError):
        Forgets().put("a", 1)


def test_it_does_not_pretend_to_be_picklable(cache: L1Cache) -> None:
    import pickle

    with pytest.raises(TypeError):
        pickle.dumps(cache)


def test_it_is_generic_in_annotations_and_a_mapping_everywhere(cache: L1Cache) -> None:
    assert get_args(L1Cache[str, int]) == (str, int)
    assert isinstance(cache, MutableMapping)
    cache["a"] = 1
    match cache:
        case {"a": found}:
            assert found == 1
        case _:
            raise AssertionError
