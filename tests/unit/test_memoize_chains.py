"""Loads that wait for one another in long chains."""

from __future__ import annotations

import subprocess
import sys

CHAIN = """
import asyncio, sys, threading
from fastmem import L1Cache, memoize

LENGTH = int(sys.argv[1])
cache = L1Cache(1_000_000_000)

async def main():
    go = asyncio.Event()

    @memoize(cache)
    async def link(n):
        if n == 0:
            await go.wait()
            return 0
        return await link(n - 1) + 1

    @memoize(cache)
    async def another():
        return await link(LENGTH)

    first = asyncio.create_task(link(LENGTH))
    while link.cache_info().misses <= LENGTH:
        await asyncio.sleep(0)
    second = asyncio.create_task(another())
    while link.cache_info().misses <= LENGTH + 1:
        await asyncio.sleep(0)
    go.set()
    print(await first, await second)

threading.stack_size(256 * 1024)
thread = threading.Thread(target=lambda: asyncio.run(main()))
thread.start()
thread.join()
"""


def test_a_chain_of_loads_may_be_longer_than_the_stack_of_c() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHAIN, "5000"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "5000 5000\n"), done.stderr
