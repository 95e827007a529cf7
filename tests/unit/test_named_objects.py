"""What an object says of itself: its repr, closed and where, not to be pickled."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastmem import Archive, ClosedError, KeyTypeError, L1Cache, SegmentStore, TieredMemorySystem
from tests.crash.directories import engine_of, open_archive, open_segments, open_tiers


def open_cache(_at: Path) -> L1Cache[str, int]:
    return L1Cache(1000)


EVERY = pytest.mark.parametrize("opener", [open_cache, open_segments, open_archive, open_tiers])


@pytest.mark.parametrize(
    ("opener", "of"), [(open_segments, "l2' 16,777,216"), (open_archive, "l3'")]
)
def test_repr_of_a_store(private_tmp: Path, opener: Callable[[Path], Any], of: str) -> None:
    folder, _, budget = of.partition("' ")
    folder = folder.rstrip("'")
    store = opener(private_tmp)
    store.update({i: i for i in range(1234)})
    room = f"{store.stats()['bytes']:,} {f'of {budget} ' if budget else ''}bytes"
    name, path = type(store).__name__, str(private_tmp / folder)
    assert repr(store) == f"<{name} 1,234 entries, {room}, {path!r}>"
    store.close()
    assert repr(store) == f"<{name} closed, {path!r}>"


@EVERY
@pytest.mark.parametrize("make", [pickle.dumps, copy.copy, copy.deepcopy])
def test_none_is_pickled_or_copied(
    private_tmp: Path, opener: Callable[[Path], Any], make: Callable[[Any], object]
) -> None:
    with opener(private_tmp) as store:
        with pytest.raises(TypeError, match=f"cannot pickle or copy '{type(store).__name__}'"):
            make(store)
        store.put("k", 1)
        assert store.get("k") == 1


def test_a_closed_memory_names_itself_and_its_directory(private_tmp: Path) -> None:
    memory = open_tiers(private_tmp)
    memory["k"] = 1
    memory.close()
    uses: list[Callable[[], object]] = [
        lambda: memory.get("k"), lambda: memory["k"], lambda: memory.resize(5), memory.expire,
    ]  # fmt: skip
    for use in uses:
        with pytest.raises(ClosedError, match=f"the memory is closed: '{private_tmp / 'l2'}'"):
            use()
    assert repr(memory) == f"<TieredMemorySystem closed, '{private_tmp / 'l2'}'>"


def test_a_closed_cache_names_itself() -> None:
    class Mine(L1Cache[str, int]):
        pass

    for kind in (L1Cache, Mine):
        cache = kind(1 << 20)
        cache.close()
        with pytest.raises(ClosedError, match=f"the {kind.__name__} is closed"):
            cache.get("k")


def test_a_released_first_page_names_its_directory(private_tmp: Path) -> None:
    store = open_segments(private_tmp)
    page = engine_of(store).files.super
    store.close()
    uses: list[Callable[[], object]] = [
        lambda: page.get("tail"), lambda: page.set("tail", 1), lambda: page.clean,
        lambda: setattr(page, "clean", False), page.owner, page.partner, page.check,
        lambda: page.trust(bytes(16), 0, 0, bytes(16)), lambda: page.note_time(1),
        lambda: page.anchored,
    ]  # fmt: skip
    for use in uses:
        with pytest.raises(ClosedError, match=f"the store is closed: '{private_tmp / 'l2'}'"):
            use()


def test_a_wrong_key_is_refused_in_the_same_words_everywhere(private_tmp: Path) -> None:
    words = "keys are str, bytes, int or tuples of these, not float"
    key: Any = 1.5
    with open_tiers(private_tmp) as memory, open_segments(private_tmp / "alone") as store:
        uses: list[Callable[[], object]] = [
            lambda: memory.get(key), lambda: memory.put(key, 1), lambda: memory.delete(key),
            lambda: key in memory, lambda: store.get(key), lambda: store.put(key, 1),
        ]  # fmt: skip
        for use in uses:
            with pytest.raises(KeyTypeError) as caught:
                use()
            assert str(caught.value) == words
        for nested, place in ((("a", 1.5), "[1]"), (("a", ("b", 1, 1.5)), "[1][2]")):
            key = nested
            for use in uses:
                with pytest.raises(KeyTypeError) as caught:
                    use()
                assert str(caught.value) == f"{words} at key{place}"


@pytest.mark.parametrize("kind", [L1Cache, SegmentStore, Archive, TieredMemorySystem])
def test_the_signature_is_there(kind: type) -> None:
    names = list(inspect.signature(kind).parameters)
    assert names[0] in {"budget_bytes", "path", "l1_size_mb"}
    assert not kind.__doc__.startswith(kind.__name__)


def test_the_signature_of_a_cache_is_what_it_takes() -> None:
    signature = inspect.signature(L1Cache)
    assert str(signature) == "(budget_bytes, *, policy='lru', sizer=None)"
    bound = signature.bind(100, policy="lru", sizer=None)
    assert L1Cache(*bound.args, **bound.kwargs).budget_bytes == 100
