from collections.abc import Callable
from datetime import timedelta
from typing import Any

from fastmem._core.counts import Counts
from fastmem._core.plain import PlainCodec
from fastmem._core.tiered import TieredL1

class Through(TieredL1):
    def _serve(
        self,
        codec: PlainCodec,
        warm: Counts,
        cold: Counts,
        dropped: list[bytes],
        provide: Callable[[int], None],
        settle: Callable[[], None],
        *,
        reads: bool,
        writes: bool,
    ) -> None: ...
    def get(self, key: object, default: Any = None, *, resident_only: bool = False) -> Any: ...
    def put(self, key: Any, value: Any, ttl_seconds: float | timedelta | None = None) -> None: ...
    def _store_coded(
        self, key: Any, value: Any, deadline_ns: int, coded: tuple[bytes, int, int, bytes]
    ) -> None: ...
    def __setitem__(self, key: Any, value: Any, /) -> None: ...
