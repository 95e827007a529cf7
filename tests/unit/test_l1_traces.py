"""Request for request the same hits as a plain LRU, on generated and on recorded traces."""

import json
import lzma
import random
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from fastmem._core.l1 import L1Cache
from fastmem._core.sizing import deep_size

OVERHEAD = 80


@pytest.mark.parametrize("seed", range(3))
def test_a_skewed_trace_hits_where_an_ordered_dict_hits(seed: int) -> None:
    random_ = random.Random(seed)
    budget = 60_000
    cache, used = L1Cache(budget), 0
    model: OrderedDict[str, tuple[Any, int]] = OrderedDict()
    for step in range(60_000):
        key = f"key:{int(random_.paretovariate(0.6)) % 3_000}"
        value = cache.get(key)
        entry = model.get(key)
        assert value is (entry and entry[0]), f"request {step}"
        if entry:
            model.move_to_end(key)
            continue
        value = bytes(random_.randrange(400))
        size = deep_size(key) + deep_size(value) + OVERHEAD
        cache[key] = value
        model[key] = (value, size)
        used += size
        while used > budget:
            used -= model.popitem(last=False)[1][1]
        assert cache.used_bytes == used
    cache._check()


def requests(shared: Path, name: str) -> Sequence[int]:
    """One little-endian uint32 per request, stored as four planes of bytes."""
    planes = lzma.decompress((shared / "traces" / f"{name}.ids.xz").read_bytes())
    count = len(planes) // 4
    mixed = bytearray(len(planes))
    for plane in range(4):
        mixed[plane::4] = planes[plane * count : (plane + 1) * count]
    return array("I", bytes(mixed))


@pytest.mark.parametrize("name", ["lirs_gli", "lirs_cpp", "lirs_multi1", "lirs_zigzag", "corda"])
def test_a_recorded_trace_misses_as_often_as_the_reference(shared_dir: Path, name: str) -> None:
    """With values of one size, a byte budget of n entries is a count of n entries."""
    reference = shared_dir / "traces" / "reference.json"
    points = json.loads(reference.read_text())[name]["count"]
    trace = requests(shared_dir, name)
    assert points
    for point in points.values():
        cache = L1Cache(point["cap"] * (OVERHEAD + deep_size(1) + 100), sizer=lambda _: 100)
        misses = 0
        for request in trace:
            key = request + 1  # 1 to 2**30 - 1 all have one size
            if cache.get(key) is None:
                misses += 1
                cache[key] = True
        assert len(cache) <= point["cap"]
        assert round(misses / len(trace), 5) == point["omr"]["LRU"]
        cache._check()
