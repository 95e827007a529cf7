from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from fastmem._core.verbs import StoreVerbs

class ManyVerbs(StoreVerbs):
    def get_many(self, keys: Iterable[Any], /) -> dict[Any, Any]: ...
    def put_many(
        self,
        pairs: Mapping[Any, Any] | Iterable[tuple[Any, Any]],
        /,
        ttl_seconds: float | timedelta | None = None,
    ) -> None: ...
    def delete_many(self, keys: Iterable[Any], /) -> int: ...
