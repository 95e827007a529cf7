from collections.abc import Hashable
from typing import Any, Final, Generic

from typing_extensions import TypeVar, disjoint_base

from fastmem._core.entries import Entries

_K = TypeVar("_K", bound=Hashable, default=Any)
_V = TypeVar("_V", default=Any)

# What lookups return in place of a value on a miss.
MISSING: Final[object]

@disjoint_base
class Cache(Entries, Generic[_K, _V]):
    def _takes_plain_keys(self) -> bool: ...
    def _deadline(self, key: object) -> int: ...
