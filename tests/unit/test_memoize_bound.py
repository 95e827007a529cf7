"""Bound memoized methods are like any methods; what comes with a memoized function, likewise."""

from __future__ import annotations

import copy
import inspect
import pickle
import weakref
from typing import Any

from fastmem import NOT_LOADED, L1Cache, memoize

cache = L1Cache(1_000_000)


class Owner:
    @memoize(cache)
    def method(self, x: int, *, y: str = "y") -> Any:
        """What it does."""
        return x, y

    @memoize(cache)
    async def coroutine(self, x: int) -> Any:
        return x


def test_weak_methods() -> None:
    owner = Owner()
    weak = weakref.WeakMethod(owner.method)
    bound: Any = weak()
    assert bound == owner.method
    assert bound(1) == (1, "y")
    del bound, owner
    assert weak() is None


def test_weak_references_to_a_bound_method_end_with_it_as_of_any_method() -> None:
    class Plain:
        def method(self) -> None: ...

    for owner in (Owner(), Plain()):
        bound, again, ended = owner.method, owner.method, list[Any]()
        weak: weakref.ref[Any] = weakref.ref(bound, ended.append)
        assert weak() is bound
        assert weak == weakref.ref(again)
        assert hash(weak) == hash(weakref.ref(again))
        assert len(weakref.WeakSet([bound, again])) == 1
        del bound
        assert weak() is None
        assert ended == [weak]
        weak = weakref.ref(owner.method)
        assert weak() is None  # nobody else had it


def test_weak_methods_are_equal_and_tell_of_their_end() -> None:
    owner, ended = Owner(), list[Any]()
    weak = weakref.WeakMethod(owner.method, ended.append)
    assert weak == weakref.WeakMethod(owner.method)
    assert hash(weak) == hash(weakref.WeakMethod(owner.method))
    assert weak != weakref.WeakMethod(owner.coroutine)
    assert weak != weakref.WeakMethod(Owner().method)
    del owner
    assert weak() is None
    assert ended == [weak]


def test_copies_and_pickles() -> None:
    owner = Owner()
    assert copy.copy(owner.method) == owner.method
    for made in (copy.deepcopy(owner.method), pickle.loads(pickle.dumps(owner.method))):  # noqa: S301
        assert made.__func__ is Owner.method
        assert type(made.__self__) is Owner
        assert made.__self__ is not owner


def test_it_has_the_signature_and_doc_of_its_function() -> None:
    owner = Owner()
    assert str(inspect.signature(owner.method)) == "(x: 'int', *, y: 'str' = 'y') -> 'Any'"
    assert str(inspect.signature(owner.coroutine)) == "(x: 'int') -> 'Any'"
    assert owner.method.__doc__ == "What it does."
    assert owner.coroutine.__doc__ is None


def test_counts_and_the_value_not_loaded_go_through_pickle() -> None:
    info = Owner.method.cache_info()
    assert pickle.loads(pickle.dumps(info)) == info  # noqa: S301
    assert pickle.loads(pickle.dumps(NOT_LOADED)) is NOT_LOADED  # noqa: S301
    assert copy.deepcopy(NOT_LOADED) is copy.copy(NOT_LOADED) is NOT_LOADED
