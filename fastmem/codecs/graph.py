"""Plain values of any shape as a flat table of nodes; no recursion, no pickle.

Body of codec GRAPH: MessagePack ``[root, [node, ...]]``. A node is ``[kind, item, ...]``. The root
and the items of containers are either atoms (nil, bool, int of 64 bits, float, str, bytes), which
stand for themselves, or references ``[number of a node]``: what is shared in the value is one node.

    LIST, TUPLE, SET, FROZENSET    the items
    DICT                           key, value, key, value, ...
    everything else                see leaves.py

Tuples and frozensets refer only to nodes before them, so that each can be built in one go; lists,
dicts and sets are made empty first and filled last, so that cycles through them close.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import chain
from types import NoneType
from typing import Any

import msgspec.msgpack

from fastmem.codecs import leaves
from fastmem.codecs.leaves import Kind

__all__ = ["decode", "encode"]

HASHED_DEPTH_LIMIT = 1_000
HASHED_ITEMS_LIMIT = 100_000_000

_ATOMS = frozenset({NoneType, bool, int, float, str, bytes})
_IN_PROGRESS = -1

# Plain ints: members of an IntEnum are several times slower to compare.
_LIST, _TUPLE, _DICT, _SET, _FROZENSET = map(
    int, (Kind.LIST, Kind.TUPLE, Kind.DICT, Kind.SET, Kind.FROZENSET)
)
_MUTABLE: dict[type, int] = {list: _LIST, dict: _DICT, set: _SET}
_IMMUTABLE: dict[type, int] = {tuple: _TUPLE, frozenset: _FROZENSET}


def _refuse_extension(code: int, data: memoryview) -> object:
    raise ValueError(f"unknown MessagePack extension {code} of {len(data)} bytes")


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(ext_hook=_refuse_extension).decode


class _Hashing:
    """Bounds the hashing of tuples of tuples, which Python does by unchecked recursion in C.

    A tuple as deep as memory allows would crash the process when it becomes a key, and one that
    holds itself twice, a hundred levels down, would never be done. Flat tuples need no bound.
    """

    __slots__ = ("_hashed", "_nested")

    def __init__(self) -> None:
        self._nested: dict[int, tuple[int, int]] = {}  # number of a node: its depth and items
        self._hashed = 0

    def measure(self, number: int, node: list[Any]) -> None:
        """Note an immutable node that holds references."""
        depth, items = self._sum(node)
        self._nested[number] = depth + 1, items + len(node)

    def admit(self, items: list[Any]) -> None:
        """Raise ValueError unless these items, references among them, may be hashed."""
        depth, hashed = self._sum(items)
        self._hashed += hashed
        if depth > HASHED_DEPTH_LIMIT:
            raise ValueError(f"hashed tuples nested more than {HASHED_DEPTH_LIMIT:,} deep")
        if self._hashed > HASHED_ITEMS_LIMIT:
            raise ValueError(f"hashed tuples of more than {HASHED_ITEMS_LIMIT:,} items in all")

    def _sum(self, items: list[Any]) -> tuple[int, int]:
        depth = total = 0
        if self._nested:
            for item in items:
                if type(item) is list:
                    below, count = self._nested.get(item[0], (0, 0))
                    depth = max(depth, below)
                    total += count
        return depth, total


# -- encoding ---------------------------------------------------------------------------------


def encode(value: object) -> bytes:
    """The body of a plain value. Raises `leaves.NotPlain` when it holds anything else.

    O(nodes and items); containers that hold only atoms are copied by C code.
    """
    try:
        # Nearly every int has 64 bits and every str no surrogate: MessagePack says when not.
        return _pack(_Flattener(wide_atoms=False).flatten(value))
    except (OverflowError, UnicodeEncodeError):
        return _pack(_Flattener(wide_atoms=True).flatten(value))


class _Flattener:
    """One walk over a value, with a stack of its own in place of recursion.

    Lists, dicts and sets get their number when they are met and are filled later. Tuples and
    frozensets get theirs when all they hold has one; until then they wait on the stack.
    """

    __slots__ = ("_hashing", "_kept", "_nodes", "_numbers", "_unfilled", "_wide_atoms")

    def __init__(self, *, wide_atoms: bool) -> None:
        self._wide_atoms = wide_atoms
        self._nodes: list[list[Any]] = []
        self._numbers: dict[int, int] = {}
        # Another thread may drop an object from the value; its id must not come to mean another.
        self._kept: list[object] = []
        self._unfilled: list[tuple[Any, list[Any]]] = []
        self._hashing = _Hashing()

    def flatten(self, value: object) -> list[Any]:
        root: list[Any] = []
        self._fill(root, (value,))
        while self._unfilled:
            container, node = self._unfilled.pop()
            self._fill(node, _items(container))
            if node[0] == _DICT:
                self._hashing.admit(node[1::2])
            elif node[0] == _SET:
                self._hashing.admit(node)
        return [root[0], self._nodes]

    def _fill(self, node: list[Any], items: Collection[Any]) -> None:
        """Append the items to a node, finishing the tuples among them first."""
        if not self._wide_atoms and _are_atoms(items):
            node.extend(items)
            return
        number_of, wide_atoms = self._numbers.get, self._wide_atoms
        waiting: list[tuple[list[Any], Iterator[Any], object]] = []
        rest: Iterator[Any] = iter(items)
        owner: object = None
        while True:
            for item in rest:
                kind = type(item)
                if kind in _ATOMS and not (wide_atoms and leaves.is_wide(item)):
                    node.append(item)
                    continue
                number = number_of(id(item))
                if number is None:
                    if kind in _IMMUTABLE and (wide_atoms or not _are_atoms(item)):
                        self._keep(item, _IN_PROGRESS)
                        waiting.append((node, rest, owner))
                        node, rest, owner = [_IMMUTABLE[kind]], iter(item), item
                        break
                    number = self._add(item, kind)
                elif number == _IN_PROGRESS:
                    raise ValueError("a tuple that holds itself directly")
                node.append([number])
            else:
                if not waiting:
                    return
                number = self._finish(node, owner)
                node, rest, owner = waiting.pop()
                node.append([number])

    def _add(self, item: Any, kind: type) -> int:
        """Number what needs nothing else first: a leaf, or a container to be filled later."""
        number = len(self._nodes)
        if kind in _MUTABLE:
            node: list[Any] = [_MUTABLE[kind]]
            self._unfilled.append((item, node))
        elif kind in _IMMUTABLE:
            node = [_IMMUTABLE[kind], *item]
        else:
            node = leaves.describe(item, kind)
        self._nodes.append(node)
        self._keep(item, number)
        return number

    def _finish(self, node: list[Any], owner: object) -> int:
        """Number a tuple or frozenset whose items all have their node."""
        number = len(self._nodes)
        self._nodes.append(node)
        self._numbers[id(owner)] = number
        if list in map(type, node):
            if node[0] == _FROZENSET:
                self._hashing.admit(node)
            self._hashing.measure(number, node)
        return number

    def _keep(self, item: object, number: int) -> None:
        self._numbers[id(item)] = number
        self._kept.append(item)


def _are_atoms(items: Collection[Any]) -> bool:
    return _ATOMS.issuperset(map(type, items))


def _items(container: Any) -> list[Any]:
    # Copied in one call of C code: another thread may change the container meanwhile.
    if type(container) is dict:
        return list(chain.from_iterable(container.items()))
    return list(container)


# -- decoding ---------------------------------------------------------------------------------


def decode(body: bytes | memoryview) -> object:
    """A new value of a body. Malformed bodies raise some ValueError, TypeError or LookupError."""
    table = _unpack(body)
    if type(table) is not list or len(table) != 2 or type(table[1]) is not list:
        raise ValueError("no table of nodes")
    root, nodes = table
    # Keyed by number: a list would take negative ones.
    built: dict[int, Any] = {}
    unfilled: list[tuple[Any, list[Any]]] = []
    hashing = _Hashing()
    for number, node in enumerate(nodes):
        if type(node) is not list or not node:
            raise ValueError(f"node {number} is {node!r:.60}")
        kind = node[0]
        if kind == _LIST:
            built[number] = []
            unfilled.append((built[number], node))
        elif kind == _DICT:
            built[number] = {}
            unfilled.append((built[number], node))
        elif kind == _SET:
            built[number] = set()
            unfilled.append((built[number], node))
        elif kind in (_TUPLE, _FROZENSET):
            built[number] = _build_immutable(number, node, built, hashing)
        else:
            built[number] = leaves.build(node)
    for container, node in unfilled:
        _fill(container, node, built, hashing)
    return _resolve([root], built)[0]


def _resolve(items: list[Any], built: dict[int, Any]) -> list[Any]:
    """The items with references replaced by what was built."""
    if list not in map(type, items):
        return items
    return [built[item[0]] if type(item) is list else item for item in items]


def _build_immutable(
    number: int, node: list[Any], built: dict[int, Any], hashing: _Hashing
) -> tuple[Any, ...] | frozenset[Any]:
    items = node[1:]
    if list in map(type, items):
        if node[0] == _FROZENSET:
            hashing.admit(items)
        hashing.measure(number, node)
        items = _resolve(items, built)
    return tuple(items) if node[0] == _TUPLE else _whole(frozenset(items), len(items))


def _fill(container: Any, node: list[Any], built: dict[int, Any], hashing: _Hashing) -> None:
    if type(container) is list:
        container.extend(_resolve(node[1:], built))
    elif type(container) is dict:
        keys = node[1::2]
        hashing.admit(keys)
        values = _resolve(node[2::2], built)
        container.update(zip(_resolve(keys, built), values, strict=True))
        _whole(container, len(keys))
    else:
        hashing.admit(node)
        container.update(_resolve(node[1:], built))
        _whole(container, len(node) - 1)


def _whole(container: Any, count: int) -> Any:
    if len(container) != count:
        raise ValueError(f"{count} items, of which {len(container)} are different")
    return container
