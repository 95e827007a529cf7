"""The verbs that look before they write, and those over many keys."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest

from fastmem._core.l1 import L1Cache
from fastmem.errors import ValueTooLargeError

BUDGET = 20_000


@pytest.fixture
def cache() -> Any:
    return L1Cache(BUDGET)


def state(cache: L1Cache) -> Any:
    return list(cache.items()), cache.used_bytes, cache.stats()["evictions"]


# -- add


def test_add_stores_only_what_is_absent(cache: L1Cache) -> None:
    assert cache.add("a", None) is True
    assert cache.add("a", 2) is False
    assert cache["a"] is None


def test_add_leaves_recency_and_deadline_of_what_is_there(cache: L1Cache) -> None:
    cache.put("a", 1)
    cache.put("b", 2)
    cache.add("a", 3, ttl_seconds=1e-9)
    assert list(cache) == ["a", "b"]
    assert cache["a"] == 1


def test_add_takes_the_place_of_an_expired_entry(cache: L1Cache) -> None:
    cache.put("a", 1)
    cache._set_deadline("a", 1)
    assert cache.add("a", 2) is True
    assert cache["a"] == 2
    assert cache.stats()["expirations"] == 1


def test_add_measures_nothing_when_the_key_is_there() -> None:
    cache = L1Cache[str, Any](BUDGET, sizer=lambda value: value)
    cache.add("a", 10)
    assert cache.add("a", "no size") is False


def test_add_gives_way_to_what_its_sizer_stored() -> None:
    def sizer(value: Any) -> Any:
        if value == "outer":
            sized.put("a", "inner")
        return 10

    sized = L1Cache(BUDGET, sizer=sizer)
    assert sized.add("a", "outer") is False
    assert sized["a"] == "inner"


# -- incr


def test_incr_counts_from_initial(cache: L1Cache) -> None:
    assert cache.incr("a") == 1
    assert cache.incr("a", 4) == 5
    assert cache.incr("a", -10) == -5
    assert cache.incr("b", 2, initial=100) == 102
    assert cache.incr("big", 1, initial=2**200) == 2**200 + 1
    assert cache.stats()["hits"] == cache.stats()["misses"] == 0


def test_incr_of_a_missing_key_may_be_an_error(cache: L1Cache) -> None:
    with pytest.raises(KeyError) as raised:
        cache.incr("a", initial=None)
    assert raised.value.args == ("a",)
    assert "a" not in cache


@pytest.mark.parametrize("value", [None, True, 1.0, "1", b"1", [1]])
def test_incr_of_what_is_no_int_names_key_and_type(cache: L1Cache, value: Any) -> None:
    cache["a"] = value
    before = state(cache)
    with pytest.raises(TypeError, match=f"'a' holds no int but {type(value).__name__}"):
        cache.incr("a")
    assert state(cache) == before


@pytest.mark.parametrize("bad", [None, 1.5, True, "1"])
def test_delta_and_initial_are_ints(cache: L1Cache, bad: Any) -> None:
    with pytest.raises(TypeError, match="delta must be an int"):
        cache.incr("a", bad)
    if bad is not None:
        with pytest.raises(TypeError, match="initial must be an int"):
            cache.incr("a", initial=bad)
    assert len(cache) == 0


def test_incr_keeps_the_deadline_and_gives_one_only_to_what_is_new(cache: L1Cache) -> None:
    cache.put("kept", 1, ttl_seconds=3600)
    cache.put("none", 1)
    before = cache._deadline("kept")
    cache.incr("kept")
    cache.incr("none", ttl_seconds=60)
    cache.incr("new", ttl_seconds=7200)
    assert "none" in cache
    assert cache._deadline("kept") == before
    assert cache._deadline("none") == 0
    assert cache._deadline("new") > before


def test_incr_makes_most_recent_and_replaces_expired_counts(cache: L1Cache) -> None:
    cache.put("a", 7)
    cache.put("b", 1)
    cache.incr("a")
    assert list(cache) == ["b", "a"]
    cache._set_deadline("a", 1)
    assert cache.incr("a") == 1


def test_incr_starts_anew_when_its_sizer_changes_the_count() -> None:
    def sizer(value: Any) -> Any:
        if value == 1 and "a" not in sized:
            sized.put("a", 50)
        return 10

    sized = L1Cache(BUDGET, sizer=sizer)
    assert sized.incr("a") == 51


def test_incr_against_a_sizer_that_always_interferes_ends() -> None:
    def sizer(value: Any) -> Any:
        if not busy:
            busy.append(1)
            sized.put("a", value + 10_000)
            busy.clear()
        return 10

    busy: list[int] = []
    sized = L1Cache(BUDGET, sizer=sizer)
    with pytest.raises(RuntimeError, match="changed 1000 times"):
        sized.incr("a")
    sized._check()


# -- compare_and_set


def test_compare_and_set_replaces_only_what_was_expected(cache: L1Cache) -> None:
    cache["a"] = [1]
    assert cache.compare_and_set("a", [2], "no") is False
    assert cache.compare_and_set("a", [1], "yes") is True
    assert cache["a"] == "yes"
    assert cache.compare_and_set("b", None, 1) is False
    assert "b" not in cache


def test_compare_and_set_asks_for_identity_first(cache: L1Cache) -> None:
    class Never:
        def __eq__(self, other: object) -> bool:
            raise AssertionError

    nan, never = float("nan"), Never()
    for value in (nan, never):
        cache["a"] = value
        assert cache.compare_and_set("a", value, 1) is True
    cache["a"] = nan
    assert cache.compare_and_set("a", float("nan"), 1) is False
    cache["a"] = 1
    assert cache.compare_and_set("a", True, 2) is True


def test_compare_and_set_keeps_or_moves_the_deadline(cache: L1Cache) -> None:
    cache.put("a", 1, ttl_seconds=3600)
    before = cache._deadline("a")
    cache.compare_and_set("a", 1, 2)
    assert cache._deadline("a") == before
    cache.compare_and_set("a", 2, 3, ttl_seconds=7200)
    assert cache._deadline("a") > before
    cache.compare_and_set("a", 3, 4, ttl_seconds=math.inf)
    assert cache._deadline("a") == 0


class ActsOnce:
    def __init__(self, action: Any, answer: bool = True) -> None:
        self.action, self.answer = action, answer

    def __eq__(self, other: object) -> bool:
        action, self.action = self.action, None
        if action:
            action()
        return self.answer


@pytest.mark.parametrize("answer", [True, False])
def test_compare_and_set_never_replaces_what_it_did_not_compare(
    cache: L1Cache, answer: Any
) -> None:
    cache["a"] = ActsOnce(lambda: cache.put("a", "other"), answer)
    assert cache.compare_and_set("a", "expected", "new") is False
    assert cache["a"] == "other"


def test_compare_and_set_compares_again_what_took_the_place(cache: L1Cache) -> None:
    cache["a"] = ActsOnce(lambda: cache.put("a", "expected"), False)
    assert cache.compare_and_set("a", "expected", "new") is True
    assert cache["a"] == "new"


@pytest.mark.parametrize("leave", ["delete", "clear", "expire"])
def test_compare_and_set_of_what_its_comparison_removed(cache: L1Cache, leave: str) -> None:
    def expire() -> None:
        cache._set_deadline("a", 1)

    action = {"delete": lambda: cache.delete("a"), "clear": cache.clear, "expire": expire}[leave]
    cache["a"] = ActsOnce(action)
    assert cache.compare_and_set("a", "expected", "new") is False
    assert "a" not in cache
    cache._check()


def test_compare_and_set_passes_on_what_the_comparison_raises(cache: L1Cache) -> None:
    class Raises:
        def __eq__(self, other: object) -> bool:
            raise ZeroDivisionError

    cache["a"] = Raises()
    before = state(cache)
    with pytest.raises(ZeroDivisionError):
        cache.compare_and_set("a", 1, 2)
    assert state(cache) == before


def test_compare_and_set_of_a_value_that_always_changes_ends(cache: L1Cache) -> None:
    class Churns:
        def __eq__(self, other: object) -> bool:
            cache["a"] = Churns()
            return True

    cache["a"] = Churns()
    with pytest.raises(RuntimeError, match="changed 1000 times"):
        cache.compare_and_set("a", 1, 2)
    cache._check()


TOO_LARGE = b"x" * BUDGET


@pytest.mark.parametrize(
    "act",
    [
        lambda c: c.add("new", TOO_LARGE),
        lambda c: c.compare_and_set("a", 1, TOO_LARGE),
        lambda c: c.incr("a", 1 << 8 * BUDGET),
        lambda c: c.put_many([("a", 2), ("b", 3), ("c", TOO_LARGE)]),
    ],
    ids=["add", "compare_and_set", "incr", "put_many"],
)
def test_a_value_too_large_changes_nothing(cache: L1Cache, act: Any) -> None:
    cache["a"] = 1
    before = state(cache)
    with pytest.raises(ValueTooLargeError):
        act(cache)
    assert state(cache) == before
    assert cache.stats()["errors"]["too_large"] == 1


@pytest.mark.parametrize("ttl", [0, -1, float("nan")])
@pytest.mark.parametrize(
    "act",
    [
        lambda c, ttl: c.add("a", 1, ttl),
        lambda c, ttl: c.incr("a", ttl_seconds=ttl),
        lambda c, ttl: c.compare_and_set("a", 1, 2, ttl),
        lambda c, ttl: c.put_many({"a": 1}, ttl),
    ],
    ids=["add", "incr", "compare_and_set", "put_many"],
)
def test_a_bad_ttl_is_refused_even_where_it_would_not_be_used(
    cache: L1Cache, act: Any, ttl: Any
) -> None:
    cache["there"] = 1
    with pytest.raises(ValueError, match="ttl_seconds"):
        act(cache, ttl)
    assert list(cache) == ["there"]


# -- many


def test_get_many_returns_what_is_there(cache: L1Cache) -> None:
    cache.put_many({"a": 1, "b": None, "c": 3})
    cache._set_deadline("c", 1)
    assert cache.get_many(iter(["b", "x", "a", "c", "b"])) == {"b": None, "a": 1}
    assert list(cache) == ["a", "b"]
    assert (cache.stats()["hits"], cache.stats()["misses"]) == (3, 2)


def test_get_many_of_unhashable_keys_raises(cache: L1Cache) -> None:
    with pytest.raises(TypeError):
        cache.get_many([[]])


def test_put_many_takes_mappings_and_pairs_with_one_ttl(cache: L1Cache) -> None:
    cache.put_many({"a": 1})
    cache.put_many((("b", 2), ("a", 3)), ttl_seconds=60)
    assert dict(cache) == {"a": 3, "b": 2}
    assert cache._deadline("a") == cache._deadline("b") != 0


def failing_pairs() -> Iterator[Any]:
    yield "a", 2
    yield "b", 3
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("pairs", "error"),
    [
        (failing_pairs, ZeroDivisionError),
        (lambda: [("a", 2), ("b", 3), ([], 4)], TypeError),
        (lambda: [("a", 2), ("b", 3), 4], TypeError),
        (lambda: [("a", 2), ("b", 3), ("c", -1)], ValueError),
    ],
    ids=["iterable", "unhashable", "no pair", "sizer"],
)
def test_put_many_changes_nothing_when_a_later_pair_is_bad(pairs: Any, error: Any) -> None:
    cache = L1Cache(BUDGET, sizer=lambda value: value)
    cache["a"] = 1
    before = state(cache)
    with pytest.raises(error):
        cache.put_many(pairs())
    assert state(cache) == before


def test_put_many_says_how_many_it_stored_when_an_eq_ends_it(cache: L1Cache) -> None:
    class Key:
        def __hash__(self) -> int:
            return 3

        def __eq__(self, other: object) -> bool:
            raise ZeroDivisionError

    cache[Key()] = "there"
    with pytest.raises(ZeroDivisionError) as raised:
        cache.put_many([("a", 1), ("b", 2), (Key(), 3), ("d", 4)])
    assert raised.value.__notes__ == ["put_many stored 2 of 4 pairs"]
    assert cache.get_many(["a", "b", "d"]) == {"a": 1, "b": 2}
    cache._check()


def test_delete_many_counts_what_was_there(cache: L1Cache) -> None:
    cache.put_many({i: i for i in range(5)})
    cache._set_deadline(2, 1)
    assert cache.delete_many([0, 2, 4, 4, 9]) == 2
    assert list(cache) == [1, 3]


def test_delete_many_changes_nothing_when_a_key_is_unhashable(cache: L1Cache) -> None:
    cache.put_many({"a": 1, "b": 2})
    with pytest.raises(TypeError):
        cache.delete_many(["a", []])
    assert len(cache) == 2


@pytest.mark.parametrize("word", ["keys", b"keys"])
def test_one_word_is_no_iterable_of_keys(cache: L1Cache, word: Any) -> None:
    for act in (cache.get_many, cache.delete_many):
        with pytest.raises(TypeError, match="not one"):
            act(word)
