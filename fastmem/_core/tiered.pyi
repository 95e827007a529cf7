from collections.abc import Hashable, Iterator
from typing import Any, Final

from fastmem._core.l1 import L1Cache
from fastmem._core.leases import Lease
from fastmem._core.log import Log

CAUSE_CLEARED: Final[int]
CAUSE_DELETED: Final[int]
CAUSE_EXPIRED: Final[int]
CAUSE_SIZE: Final[int]

class TieredL1(L1Cache[Any, Any]):
    log: Log
    limbo: dict[Any, Any]
    limbo_deadline: dict[Any, int]
    demoted: int
    raised: int
    def _join(self, log: Log) -> None: ...
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
        record: tuple[Any, ...],
    ) -> int: ...
    def _admit(
        self,
        key: Hashable,
        value: object,
        size_bytes: int,
        deadline_ns: int,
        put_ns: int,
        encoded: bytes,
        word: int,
    ) -> bool: ...
    def _put_dirty(
        self,
        key: Hashable,
        value: object,
        size_bytes: int,
        deadline_ns: int,
        encoded: bytes,
        guard: tuple[Any, int, int] | Lease | None,
    ) -> int: ...
    def _write_victim(
        self,
        key: Hashable,
        value: object,
        deadline_ns: int,
        encoded: bytes,
        cold: bool,
        record: tuple[Any, ...],
    ) -> int: ...
    def _drop_victim(self, key: Hashable, value: object, cause: int) -> bool: ...
    def _tell(self) -> None: ...
    def _void_leases(self) -> None: ...
    def _clean(
        self,
        key: Hashable,
        value: object,
        deadline_ns: int,
        encoded: bytes,
        cold: bool,
        record: tuple[Any, ...],
    ) -> int: ...
    def _erase(
        self, key: Hashable, encoded: bytes, value: object = ..., word: int = ..., cause: int = ...
    ) -> int: ...
    def _forget(self, key: Hashable, encoded: bytes) -> bool: ...
    def _seal(self, sealed: bool) -> None: ...
    def _abandon(self) -> None: ...
    def _held(self, key: Hashable) -> tuple[Any, int, int, int, int, bool] | None: ...
    def _dirty(self) -> list[Any]: ...
    def _l1_keys(self) -> Iterator[Any]: ...
    def _check(self) -> None: ...
