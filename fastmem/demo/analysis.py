"""The expensive computation: what a Python module and each of its functions look like inside.

Results are made of plain types and depend on the file alone (never on hash order or addresses), so
that two processes can compare them by digest.
"""

from __future__ import annotations

import ast
import dis
import io
import os
import sysconfig
import tokenize
import warnings
from collections import Counter
from pathlib import Path
from types import CodeType
from typing import Any

__all__ = ["AnalysisError", "analyse_function", "analyse_module", "module_files"]

SKIPPED_DIRECTORIES = frozenset({"__pycache__", "site-packages", "dist-packages"})
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
BRANCHES = (
    ast.If,
    ast.IfExp,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.ExceptHandler,
    ast.With,
    ast.AsyncWith,
    ast.Assert,
    ast.comprehension,
    ast.match_case,
)
NAMED_OPCODES = frozenset((*dis.hasname, *dis.haslocal, *dis.hasfree, *dis.hascompare))


class AnalysisError(ValueError):
    """A file that is not Python of this version, such as the test suite's broken samples."""


def module_files(root: str | os.PathLike[str] | None = None) -> list[str]:
    """Paths of the ``.py`` files below *root* (the standard library by default), sorted.

    Relative to *root*. Installed third-party packages are left out, and so are the directories of
    sample data that the standard library's own tests read.
    """
    top = Path(root or sysconfig.get_path("stdlib"))
    found = []
    for directory, below, names in os.walk(top):
        below[:] = [
            name for name in below if name not in SKIPPED_DIRECTORIES and "data" not in name
        ]
        relative = Path(directory).relative_to(top)
        found += [
            str(relative / name)
            for name in names
            if name.endswith(".py") and os.path.isfile(os.path.join(directory, name))
        ]
    return sorted(found)


def analyse_module(path: Path) -> dict[str, Any]:
    """Parse, tokenize and summarise the module at *path*.

    Raises :class:`AnalysisError` when the file does not parse, ``OSError`` when it cannot be read.
    """
    source = _decode(path.read_bytes(), path)
    tree = _parse(source, path)
    scopes = _scopes(tree)
    return {
        "path": str(path),
        "bytes": len(source),
        "doc": ast.get_docstring(tree),
        "imports": _imports(tree),
        "scopes": scopes,
        "nodes": _count(type(node).__name__ for node in ast.walk(tree)),
        "names": _count(node.id for node in ast.walk(tree) if isinstance(node, ast.Name)),
        "attributes": _count(
            node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)
        ),
        "complexity": _complexity(tree),
        "tokens": _token_statistics(source),
        "lines": _line_map(_lines(source), scopes),
        "outline": [ast.unparse(statement)[:2000] for statement in tree.body],
    }


def analyse_function(path: Path, scope: dict[str, Any]) -> dict[str, Any]:
    """The detail of one *scope* of :func:`analyse_module`: its tokens, its tree, its bytecode.

    Raises as :func:`analyse_module` does.
    """
    first, last = scope["span"]
    source = "".join(_lines(_decode(path.read_bytes(), path))[first - 1 : last])
    if source[:1].isspace():  # not dedent(): strings that span lines start anywhere
        source = "if True:\n" + source
    tree = _parse(source, path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        code = _guarded(path, compile, tree, str(path), "exec", dont_inherit=True)
    return {
        "name": scope["name"],
        "span": (first, last),
        "source": source,
        "normal": ast.unparse(tree),
        "tokens": [
            [tokenize.tok_name[token.type], token.string, *token.start]
            for token in _tokens(source, path)
        ],
        "tree": ast.dump(tree, include_attributes=True),
        "bytecode": _bytecode(code),
        "complexity": _complexity(tree),
        "names": _count(node.id for node in ast.walk(tree) if isinstance(node, ast.Name)),
    }


def _guarded(path: Path, work: Any, *args: Any, **kwargs: Any) -> Any:
    """Run *work*; what a broken sample file makes it raise becomes an :class:`AnalysisError`."""
    try:
        return work(*args, **kwargs)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise AnalysisError(f"{path}: {error}") from error


def _decode(raw: bytes, path: Path) -> str:
    encoding, _ = _guarded(path, tokenize.detect_encoding, io.BytesIO(raw).readline)
    text: str = _guarded(path, raw.decode, encoding)
    return text


def _parse(source: str, path: Path) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes in old code are not this run's business
        tree: ast.Module = _guarded(path, ast.parse, source, str(path))
        return tree


def _lines(text: str) -> list[str]:
    """Lines as the compiler counts them; ``str.splitlines`` also splits at form feeds."""
    return io.StringIO(text, newline=None).readlines()


def _tokens(source: str, path: Path | None = None) -> list[tokenize.TokenInfo]:
    reader = io.StringIO(source).readline
    tokens: list[tokenize.TokenInfo] = _guarded(
        path or Path("<source>"), lambda: list(tokenize.generate_tokens(reader))
    )
    return tokens


def _count(items: Any) -> dict[str, int]:
    """Frequencies, the most frequent first and equal ones by name: the same on every run."""
    return dict(sorted(Counter(items).items(), key=lambda pair: (-pair[1], pair[0])))


def _imports(tree: ast.Module) -> list[list[Any]]:
    rows: list[list[Any]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            rows += [[node.lineno, alias.name, None, alias.asname] for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            origin = "." * node.level + (node.module or "")
            rows += [[node.lineno, origin, alias.name, alias.asname] for alias in node.names]
    return rows


def _complexity(tree: ast.AST) -> int:
    """McCabe's cyclomatic complexity: one, and one more for each way to branch."""
    total = 1
    for node in ast.walk(tree):
        if isinstance(node, BRANCHES):
            total += 1
        elif isinstance(node, ast.BoolOp):
            total += len(node.values) - 1
    return total


def _scopes(tree: ast.Module) -> list[dict[str, Any]]:
    """Every function and class, outer ones first, with its qualified name."""
    found = []
    pending: list[tuple[str, ast.AST]] = [("", tree)]
    while pending:
        prefix, parent = pending.pop()
        for node in ast.iter_child_nodes(parent):
            if isinstance(node, SCOPES):
                name = f"{prefix}.{node.name}" if prefix else node.name
                found.append(_scope(node, name))
                pending.append((name, node))
            else:
                pending.append((prefix, node))
    return sorted(found, key=lambda scope: (scope["span"], scope["name"]))


def _scope(
    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, name: str
) -> dict[str, Any]:
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    scope = {
        "name": name,
        "kind": type(node).__name__,
        "span": [first, node.end_lineno],
        "decorators": [ast.unparse(decorator) for decorator in node.decorator_list],
        "doc": ast.get_docstring(node),
        "complexity": _complexity(node),
        "calls": _count(
            ast.unparse(call.func)[:200] for call in ast.walk(node) if isinstance(call, ast.Call)
        ),
        "stores": _count(
            item.id
            for item in ast.walk(node)
            if isinstance(item, ast.Name) and isinstance(item.ctx, ast.Store)
        ),
    }
    if isinstance(node, ast.ClassDef):
        scope["bases"] = [ast.unparse(base) for base in node.bases]
    else:
        scope["signature"] = ast.unparse(node.args)
        scope["returns"] = ast.unparse(node.returns) if node.returns else None
    return scope


def _token_statistics(source: str) -> dict[str, Any]:
    tokens = _tokens(source)
    return {
        "kinds": _count(tokenize.tok_name[token.exact_type] for token in tokens),
        "strings": _count(token.string[:80] for token in tokens if token.type == tokenize.STRING),
        "comments": [
            [token.start[0], token.string] for token in tokens if token.type == tokenize.COMMENT
        ],
        "stream": " ".join(f"{token.exact_type}:{token.string}" for token in tokens),
    }


def _line_map(lines: list[str], scopes: list[dict[str, Any]]) -> list[str]:
    """For each line its kind, its indent and the innermost scope around it."""
    owner = [""] * (len(lines) + 1)
    for scope in scopes:  # inner scopes start later and overwrite the outer name
        first, last = scope["span"]
        owner[first : last + 1] = [scope["name"]] * (last + 1 - first)
    rows = []
    for number, line in enumerate(lines, 1):
        text = line.strip()
        kind = "blank" if not text else "comment" if text.startswith("#") else "code"
        rows.append(f"{number} {kind} {len(line) - len(line.lstrip())} {owner[number]}")
    return rows


def _bytecode(code: CodeType) -> list[list[Any]]:
    """Instructions of *code* and of every code object inside it.

    Only names are shown as text: the repr of a constant may hold an address or a set's order.
    """
    listing: list[list[Any]] = []
    pending = [code]
    while pending:
        current = pending.pop()
        steps = [
            [step.offset, step.opname, step.argrepr if step.opcode in NAMED_OPCODES else step.arg]
            for step in dis.get_instructions(current)
        ]
        listing.append([current.co_name, steps])
        pending += [item for item in current.co_consts if isinstance(item, CodeType)]
    return listing
