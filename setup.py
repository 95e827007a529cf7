"""The extension list and the Cython directives; everything else is in pyproject.toml."""

import os
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

CORE = Path("fastmem/_core")
# L2 and L3 need Linux (madvise, fallocate, OFD locks); L1 does not.
LINUX_ONLY = {
    *("descriptor", "mapping", "ofd", "sectionlock", "lease", "logfiles", "reading", "chores"),
    *("log", "turns", "moves", "scan", "passing", "shadowing", "recovery", "rebuild", "appending"),
    *("damage", "coherence", "writeback", "guards", "tiered", "windows", "viewing"),
    *("direct", "verbs", "many", "through", "synclead", "faults", "residency", "looking"),
    *("records", "shelter", "waking", "walking", "gathering", "joined", "filesystems"),
    *("settling",),
}

extensions = [
    Extension(
        f"fastmem._core.{unit.stem}",
        [str(unit)],
        depends=[str(header) for header in sorted(CORE.glob("*.h"))],
        include_dirs=[str(CORE)],
        # -g0: the interpreter's own -g would make the wheel five times as large
        extra_compile_args=["-O3", "-fno-math-errno", "-g0"],
    )
    for unit in sorted(CORE.glob("*.pyx"))
    if sys.platform == "linux" or unit.stem not in LINUX_ONLY
]

setup(
    options={"build_ext": {"parallel": os.cpu_count() or 1}},
    ext_modules=cythonize(
        extensions,
        build_dir="build/cython",
        compiler_directives={
            "language_level": 3,
            "boundscheck": False,
            "wraparound": False,
            "initializedcheck": False,
            "cdivision": True,
            "binding": False,
            "embedsignature": True,
            "embedsignature.format": "clinic",  # what inspect and stubtest read
            "autotestdict": False,  # doctest finds docstrings without it
        },
    ),
)
