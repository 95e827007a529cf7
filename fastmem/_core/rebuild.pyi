from collections.abc import Callable

from fastmem._core.log import Log

def absorb(
    log: Log,
    which: int,
    number: int,
    at: int,
    counts: list[int],
    vouch: Callable[[bytes, bytes, int], bool],
    vouched: int,
    settled: int,
    tail: int,
    passed: list[tuple[int, int]],
) -> int: ...
def newest(log: Log, key: bytes) -> int: ...
def sweep(log: Log) -> None: ...
def pass_over(log: Log, which: int, at: int, units: int) -> None: ...
def pass_rest(log: Log) -> None: ...
