"""Compiled classes made empty, and their methods given None: Python's errors, never a crash."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import subprocess
import sys

import pytest

import fastmem._core

HEAP_TYPE = 1 << 9

SWEEP = """
import importlib, sys
sys.unraisablehook = lambda _: None  # what a method raises in the middle of C, where it cannot

def attempt(call, *args):
    try:
        return call(*args)
    except Exception:
        return None

unit, name = sys.argv[1:]
kind = getattr(importlib.import_module(unit), name)
for make in (kind, lambda: kind.__new__(kind)):
    for method in dir(kind):
        if method in ("__class__", "__dir__", "__init_subclass__", "__subclasshook__"):
            continue
        for args in ((), (None,), (None, None), (None, None, None), (1,), (None, (), {})):
            made = attempt(make)
            if made is None:
                break
            print(name, method, args, file=sys.stderr, flush=True)
            found = attempt(getattr, made, method)
            if callable(found):
                attempt(found, *args)
            attempt(repr, made)
print("survived")
"""


def compiled_classes() -> list[tuple[str, str]]:
    found = []
    for unit in pkgutil.iter_modules(fastmem._core.__path__, "fastmem._core."):
        for name, kind in vars(importlib.import_module(unit.name)).items():
            if not inspect.isclass(kind) or kind.__module__ != unit.name:
                continue
            if not kind.__flags__ & HEAP_TYPE:
                found.append((unit.name, name))
    return found


def test_there_are_compiled_classes() -> None:
    assert ("fastmem._core.memo", "BoundMemo") in compiled_classes()


@pytest.mark.parametrize(("unit", "name"), compiled_classes())
def test_nothing_done_to_an_empty_one_crashes(unit: str, name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SWEEP, unit, name],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    last = done.stderr.splitlines()[-1:]
    assert (done.returncode, done.stdout) == (0, "survived\n"), last


MEMOIZED = """
import weakref
from fastmem import L1Cache, memoize

cache = L1Cache(1_000_000)

@memoize(cache)
def function(x):
    return x

class Owner:
    @memoize(cache)
    def method(self, x):
        return x

bound = Owner().method
"""


@pytest.mark.parametrize(
    "wrong",
    [
        "type(bound)().invalidate(1)",
        "type(bound).__new__(type(bound))(1)",
        "type(bound).__new__(type(bound)).invalidate(1)",
        "type(bound).__new__(type(bound)).cache_key(1)",
        "type(bound)(None, 1)",
        "type(function).__new__(type(function))(1)",
        "type(function).__new__(type(function)).cache_info()",
        "function.enter(None)",
        "function.cache_has(None)",
        "function.land(None, 1, 2)",
        "function.fail(None, ValueError())",
        "function.fly(None, (), {})",
        "cache._fill(None, 1)",
    ],
)
def test_what_is_nothing_is_refused(wrong: str) -> None:
    program = f"{MEMOIZED}\ntry:\n    {wrong}\nexcept TypeError:\n    print('TypeError')\n"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout) == (0, "TypeError\n"), done.stderr
