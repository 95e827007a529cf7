"""`popitem` shows nobody the pair before it is one."""

import gc

from fastmem._core.l1 import L1Cache


def test_a_listener_finds_no_half_made_pair() -> None:
    cache, found = L1Cache(10_000), []

    @cache.add_listener
    def on_evict(key: str, value: object, cause: str) -> None:
        if cause == "expired":
            pairs = (each for each in gc.get_objects() if type(each) is tuple and len(each) == 2)
            found.append([each for each in pairs if len(gc.get_referents(each)) != 2])

    cache.update(a=1, b=2)
    cache._set_deadline("a", 1)
    pair = cache.popitem()
    assert pair == ("b", 2)
    assert found == [[]]


def test_a_pair_takes_part_in_collections() -> None:
    cache = L1Cache(10_000)
    cache["a"] = []
    assert gc.is_tracked(cache.popitem())
