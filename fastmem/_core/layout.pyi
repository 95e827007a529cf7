FORMAT: int
FIRST_FORMAT: int
PAGE_BYTES: int
UNIT_BYTES: int
SEGMENT_HEADER_BYTES: int
INLINE_LIMIT_BYTES: int
KEY_LIMIT_BYTES: int
MAC_BYTES: int
MOST_LEVEL: int
BUCKET_BYTES: int
PROCESSES_BYTES: int
PROCESS_BYTES: int
PROCESS_SLOTS: int
TOUCHED_BITS: int
BODY_ALIGNMENT_BYTES: int
HEADER_UNITS: int
SEAL_UNITS: int
COLD_SEAL_UNITS: int
TIER_BIT: int
LOCATION_MASK: int
VALUE: int
TOMBSTONE: int
SEAL: int
POINTER: int
SHADOWS_L3: int
COMPRESSED: int
ALIGNED: int
COLD_RECORD: int

def fields(structure: str) -> list[tuple[str, int, int]]: ...
def offset(structure: str, field: str) -> int: ...
def form(structure: str, first: str, last: str) -> str: ...
