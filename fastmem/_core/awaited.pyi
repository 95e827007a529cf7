from collections.abc import Callable, Coroutine, Generator
from typing import Any, ParamSpec, Self, TypeVar, final

from typing_extensions import disjoint_base

from fastmem._core.memo import Memo

_P = ParamSpec("_P")
_R = TypeVar("_R", covariant=True)
_T = TypeVar("_T", covariant=True)

@disjoint_base
class AsyncMemo(Memo[_P, _R]):
    def __new__(
        cls,
        *args: Any,
        loader: Callable[..., Coroutine[Any, Any, Any]],
        **kwargs: Any,
    ) -> Self: ...

@final
class Pending(Coroutine[Any, Any, _T]):
    def __await__(self) -> Generator[Any, Any, _T]: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> Any: ...
    def send(self, value: Any, /) -> Any: ...
    def throw(self, error: Any, /, *details: Any) -> Any: ...
    def close(self) -> None: ...
