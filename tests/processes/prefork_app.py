"""A WSGI application over one memory, which is opened before the workers are forked."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from fastmem import TieredMemorySystem

at = Path(os.environ["FASTMEM_AT"])
memory = TieredMemorySystem(1, at / "l2", at / "l3", l2_size_mb=16)
memory.put("opened by", os.getpid())


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """``/put/KEY`` puts the worker's pid, ``/get/KEY`` tells what is there."""
    verb, key = environ["PATH_INFO"].strip("/").split("/")
    if verb == "put":
        memory.put(key, os.getpid())
        time.sleep(0.005)  # or one worker would do it all
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.getpid()} {memory.get(key)}".encode()]
