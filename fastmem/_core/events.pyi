from collections.abc import Callable, Hashable
from typing import Any, Final, Literal, TypeAlias

from typing_extensions import TypeVar, disjoint_base

from fastmem._core.cache import Cache

_K = TypeVar("_K", bound=Hashable, default=Any)
_V = TypeVar("_V", default=Any)
_Cause: TypeAlias = Literal["size", "expired", "replaced", "deleted", "cleared"]
_L = TypeVar("_L", bound=Callable[[Any, Any, _Cause], object])

# The value of an event whose value only lower tiers held.
NOT_LOADED: Final[object]

@disjoint_base
class Announcer(Cache[_K, _V]):
    _listening: bool
    def add_listener(self, on_evict: _L, /) -> _L: ...
    def remove_listener(self, on_evict: Callable[[Any, Any, _Cause], object], /) -> None: ...
