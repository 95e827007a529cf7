"""`L1Cache`: Python objects within a byte budget, by exact LRU or S3-FIFO."""

from collections.abc import Callable, Hashable
from datetime import timedelta
from typing import Any, Final, Literal, TypeAlias, overload

from typing_extensions import TypeVar

from fastmem._core.bulk import BulkVerbs

_K = TypeVar("_K", bound=Hashable, default=Any)  # so that L1Cache(budget) needs no annotation
_V = TypeVar("_V", default=Any)
_D = TypeVar("_D")
_TTL: TypeAlias = int | float | timedelta | None

POLICIES: Final[tuple[str, ...]]
MISSING: Final[object]

class L1Cache(BulkVerbs[_K, _V]):
    def __init__(
        self,
        budget_bytes: int,
        *,
        policy: Literal["lru", "s3fifo"] = "lru",
        sizer: Callable[[_V], int] | None = None,
    ) -> None: ...
    @overload
    def get(self, key: object, default: None = None) -> _V | None: ...
    @overload
    def get(self, key: object, default: _D) -> _V | _D: ...
    @overload
    def peek(self, key: object, default: None = None) -> _V | None: ...
    @overload
    def peek(self, key: object, default: _D) -> _V | _D: ...
    def put(self, key: _K, value: _V, ttl_seconds: _TTL = None) -> None: ...
    def touch(self, key: object, ttl_seconds: _TTL = None) -> bool: ...
    def stats(self) -> dict[str, Any]: ...
    def __getitem__(self, key: object, /) -> _V: ...
    def __setitem__(self, key: _K, value: _V, /) -> None: ...
    def __delitem__(self, key: object, /) -> None: ...
