from abc import ABCMeta
from collections.abc import Hashable
from datetime import timedelta
from typing import Any, TypeAlias

from typing_extensions import TypeVar

from fastmem._core.leases import Lease
from fastmem._core.shell import Shell

_K = TypeVar("_K", bound=Hashable, default=Any)
_V = TypeVar("_V", default=Any)
_TTL: TypeAlias = int | float | timedelta | None

class ConditionalVerbs(Shell[_K, _V], metaclass=ABCMeta):
    def add(self, key: _K, value: _V, ttl_seconds: _TTL = None) -> bool: ...
    def incr(
        self, key: _K, delta: int = 1, *, initial: int | None = 0, ttl_seconds: _TTL = None
    ) -> int: ...
    def compare_and_set(
        self, key: object, expected: object, new: _V, ttl_seconds: _TTL = None
    ) -> bool: ...
    def setdefault(self, key: _K, default: _V = ...) -> _V: ...
    def _fill(self, lease: Lease, value: _V, ttl_seconds: _TTL = None) -> bool: ...
