"""The reader of build logs, on what Cython 3.3 prints."""

from __future__ import annotations

from tests.house.build_log import complaints, translated

LOG = """\
[1/2] Cythonizing fastmem/_core/l1.pyx
performance hint: fastmem/_core/l1.pyx:1:0: Exception check on 'f' will always require the GIL.
Possible solutions:
\t1. Declare 'f' as 'noexcept' if you control the definition
[2/2] Cythonizing fastmem/_core/keys.pyx
warning: fastmem/_core/keys.pxd:3:5: Unused entry
warning: install_lib: byte-compiling is disabled, skipping.
gcc -Wsign-compare -c build/cython/fastmem/_core/keys.c
"""


def test_hints_and_warnings_of_cython_are_found() -> None:
    found = complaints(LOG)
    assert [line.split(":")[1] for line in found] == [
        " fastmem/_core/l1.pyx",
        " fastmem/_core/keys.pxd",
    ]


def test_translated_units_are_named() -> None:
    assert translated(LOG) == {"l1", "keys"}
