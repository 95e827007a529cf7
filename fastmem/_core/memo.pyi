from collections.abc import Callable
from inspect import Signature
from typing import Any, NamedTuple, ParamSpec, Self, TypeVar, final, overload

from typing_extensions import disjoint_base

from fastmem._core.calls import Calls
from fastmem._core.l1 import L1Cache
from fastmem._core.loader import Loader

_P = ParamSpec("_P")
_R = TypeVar("_R", covariant=True)

class CacheInfo(NamedTuple):
    hits: int
    misses: int
    maxsize: int
    currsize: int

@disjoint_base
class Memo(Loader[_P, _R]):
    __name__: str
    __qualname__: str
    __wrapped__: Callable[_P, _R]
    def __new__(
        cls,
        function: Callable[_P, _R],
        cache: L1Cache[Any, Any],
        calls: Calls | None,
        key_function: Callable[..., Any] | None,
        **loading: Any,
    ) -> Self: ...
    def __call__(self, /, *args: _P.args, **kwargs: _P.kwargs) -> _R: ...
    def __set_name__(self, owner: type, name: str, /) -> None: ...
    @overload
    def __get__(self, instance: None, owner: type | None = None, /) -> Memo[_P, _R]: ...
    @overload
    def __get__(self, instance: object, owner: type | None = None, /) -> BoundMemo: ...
    def cache_key(self, /, *args: Any, **kwargs: Any) -> Any: ...
    def invalidate(self, /, *args: Any, **kwargs: Any) -> bool: ...
    def cache_info(self) -> CacheInfo: ...
    def cache_parameters(self) -> dict[str, Any]: ...
    def cache_clear(self) -> None: ...

@disjoint_base
class MemoMethod(Memo[_P, _R]): ...

@final
class BoundMemo:
    __func__: Memo[..., Any]
    __self__: Any
    @property
    def __signature__(self) -> Signature: ...
    def __init__(self, function: Memo[..., Any], instance: object, /) -> None: ...
    def __call__(self, /, *args: Any, **kwargs: Any) -> Any: ...
    def __getattr__(self, name: str, /) -> Any: ...
    def cache_key(self, /, *args: Any, **kwargs: Any) -> Any: ...
    def invalidate(self, /, *args: Any, **kwargs: Any) -> bool: ...
