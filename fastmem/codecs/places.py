"""Where inside a value something is: the paths that error messages name."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any, NamedTuple

from fastmem.codecs import leaves

__all__ = ["opaque_place", "unpicklable_place"]

TRIES_LIMIT = 10_000  # objects pickled in search of the one that fails
STEPS_LIMIT = 64  # levels searched for it
SHOWN_STEPS = 8  # at either end of a path
SHOWN_CHARS = 40  # of a key

_ATOMS = frozenset({type(None), bool, int, float, str, bytes})
_ATTRIBUTE = ".{}"
_BY_NAME = (type, FunctionType, BuiltinFunctionType, ModuleType)  # pickled by name, or not at all


class _Place(NamedTuple):
    """An object inside a value and how to get there; the text is made only if it is shown."""

    value: Any
    parent: _Place | None
    form: str
    key: Any

    def __str__(self) -> str:
        steps = []
        place: _Place | None = self
        while place is not None:
            steps.append(place)
            place = place.parent
        steps.reverse()
        shown = [step.form.format(_shown(step)) for step in steps]
        if len(shown) > 2 * SHOWN_STEPS + 1:
            hidden = len(shown) - 2 * SHOWN_STEPS - 1
            shown[SHOWN_STEPS + 1 : -SHOWN_STEPS] = [f"...({hidden:,} levels)..."]
        return "".join(shown)


def _root(value: object) -> _Place:
    return _Place(value, None, "value", None)


def _shown(step: _Place) -> str:
    return step.key if step.form == _ATTRIBUTE else _short(step.key)


def _short(key: object) -> str:
    """A key as text, without running anybody's ``__repr__``."""
    if type(key) is int and key.bit_length() > 4 * SHOWN_CHARS:
        return "<int>"
    if type(key) in (str, bytes):
        cut = key[:SHOWN_CHARS]  # type: ignore[index]
        return repr(cut) + ("..." if cut != key else "")
    return repr(key) if type(key) in _ATOMS else f"<{type(key).__name__}>"


def _items(place: _Place) -> Iterator[_Place] | None:
    """The places inside a plain container, in its order; None for any other object."""
    value = place.value
    kind = type(value)
    if kind is dict:
        return _pairs(place, list(value.items()))
    if kind is list or kind is tuple:
        return (_Place(item, place, "[{}]", i) for i, item in enumerate(value))
    if kind is set or kind is frozenset:
        return (_Place(item, place, "{{{}}}", item) for item in list(value))
    return None


def _pairs(place: _Place, pairs: list[tuple[Any, Any]]) -> Iterator[_Place]:
    for key, value in pairs:
        yield _Place(key, place, "<key {}>", key)
        yield _Place(value, place, "[{}]", key)


def opaque_place(value: object) -> tuple[str, str] | None:
    """The place and the type's name of the first object that is not plain; None if all are."""
    seen: set[int] = set()
    waiting: list[Iterator[_Place]] = [iter((_root(value),))]
    while waiting:
        for place in waiting[-1]:
            kind = type(place.value)
            if kind in _ATOMS or id(place.value) in seen:
                continue
            seen.add(id(place.value))
            inside = _items(place)
            if inside is not None:
                waiting.append(inside)
                break
            try:
                leaves.describe(place.value, kind)
            except leaves.NotPlain as error:
                return str(place), str(error)
        else:
            waiting.pop()
    return None


def unpicklable_place(value: object) -> tuple[str, str]:
    """The place and the type's name of an innermost object that pickle fails on.

    Follows the parts that fail, at most 64 levels and 10,000 tries; then what it has reached is
    the answer. A part that fails only because it leads back to one above is not the culprit.
    """
    failing = {id(value): value}  # kept, so that no id is used again
    tries = 0
    path = [_root(value)]
    parts = [_parts(path[0])]
    excused = [False]  # of each object on the path: whether it is a part of it that fails
    while path:
        for part in parts[-1]:
            if type(part.value) in _ATOMS:
                continue
            if id(part.value) in failing:
                excused[-1] = True
                continue
            tries += 1
            if tries > TRIES_LIMIT:
                return _named(path[-1])
            if not _pickles(part.value):
                failing[id(part.value)] = part.value
                excused[-1] = True
                path.append(part)
                parts.append(_parts(part))
                excused.append(False)
                break
        else:
            if not excused[-1]:
                return _named(path[-1])
            path.pop()
            parts.pop()
            excused.pop()
        if len(path) > STEPS_LIMIT:
            return _named(path[-1])
    return _named(_root(value))


def _named(place: _Place) -> tuple[str, str]:
    return str(place), type(place.value).__qualname__


def _pickles(value: object) -> bool:
    try:
        pickle.Pickler(_Sink(), 5, buffer_callback=_drop).dump(value)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - whatever the value's own code raises
        return False
    return True


class _Sink:
    """A file that forgets, so that a search allocates nothing."""

    write: Callable[[Any], int] = len


def _drop(buffer: pickle.PickleBuffer) -> None:
    buffer.release()


def _parts(place: _Place) -> Iterator[_Place]:
    """The objects that pickle would visit inside this one."""
    inside = _items(place)
    if inside is not None:
        yield from inside
        return
    if isinstance(place.value, _BY_NAME):
        return
    try:
        reduced = place.value.__reduce_ex__(5)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - the object itself is the culprit
        return
    if type(reduced) is not tuple:
        return
    _function, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
    for slots in state if type(state) is tuple and len(state) == 2 else (state,):
        if type(slots) is dict:
            for name, value in slots.items():
                if type(name) is str:
                    yield _Place(value, place, _ATTRIBUTE, name)
        elif slots is not None:
            yield _Place(slots, place, ".__getstate__()", None)
    for i, value in enumerate(items or ()):
        yield _Place(value, place, "[{}]", i)
    yield from _pairs(place, list(pairs or ()))
    for i, value in enumerate(arguments if type(arguments) is tuple else ()):
        yield _Place(value, place, ".__reduce__()[1][{}]", i)
