from collections.abc import Callable

from fastmem._core.log import Log

def absorb(
    log: Log,
    which: int,
    number: int,
    at: int,
    counts: list[int],
    vouch: Callable[[bytes, bytes], bool],
    vouched: int,
    settled: int,
    tail: int,
) -> int: ...
def sweep(log: Log) -> None: ...
def pass_rest(log: Log) -> None: ...
