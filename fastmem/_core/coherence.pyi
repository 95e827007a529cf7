from typing import Any

from fastmem._core.l1 import L1Cache
from fastmem._core.log import Log

class Coherent(L1Cache[Any, Any]):
    _log: Log
    _invalidations: int
    _epoch: int
    def _expect_others(self) -> None: ...
    def _part(self) -> None: ...
