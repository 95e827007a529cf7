from fastmem._core.chores import LogChores
from fastmem._core.drafts import Draft
from fastmem._core.records import Record as Record

WARM: int
COLD: int
NEED_SEGMENT: int
NEED_OVERFLOW: int
NEED_COLD_SEGMENT: int
NEED_LOCK: int
NEED_MAPPING: int
NEED_REPAIR: int
CHORE_BUCKETS: int
CHORE_OVERFLOW: int
CHORE_PACE: int
CHORE_POPULATE: int
CHORE_PAY: int

class LogNeeds(Exception):
    what: int
    def __init__(self, what: int) -> None: ...

class Log(LogChores):
    need: int
    def put(
        self, key: bytes, record: Draft, expected: int | None = None, moved: bool = False
    ) -> bool: ...
    def put_cold(
        self, key: bytes, record: Draft, expected: int | None = None, moved: bool = False
    ) -> bool: ...
    def delete(self, key: bytes, expected: int | None = None) -> bool: ...
    def delete_cold(self, key: bytes, archived_s: int, expected: int | None = None) -> bool: ...
    def remove(
        self, key: bytes, expected: int, passed: int = 0, dropped: list[bytes] | None = None
    ) -> bool: ...
    def forward(self, key: bytes, expected: int) -> bool: ...
    def shadow(self, key: bytes, version: int, archived_s: int) -> None: ...
    def roll(self, which: int) -> bool: ...
    def pass_lock(self) -> None: ...
