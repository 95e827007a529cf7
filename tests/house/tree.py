"""The project's files as the house tests see them."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "fastmem"
CORE = PACKAGE / "_core"
NOT_SOURCES = {"build", "dist", ".git", ".venv", "__pycache__"}


@cache
def source_files() -> tuple[Path, ...]:
    """Every file that is, or with the next ``git add`` would be, part of the project."""
    if (ROOT / ".git").exists():
        # CI may run as another user than the owner of the checkout
        command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "-co", "--exclude-standard"]
        listing = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        paths = [ROOT / name for name in listing.stdout.split("\0") if name]
    else:  # an unpacked sdist
        paths = [
            path
            for path in ROOT.rglob("*")
            if not NOT_SOURCES & set(path.relative_to(ROOT).parts) and ".egg-info" not in str(path)
        ]
    return tuple(sorted(path for path in paths if path.is_file()))


def sources(*suffixes: str) -> list[Path]:
    """The project's files with one of these suffixes."""
    return [path for path in source_files() if path.suffix in suffixes]


def units() -> list[str]:
    """The names of the compiled units, such as ``l1``."""
    return sorted(path.stem for path in CORE.glob("*.pyx"))


def shown(path: Path) -> str:
    """A path as a reader of a failure wants it."""
    return path.relative_to(ROOT).as_posix()
