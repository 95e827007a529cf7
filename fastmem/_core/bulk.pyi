from abc import ABCMeta
from collections.abc import Hashable, Iterable, Mapping
from datetime import timedelta
from typing import Any, TypeAlias

from typing_extensions import TypeVar

from fastmem._core.removal import RemovalVerbs

_K = TypeVar("_K", bound=Hashable, default=Any)
_V = TypeVar("_V", default=Any)
_T = TypeVar("_T")
_TTL: TypeAlias = int | float | timedelta | None

def keys_of(keys: Iterable[_T]) -> Iterable[_T]: ...
def pairs_of(
    pairs: Mapping[_K, _V] | Iterable[tuple[_K, _V]],
) -> Iterable[tuple[_K, _V]]: ...
def name_pair(error: Exception, number: int, key: object) -> None: ...

class BulkVerbs(RemovalVerbs[_K, _V], metaclass=ABCMeta):
    def get_many(self, keys: Iterable[Any], /) -> dict[_K, _V]: ...
    def put_many(
        self, pairs: Mapping[_K, _V] | Iterable[tuple[_K, _V]], /, ttl_seconds: _TTL = None
    ) -> None: ...
    def delete_many(self, keys: Iterable[Any], /) -> int: ...
