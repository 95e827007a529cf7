from typing import Self

from fastmem._core.mapping import Mapping

WARM: int
COLD: int
NEED_SEGMENT: int
NEED_OVERFLOW: int
NEED_COLD_SEGMENT: int
CHORE_BUCKETS: int
CHORE_OVERFLOW: int
CHORE_PACE: int
CHORE_POPULATE: int

class LogNeeds(Exception):
    what: int
    def __init__(self, what: int) -> None: ...

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

class Log:
    freed: list[bytes]
    corrupt_places: set[int]
    corrupt: int
    need: int
    chores: int
    pace_bytes: int
    populate_mark: int
    wall_offset_ns: int
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
    ) -> Self: ...
    def set_room(self, buckets: int, overflow: int) -> None: ...
    def add_segment(self, which: int, number: int, mapping: Mapping) -> None: ...
    def drop_segment(self, which: int, number: int) -> Mapping: ...
    def mapping(self, which: int, number: int) -> Mapping | None: ...
    def close(self) -> None: ...
    def get(self, key: bytes) -> Record | None: ...
    def seek(self, key: bytes) -> int: ...
    def was_touched(self, key: bytes, forget: bool = True) -> bool: ...
    def put(
        self,
        key: bytes,
        body: bytes,
        codec: int,
        deadline_ns: int,
        written_ms: int,
        kind: int = ...,
        flags: int = 0,
        mac_key: int = 0,
        expected: int | None = None,
    ) -> int: ...
    def put_cold(
        self,
        key: bytes,
        body: bytes,
        codec: int,
        deadline_ns: int,
        written_ms: int,
        kind: int,
        flags: int,
        mac_key: int,
        dictionary: int,
        raw_len: int,
        archived_s: int,
        expected: int | None = None,
    ) -> int: ...
    def delete(self, key: bytes) -> bool: ...
    def remove(self, key: bytes, expected: int) -> bool: ...
    def forward(self, key: bytes, expected: int) -> int: ...
    def shadow(self, key: bytes, version: int, archived_s: int) -> None: ...
    def roll(self, which: int) -> bool: ...
    def take_appended(self) -> int: ...
    @property
    def warm_entries(self) -> int: ...
    @property
    def cold_entries(self) -> int: ...
    @property
    def buckets(self) -> tuple[int, int, int, int]: ...
