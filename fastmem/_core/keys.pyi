"""Tier keys as canonical bytes: equal keys, and only those, have equal bytes."""

from typing import Final, TypeAlias

_Key: TypeAlias = str | bytes | int | tuple[_Key, ...]

KEY_BYTES_LIMIT: Final[int]
KEY_DEPTH_LIMIT: Final[int]

def encode_key(key: object) -> bytes: ...
def decode_key(data: bytes | bytearray | memoryview) -> _Key: ...
