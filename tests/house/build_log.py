"""What Cython complains about in a build log; a build does not fail on it by itself."""

from __future__ import annotations

import re

# A performance hint names a call that takes the GIL back or checks for an exception it need not.
COMPLAINT = re.compile(r"^(?:performance hint|warning): \S+\.(?:pyx|pxd):\d+:.*$", re.MULTILINE)
TRANSLATED = re.compile(r"Cythonizing fastmem/_core/(\w+)\.pyx")


def complaints(log: str) -> list[str]:
    """The lines of Cython's performance hints and warnings."""
    return COMPLAINT.findall(log)


def translated(log: str) -> set[str]:
    """The units that this build translated: without them, silence proves nothing."""
    return set(TRANSLATED.findall(log))
