"""Programs whose files are cut under them, and which handlers of SIGBUS they have besides ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

BUDGET = 16 << 20

# Handlers of others, installed before and after the first store is opened.
HANDLERS = {
    "none": ("", ""),
    "faulthandler before": ("import faulthandler; faulthandler.enable()", ""),
    "faulthandler after": ("", "import faulthandler; faulthandler.enable()"),
    "signal before": ("import signal; signal.signal(signal.SIGBUS, print)", ""),
    "signal after": ("", "import signal; signal.signal(signal.SIGBUS, print); look_often()"),
    "C before": ("install_exit()", ""),
    "C after": ("", "install_exit(); look_often()"),
    "C after ours, and told of it": ("", "install_exit(); install_faulthandler(); look_often()"),
}

BEGIN = """
import ctypes, logging, mmap, os, sys, tempfile, threading
from fastmem import CorruptRecordError, SegmentStore, SerializationError, StoreError
logging.disable(logging.CRITICAL)
place = sys.argv[1]

def install_exit():
    # As another library would: straight in C. It ends the process with 42.
    global ended
    ended = ctypes.CFUNCTYPE(None, ctypes.c_int)(lambda number: os._exit(42))
    signal = ctypes.CDLL(None).signal
    signal.restype, signal.argtypes = ctypes.c_void_p, (ctypes.c_int, ctypes.c_void_p)
    signal(7, ctypes.cast(ended, ctypes.c_void_p))

def install_faulthandler():
    import faulthandler
    faulthandler.enable()

def look_often():
    # It is not asked at each look whether somebody has come on top.
    for _ in range(5000):
        store.get("nothing")

def cut(name, length=0):
    os.truncate(os.path.join(place, name), length)

def raises(call, *arguments):
    try:
        call(*arguments)
    except StoreError as error:
        return error
    raise AssertionError("no error")

def of_others():
    # A SIGBUS that is no concern of ours.
    with tempfile.TemporaryFile() as file:
        file.truncate(4096)
        mapped = mmap.mmap(file.fileno(), 4096)
        file.truncate(0)
        mapped[0]
"""
OPEN = f"store = SegmentStore(place, budget_bytes={BUDGET})\n"


def run(place: Path, program: str, handlers: str = "none") -> subprocess.CompletedProcess[str]:
    """Run a program over an open `store` at `place`, with handlers of somebody else's."""
    before, after = HANDLERS[handlers]
    whole = f"{BEGIN}\n{before}\n{OPEN}\n{after}\n{program}"
    return subprocess.run(
        [sys.executable, "-P", "-c", whole, str(place)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
