from collections.abc import Hashable
from typing import Any, overload

from typing_extensions import TypeVar

from fastmem._core.conditional import ConditionalVerbs

_K = TypeVar("_K", bound=Hashable, default=Any)
_V = TypeVar("_V", default=Any)
_D = TypeVar("_D")

class RemovalVerbs(ConditionalVerbs[_K, _V]):
    def delete(self, key: object) -> bool: ...
    @overload
    def pop(self, key: object) -> _V: ...
    @overload
    def pop(self, key: object, default: _D) -> _V | _D: ...
    def popitem(self) -> tuple[_K, _V]: ...
    def clear(self) -> None: ...
    def expire(self) -> int: ...
