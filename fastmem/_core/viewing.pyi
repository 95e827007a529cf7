from typing import Any, Self, final

from fastmem._core.mapping import Mapping
from fastmem._core.reading import LogReader, Record
from fastmem._core.windows import Window

@final
class MappedFile:
    mapping: Mapping
    start: int
    length: int
    body: bytes
    word: int
    def __new__(cls, mapping: Mapping, start: int, length: int, body: bytes) -> Self: ...
    def window(self) -> Window | None: ...

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
