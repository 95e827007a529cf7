"""Values measured while other threads change them: no crash, and a size within bounds."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from functools import partial
from random import Random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fastmem import L1Cache
from fastmem._core.sizing import deep_size
from tests.crowd import together

FIXED = 10_000  # bytes that no thread touches
ITEMS = 12  # the most that a container holds


class Item:
    """Measured by Python code, in which threads change places; leads to parts of its own."""

    def __init__(self, number: int) -> None:
        self.parts = [float(number), {"number": [number * 1.5]}]

    def __sizeof__(self) -> int:
        return sum(48 for _ in range(3))


class Sub(dict[int, Any]):
    pass


def change_mapping(box: Any, at: int) -> None:
    box[at] = Item(at)
    box.pop((at + 5) % ITEMS, None)
    if at == 0:
        box.clear()


def change_sequence(box: Any, at: int) -> None:
    box.append(Item(at))
    if len(box) > ITEMS - 4:  # one less than this for each of the threads that change it
        box.clear()


def change_set(box: Any, at: int) -> None:
    box.add(Item(at))
    if len(box) > ITEMS - 4:
        box.clear()


def change_attributes(box: Any, at: int) -> None:
    change_mapping(vars(box), at)


def change_array(box: Any, at: int) -> None:
    box[at] = Item(at)


CASES: dict[str, tuple[Callable[[], Any], Callable[[Any, int], None]]] = {
    "dict": (dict, change_mapping),
    "dict subclass": (Sub, change_mapping),
    "OrderedDict": (OrderedDict, change_mapping),
    "list": (list, change_sequence),
    "deque": (deque, change_sequence),
    "set": (set, change_set),
    "attributes": (SimpleNamespace, change_attributes),
    "array": (lambda: np.full(ITEMS, None, dtype=object), change_array),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.usefixtures("eager_switches")
def test_a_container_is_measured_while_threads_change_it(case: str) -> None:
    make, change = CASES[case]
    box = make()
    value = [bytes(FIXED), box, (box, {"again": box})]
    # What the walk met and what came since may both count, so leave room for twice as much.
    most = FIXED + 2 * ITEMS * deep_size(Item(1)) + 5_000
    cache = L1Cache(1_000_000)

    def mutate(seed: int) -> None:
        random = Random(seed)
        for _ in range(4_000):
            change(box, random.randrange(ITEMS))

    def measure(key: int) -> None:
        for _ in range(800):
            assert FIXED < deep_size(value) < most
            cache[key] = value

    assert (
        together(
            [*(partial(mutate, n) for n in range(3)), partial(measure, 1), partial(measure, 2)]
        )
        == []
    )
    cache._check()
    assert 2 * FIXED < cache.used_bytes < 2 * (most + 200)
