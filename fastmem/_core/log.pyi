from fastmem._core.reading import LogReader
from fastmem._core.reading import Record as Record

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

class Log(LogReader):
    need: int
    chores: int
    freed: int
    pace_bytes: int
    populate_mark: int
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
    ) -> bool: ...
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
        moved: bool = False,
    ) -> bool: ...
    def delete(self, key: bytes, expected: int | None = None) -> bool: ...
    def delete_cold(self, key: bytes, archived_s: int, expected: int | None = None) -> bool: ...
    def remove(
        self, key: bytes, expected: int, passed: int = 0, dropped: list[bytes] | None = None
    ) -> bool: ...
    def forward(self, key: bytes, expected: int) -> bool: ...
    def shadow(self, key: bytes, version: int, archived_s: int) -> None: ...
    def roll(self, which: int) -> bool: ...
    def take_appended(self) -> int: ...
    def first_freed(self) -> tuple[int, int]: ...
    def drop_freed(self) -> None: ...
