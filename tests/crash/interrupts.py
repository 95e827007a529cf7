"""KeyboardInterrupt at every place where CPython may deliver one, one place after the other.

A signal is handled between two bytecodes, and not between any two: on entering a Python function,
after a call, and where a loop jumps back. `interrupted` raises at the nth such place.
"""

from __future__ import annotations

import contextlib
import dis
import gc
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import fastmem

PACKAGE = str(Path(fastmem.__file__).parent)
DELIVERS = ("RESUME", "CALL", "JUMP_BACKWARD")
_names: dict[CodeType, dict[int, str]] = {}


class Interrupter:
    """Told of each instruction within fastmem; raises KeyboardInterrupt at the `nth` place."""

    def __init__(self, nth: int, probe: Callable[[], object]) -> None:
        self.left = nth
        self.raised = False
        self.probe = probe
        self.state: object = None  # what `probe` told at that place
        self.where = ""
        self._last: dict[FrameType, str] = {}

    def instruction(self, frame: FrameType, offset: int) -> None:
        """An instruction is about to run."""
        last = self._last.get(frame, "")
        self._last[frame] = name_of(frame.f_code, offset)
        if last.startswith(DELIVERS):
            self.left -= 1
            if self.left == 0:
                self.raised = True
                self.state = self.probe()
                name = Path(frame.f_code.co_filename).name
                self.where = f"{name}:{frame.f_lineno} in {frame.f_code.co_name}"
                raise KeyboardInterrupt


def name_of(code: CodeType, offset: int) -> str:
    if code not in _names:
        _names[code] = {step.offset: step.opname for step in dis.get_instructions(code)}
    return _names[code][offset]


def interrupted(
    nth: int, operation: Callable[[], object], probe: Callable[[], object] = lambda: None
) -> tuple[Interrupter, bool]:
    """Do an operation, interrupted at the `nth` place, where `probe` tells the state.

    Return (it, whether the operation returned); ``it.raised`` is False when there is no such place.
    """
    it = Interrupter(nth, probe)
    gc.disable()  # finalizers of others are no part of the operation
    try:
        with monitored(it) if sys.version_info >= (3, 12) else traced(it):
            operation()
    except KeyboardInterrupt:
        return it, False
    finally:
        gc.enable()
    return it, True


@contextlib.contextmanager
def traced(it: Interrupter) -> Iterator[None]:
    def trace(frame: FrameType, event: str, _arg: object) -> Any:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            it.instruction(frame, frame.f_lasti)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


@contextlib.contextmanager
def monitored(it: Interrupter) -> Iterator[None]:
    """As `traced`: from 3.12 on opcodes are not traced reliably from a frame's beginning."""
    monitoring = sys.monitoring  # type: ignore[attr-defined,unused-ignore]

    def instruction(code: CodeType, offset: int) -> Any:
        if not code.co_filename.startswith(PACKAGE):
            return monitoring.DISABLE
        it.instruction(sys._getframe(1), offset)
        return None

    tool = monitoring.DEBUGGER_ID
    monitoring.use_tool_id(tool, "interrupts")
    try:
        monitoring.register_callback(tool, monitoring.events.INSTRUCTION, instruction)
        monitoring.set_events(tool, monitoring.events.INSTRUCTION)
        yield
    finally:
        monitoring.set_events(tool, 0)
        monitoring.free_tool_id(tool)
