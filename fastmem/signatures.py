"""What a function's calls are told by: its name, and the parameters that it takes."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

from fastmem._core.cache import MISSING
from fastmem._core.calls import Calls

__all__ = ["calls_of"]


class Function:
    """What the keys of one memoized function begin with."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


def calls_of(function: Callable[..., Any], strict: bool) -> Calls:
    """What makes the keys of a function's calls; with `strict`, keys for the tiers.

    ValueError for a function whose name does not outlive the process, where keys do.
    """
    module = _lasting_module(function.__module__) if strict else function.__module__
    name = f"{module}.{getattr(function, '__qualname__', repr(function))}"
    if strict and ("<" in name or _is_of_an_instance(function)):
        raise ValueError(f"{name} has no name that outlives the process: give memoize a key=")
    token = name if strict else Function(name)
    try:
        parameters = list(_signature(function).parameters.values())
    except ValueError:  # a C function that does not tell
        return Calls(
            token,
            strict=strict,
            names=(),
            unnamed=0,
            defaults=(),
            more_positional=True,
            keywords=(),
            more_keywords=True,
        )
    kinds = [parameter.kind for parameter in parameters]
    only, either = inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
    positional = [parameter for parameter in parameters if parameter.kind in (only, either)]
    return Calls(
        token,
        strict=strict,
        names=tuple(parameter.name for parameter in positional),
        unnamed=kinds.count(only),
        defaults=[_default(parameter) for parameter in positional],
        more_positional=inspect.Parameter.VAR_POSITIONAL in kinds,
        keywords=[
            (parameter.name, _default(parameter))
            for parameter in parameters
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY
        ],
        more_keywords=inspect.Parameter.VAR_KEYWORD in kinds,
    )


def _lasting_module(module: str) -> str:
    """By what name a later process knows a module: for the main program the one that it was run by,
    or its file, since every program has a ``__main__``.
    """
    if module not in ("__main__", "__mp_main__"):
        return module
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name != "__main__":
        return str(spec.name)
    file = getattr(main, "__file__", None)
    return "<interactive>" if file is None else os.path.realpath(file)


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    """What `function` itself takes, whatever the one that it wraps takes or it says of itself."""
    if isinstance(function, FunctionType):
        bare = FunctionType(
            function.__code__, {}, None, function.__defaults__, function.__closure__
        )
        bare.__kwdefaults__ = function.__kwdefaults__
        return inspect.signature(bare)
    return inspect.signature(function, follow_wrapped=False)


def _is_of_an_instance(function: Callable[..., Any]) -> bool:
    """A bound method, or an object that is called: others may bear its name."""
    owner = getattr(function, "__self__", None)
    return not hasattr(function, "__qualname__") or not (
        owner is None or isinstance(owner, type | ModuleType)
    )


def _default(parameter: inspect.Parameter) -> object:
    return MISSING if parameter.default is inspect.Parameter.empty else parameter.default
