"""The layers of CONTRIBUTING.md, and the imports that break them."""

from __future__ import annotations

from pathlib import Path

from tests.house.imports import imports_of

# Lowest first. Names that share a row are siblings and do not import each other.
ORDER: tuple[tuple[str, ...], ...] = (
    ("errors",),
    ("protocols", "entries"),
    ("_core",),
    ("codecs",),
    ("storage",),
    ("memory",),
    ("session", "compression", "leaks"),
    ("fastmem",),  # fastmem/__init__.py: the public names, gathered
    ("integrations", "cli"),
)
RANK = {name: rank for rank, row in enumerate(ORDER) for name in row}
# One noun, several modules.
PART_OF = {
    **dict.fromkeys(
        (
            *("__main__", "demo", "holdings", "mending", "replay"),
            *("soundness", "terminal", "trace", "workplace"),
        ),
        "cli",
    ),
    "arguments": "protocols",
    "views": "protocols",
    **dict.fromkeys(("lookup", "writing", "conditional", "elsewhere"), "memory"),
    **dict.fromkeys(("memoize", "signatures", "tasks"), "memory"),
}
ONLY = {"_core": {"errors"}}  # stricter than the order
SOURCES = (".py", ".pyi", ".pyx", ".pxd", ".pxi")


def layer_of(module: str) -> str:
    """``fastmem.storage.segments`` -> ``storage``; ``fastmem`` itself -> ``fastmem``."""
    parts = module.split(".")
    name = parts[1] if len(parts) > 1 else parts[0]
    return PART_OF.get(name, name)


def module_of(path: Path, root: Path) -> str:
    """The dotted name of a file below ``root``."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _target(name: str, root: Path) -> str:
    """The module that ``from a.b import c`` loads: ``a.b.c`` if there is one, else ``a.b``."""
    parts = name.split(".")
    while len(parts) > 1:
        path = root.joinpath(*parts)
        if path.is_dir() or any(path.with_suffix(suffix).exists() for suffix in SOURCES):
            break
        parts.pop()
    return ".".join(parts)


def _fault(importer: str, imported: str) -> str | None:
    """Why ``importer`` may not import ``imported``, or None if it may."""
    upper, lower = layer_of(importer), layer_of(imported)
    for layer in (upper, lower):
        if layer not in RANK:
            return f"{layer!r} is in no layer"
    if upper == lower:
        one, other = importer.split(".")[:3], imported.split(".")[:3]
        if upper == "session" and len(one) == len(other) == 3 and one != other:
            return "siblings in session/ meet only through protocols"
        return None
    if upper in ONLY and lower not in ONLY[upper]:
        return f"{upper} may import only {', '.join(sorted(ONLY[upper]))}"
    if RANK[lower] >= RANK[upper]:
        return f"{upper} lies {'beside' if RANK[lower] == RANK[upper] else 'below'} {lower}"
    return None


def violations(root: Path) -> list[str]:
    """Every import below ``root/fastmem`` that points the wrong way, with file and line."""
    found = []
    for path in sorted((root / "fastmem").rglob("*")):
        if path.suffix not in SOURCES:
            continue
        importer = module_of(path, root)
        package = importer if path.stem == "__init__" else importer.rpartition(".")[0]
        for item in imports_of(path, package):
            if item.module.split(".")[0] != "fastmem":
                continue
            target = _target(item.module, root)
            if fault := _fault(importer, target):
                place = f"{path.relative_to(root).as_posix()}:{item.line}"
                found.append(f"{place}: imports {target}: {fault}")
    return list(dict.fromkeys(found))  # two names from one module are one fault
