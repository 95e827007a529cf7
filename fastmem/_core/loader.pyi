from collections.abc import Callable
from datetime import timedelta
from typing import Any, Generic, ParamSpec, Self, TypeAlias, TypeVar

from typing_extensions import disjoint_base

from fastmem._core.flights import Flight
from fastmem._core.l1 import L1Cache

_P = ParamSpec("_P")
_R = TypeVar("_R", covariant=True)
_TTL: TypeAlias = int | float | timedelta | None

@disjoint_base
class Loader(Generic[_P, _R]):
    cache: L1Cache[Any, Any]
    function: Callable[_P, _R]
    def __new__(
        cls,
        function: Callable[_P, _R],
        cache: L1Cache[Any, Any],
        *,
        ttl: _TTL,
        stale_ttl: _TTL,
        error_ttl: _TTL,
        early_refresh: float,
        background: Callable[[Any, Flight, tuple[Any, ...], dict[str, Any]], object],
    ) -> Self: ...
    def enter(self, fresh: Flight) -> Flight: ...
    def cache_has(self, flight: Flight) -> bool: ...
    def land(self, flight: Flight, value: object, took_ns: int) -> None: ...
    def fail(self, flight: Flight, error: BaseException) -> None: ...
    def fly(self, flight: Flight, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None: ...
