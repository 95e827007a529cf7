from typing import Self

from fastmem._core.mapping import Mapping

class Record:
    key: bytes
    body: bytes
    word: int
    version: int
    deadline_ns: int
    written_ms: int
    dictionary: int
    raw_len: int
    archived_s: int
    codec: int
    mac_key: int
    kind: int
    flags: int
    live: bool
    read_before: bool

class LogReader:
    corrupt_places: set[int]
    wall_offset_ns: int
    path: str
    closed: bool
    def __new__(
        cls,
        sup: Mapping,
        index: Mapping,
        overflow: Mapping,
        warm_segment_bytes: int,
        warm_salt: int,
        cold_segment_bytes: int,
        cold_salt: int,
        path: str,
    ) -> Self: ...
    def set_room(self, buckets: int, overflow: int) -> None: ...
    def add_segment(self, which: int, number: int, mapping: Mapping) -> None: ...
    def drop_segment(self, which: int, number: int) -> Mapping: ...
    def mapping(self, which: int, number: int) -> Mapping | None: ...
    def close(self) -> None: ...
    def get(self, key: bytes) -> Record | None: ...
    def pointer(self, key: bytes) -> bytes | None: ...
    def peek(self, key: bytes) -> Record | None: ...
    def seek(self, key: bytes) -> int: ...
    def was_touched(self, key: bytes) -> bool: ...
    @property
    def warm_entries(self) -> int: ...
    @property
    def cold_entries(self) -> int: ...
    @property
    def buckets(self) -> tuple[int, int, int, int]: ...
