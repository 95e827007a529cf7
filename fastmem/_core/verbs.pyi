from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeAlias

from fastmem._core.counts import Counts
from fastmem._core.log import Log
from fastmem._core.plain import PlainCodec

_Key: TypeAlias = str | bytes | int | tuple[Any, ...]

class StoreVerbs:
    def _serve(
        self,
        log: Log,
        codec: PlainCodec,
        counts: Counts,
        provide: Callable[[int], None],
        settle: Callable[[], None],
        *,
        reads: bool,
        writes: bool,
    ) -> None: ...
    def get(self, key: _Key, default: Any = None, *, resident_only: bool = False) -> Any: ...
    def put(
        self, key: _Key, value: object, ttl_seconds: float | timedelta | None = None
    ) -> None: ...
    def delete(self, key: _Key) -> bool: ...
    def __getitem__(self, key: _Key, /) -> Any: ...
    def __contains__(self, key: object, /) -> bool: ...
    def __setitem__(self, key: _Key, value: object, /) -> None: ...
    def __delitem__(self, key: _Key, /) -> None: ...
