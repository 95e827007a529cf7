"""Request for request the hits of a plain model, and the miss ratios of recorded traces.

The reference ratios come with the traces. They were taken with caches that count objects or bytes;
here the same is asked of byte budgets in which every entry weighs what the trace says.
"""

import json
import lzma
import random
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

from fastmem._core.l1 import L1Cache
from fastmem._core.sizing import deep_size
from tests.stateful.l1_models import MODELS

Policy = Literal["lru", "s3fifo"]
POLICIES: tuple[Policy, ...] = ("lru", "s3fifo")
KEY_BYTES = deep_size(1)  # of every int from 1 to 2**30 - 1
FACTOR = 8  # of sizes: the smallest object must outweigh what an entry costs besides
COUNTED = (
    *("lirs_gli", "lirs_cpp", "lirs_multi1", "lirs_sprite", "lirs_zigzag"),
    *("corda", "cache2k_web07"),
)
SIZED = ("cloudPhysicsIO", "arc_P3_extent")


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(("budget", "keys"), [(9_000, 200), (60_000, 1_500)])
@pytest.mark.parametrize("seed", range(3))
def test_a_skewed_trace_hits_where_the_model_hits(
    policy: Policy, budget: int, keys: int, seed: int
) -> None:
    """Ints hash to themselves, and so few never share a fragment."""
    random_ = random.Random(seed)
    cache, model = L1Cache(budget, policy=policy), MODELS[policy](budget)
    for step in range(15_000):
        key = int(random_.paretovariate(0.6)) % keys
        value: Any = cache.get(key, model)
        assert (value is model) == (key not in model.entries), f"request {step}"
        if value is not model:
            model.use(key)
        if value is model or random_.random() < 0.05:  # some are replaced
            value = bytes(random_.randrange(400))
            cache[key] = value
            model.put(key, value)
        if step % 500 == 0:
            assert list(cache) == model.order()
            cache._check()
    assert cache.used_bytes == model.used()


def unpacked(path: Path) -> Sequence[int]:
    """One little-endian uint32 each, stored as four planes of bytes."""
    planes = lzma.decompress(path.read_bytes())
    count = len(planes) // 4
    mixed = bytearray(len(planes))
    for plane in range(4):
        mixed[plane::4] = planes[plane * count : (plane + 1) * count]
    return array("I", bytes(mixed))


def points(shared: Path, name: str, kind: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads(
        (shared / "traces" / "reference.json").read_text()
    )[name][kind]
    assert found
    return found


def judge(policy: Policy, name: str, size: str, ratio: float, reference: dict[str, float]) -> None:
    if policy == "lru":
        assert abs(ratio - reference["LRU"]) < 6e-6, size
        return
    assert ratio <= reference["S3-FIFO"] + 0.002, size
    if name != "lirs_zigzag" and size != "0.1%":
        assert ratio <= reference["LRU"] + 0.02, size


def overhead(policy: Policy) -> int:
    return MODELS[policy].overhead


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", COUNTED)
def test_a_recorded_trace_misses_as_the_reference_does(
    shared_dir: Path, name: str, policy: Policy
) -> None:
    """With values of one size, a byte budget of n entries is a count of n entries."""
    trace = unpacked(shared_dir / "traces" / f"{name}.ids.xz")
    for size, point in points(shared_dir, name, "count").items():
        weight = overhead(policy) + KEY_BYTES + 100
        cache = L1Cache(point["cap"] * weight, policy=policy, sizer=lambda _: 100)
        misses = 0
        for request in trace:
            if cache.get(request + 1) is None:
                misses += 1
                cache[request + 1] = True
        assert len(cache) <= point["cap"]
        judge(policy, name, size, misses / len(trace), point["omr"])
        cache._check()


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", SIZED)
def test_a_recorded_trace_of_sizes_misses_as_the_reference_does(
    shared_dir: Path, name: str, policy: Policy
) -> None:
    trace = unpacked(shared_dir / "traces" / f"{name}.ids.xz")
    sizes = unpacked(shared_dir / "traces" / f"{name}.sizes.xz")
    besides = overhead(policy) + KEY_BYTES
    for size, point in points(shared_dir, name, "bytes").items():
        budget = point["cap"] * FACTOR
        cache = L1Cache(budget, policy=policy, sizer=lambda value: value * FACTOR - besides)
        misses = 0
        for request in trace:
            if cache.get(request + 1) is None:
                misses += 1
                if sizes[request] <= point["cap"]:
                    cache[request + 1] = sizes[request]
        assert cache.used_bytes <= budget
        judge(policy, name, size, misses / len(trace), point["omr"])
        cache._check()
