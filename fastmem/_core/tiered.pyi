from collections.abc import Hashable, Iterator
from typing import Any, Final

from fastmem._core.drafts import Draft
from fastmem._core.guards import Guarded
from fastmem._core.leases import Lease
from fastmem._core.records import Record

CAUSE_CLEARED: Final[int]
CAUSE_DELETED: Final[int]
CAUSE_EXPIRED: Final[int]
CAUSE_SIZE: Final[int]

class TieredL1(Guarded):
    def _measure(self, key: Hashable, value: object) -> tuple[int, int]: ...
    def _commit(
        self,
        key: Hashable,
        value: object,
        size_bytes: int,
        deadline_ns: int,
        encoded: bytes,
        guard: tuple[Any, int, int] | Lease | None,
        cold: bool,
        record: Draft,
    ) -> bool: ...
    def _admit(
        self,
        key: Hashable,
        value: object,
        size_bytes: int,
        deadline_ns: int,
        put_ns: int,
        record: Record,
    ) -> bool: ...
    def _put_dirty(
        self,
        key: Hashable,
        value: object,
        size_bytes: int,
        deadline_ns: int,
        encoded: bytes,
        guard: tuple[Any, int, int] | Lease | None,
    ) -> bool: ...
    def _erase(
        self, key: Hashable, encoded: bytes, value: object = ..., word: int = ..., cause: int = ...
    ) -> int: ...
    def _forget(self, key: Hashable, encoded: bytes) -> bool: ...
    def _abandon(self) -> None: ...
    def _held(self, key: Hashable) -> tuple[Any, int, int, int, int, bool] | None: ...
    def _l1_keys(self) -> Iterator[Any]: ...
