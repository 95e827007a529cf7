from typing import Any, Self

from fastmem._core.reading import LogReader
from fastmem._core.records import Record
from fastmem._core.windows import MappedFile

class Viewer:
    def __new__(
        cls,
        log: LogReader,
        least: int,
        raw: int,
        array: int,
        shown: dict[bytes, Any],
        files: tuple[dict[int, MappedFile], dict[int, MappedFile]],
        keyed: bool,
    ) -> Self: ...
    def get(self, key: bytes) -> Record | None: ...
    def peek(self, key: bytes) -> Record | None: ...
    def view(self, key: bytes) -> Record | None: ...
    def load(self, key: bytes) -> Any: ...
    def memory(self, key: object) -> memoryview | None: ...
