"""Which modules a Python or Cython file imports, wherever in the file it does so."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Import(NamedTuple):
    """One imported module; ``lazy`` when the statement is not at the top level of the file."""

    module: str
    line: int
    lazy: bool


class Line(NamedTuple):
    """One logical line of Cython without comments; strings are reduced to ``''``."""

    text: str
    number: int
    indent: int


# A comment, or a string with its prefix. An unterminated short string ends with its line.
TOKEN = re.compile(
    r"""
    \#[^\n]*
    | (?: (?<!\w) [a-zA-Z]{1,2} )?
      (?: \"{3} (?: \\. | [^\\] )*? \"{3} | \" (?: \\. | [^\"\\\n] )* \"?
        | '{3} (?: \\. | [^\\] )*? '{3} | ' (?: \\. | [^'\\\n] )* '? )
    """,
    re.VERBOSE | re.DOTALL,
)
FROM = re.compile(
    r"from\s+(?P<dots>\.*)\s*(?P<module>[\w.]*)\s+c?import\b\s*(?P<names>.*)", re.DOTALL
)
PLAIN = re.compile(r"c?import\b\s+(?P<names>.+)", re.DOTALL)
# "if x: import y" on one line: a statement may start behind a compound statement's colon
INLINE = re.compile(
    r"(?:if|elif|else|try|except|finally|with|for|while|def|cdef|cpdef)\b.*?:\s*(?=\S)"
)


def logical_lines(source: str) -> Iterator[Line]:
    """The logical lines of a ``.pyx`` or ``.pxd``: continued lines joined, ``;`` split."""

    def blank(match: re.Match[str]) -> str:
        text = match.group(0)
        newlines = text.count("\n")
        return ("" if text[0] == "#" else "''") + "\x00" * newlines  # keeps line numbers true

    stripped = TOKEN.sub(blank, source).replace("\\\n", "\x00")
    number, depth, start, held = 1, 0, 1, ""
    for physical in stripped.split("\n"):
        if not held:
            start = number
        held += physical if not held else "\x00" + physical
        number += 1 + physical.count("\x00")
        depth += sum(physical.count(c) for c in "([{") - sum(physical.count(c) for c in ")]}")
        if depth > 0:
            continue
        line = held.replace("\x00", " ")
        depth, held = 0, ""
        indent = len(line) - len(line.lstrip())
        for part in line.split(";"):
            if part.strip():
                yield Line(part.strip(), start, indent)


def _names(text: str) -> list[str]:
    """``a as b, c`` -> ``['a', 'c']``"""
    parts = text.strip().strip("()").split(",")
    return [words[0] for words in (part.split() for part in parts) if words]


def _resolve(module: str, dots: int, package: str) -> str:
    """The absolute name of a module written relative to ``package``."""
    if not dots:
        return module
    parents = package.split(".")
    base = parents[: len(parents) - (dots - 1)]
    return ".".join([*base, module] if module else base)


def _cython(source: str, package: str) -> Iterator[Import]:
    for line in logical_lines(source):
        text, lazy = line.text, line.indent > 0
        if inline := INLINE.match(text):
            rest = text[inline.end() :]
            if FROM.match(rest) or PLAIN.match(rest):
                text, lazy = rest, True
        if found := FROM.match(text):
            module = _resolve(found["module"], len(found["dots"]), package)
            for name in _names(found["names"]):
                yield Import(f"{module}.{name}", line.number, lazy)
        elif found := PLAIN.match(text):
            for name in _names(found["names"]):
                yield Import(name, line.number, lazy)


def _called_import(node: ast.Call) -> str | None:
    """The module of ``importlib.import_module("x")`` and ``__import__("x")``."""
    function = node.func
    called = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if called in ("import_module", "__import__") and node.args:
        first = node.args[0]
        if isinstance(first, ast.Constant) and isinstance(first.value, str):
            return first.value
    return None


def _python(source: str, package: str) -> Iterator[Import]:
    tree = ast.parse(source)
    top_level = set(map(id, tree.body))
    for node in ast.walk(tree):
        lazy = id(node) not in top_level
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, lazy)
        elif isinstance(node, ast.ImportFrom):
            module = _resolve(node.module or "", node.level, package)
            for alias in node.names:
                yield Import(f"{module}.{alias.name}", node.lineno, lazy)
        elif isinstance(node, ast.Call) and (called := _called_import(node)):
            dots = len(called) - len(called.lstrip("."))
            yield Import(_resolve(called.lstrip("."), dots, package), node.lineno, True)


def imports_of(path: Path, package: str) -> list[Import]:
    """Every import of a file that lies in ``package``; ``from m import n`` reads as ``m.n``."""
    source = path.read_text(encoding="utf-8")
    found = _cython if path.suffix in (".pyx", ".pxd", ".pxi") else _python
    return list(found(source, package))
