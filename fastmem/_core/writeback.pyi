from collections.abc import Hashable
from typing import Any

from fastmem._core.coherence import Coherent
from fastmem._core.drafts import Draft
from fastmem._core.log import Log

class WriteBack(Coherent):
    _limbo: dict[Any, Any]
    _limbo_deadline: dict[Any, int]
    _demoted: int
    _unspilled: int
    _raised: int
    def _join(self, log: Log, max_stale_ns: int | None) -> None: ...
    def _write_victim(
        self,
        key: Hashable,
        value: object,
        deadline_ns: int,
        encoded: bytes,
        cold: bool,
        record: Draft,
    ) -> bool: ...
    def _clean(
        self,
        key: Hashable,
        value: object,
        deadline_ns: int,
        encoded: bytes,
        cold: bool,
        record: Draft,
    ) -> bool: ...
    def _dirty(self) -> list[Any]: ...
    def _seal(self, sealed: bool) -> None: ...
    def _check(self) -> None: ...
