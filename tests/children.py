"""Work done in a forked child, and what came of it."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable


def forked(work: Callable[[], object], timeout_s: float = 20) -> str:
    """What `work` returned in a forked child, as text; or ``"Error: why"``, or ``"it hung"``."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        said = "nothing"
        try:
            said = str(work())
        except BaseException as error:  # noqa: BLE001 - the parent is told; this process ends here
            said = f"{type(error).__name__}: {error}"
        finally:
            os.write(writer, said.encode())
            os._exit(0)
    os.close(writer)
    ready, _, _ = select.select([reader], [], [], timeout_s)
    if not ready:
        os.kill(child, signal.SIGKILL)
    said = os.read(reader, 4096).decode() if ready else "it hung"
    os.close(reader)
    os.waitpid(child, 0)
    return said
