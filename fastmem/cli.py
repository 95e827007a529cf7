"""The command line: ``fastmem COMMAND ...``, also as ``python -m fastmem``.

One module per command; here they are only named, and their errors become exit statuses:
0 done, 1 the command's own negative answer, 2 it could not be carried out, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from fastmem import __version__, holdings, mending, replay, soundness
from fastmem.demo import command as demo
from fastmem.demo.run import DemoError
from fastmem.errors import FastmemError
from fastmem.trace import TraceError
from fastmem.workplace import OpenError

__all__ = ["main"]

EXIT_FAILED = 2
EXIT_INTERRUPTED = 130
EXIT_PIPE_CLOSED = 141  # as a shell reports a process that SIGPIPE ended

COMMANDS = {
    "check": soundness,
    "demo": demo,
    "repair": mending,
    "replay": replay,
    "stats": holdings,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; *arguments* default to those of the process."""
    if sys.stdout is None:  # its number would be that of the next file to be opened
        print("fastmem: standard output is closed", file=sys.stderr)
        return EXIT_FAILED
    args = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = args.run
    try:
        status = run(args)
        sys.stdout.flush()  # here, where a closed pipe is still handled
    except KeyboardInterrupt:
        print("fastmem: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        return EXIT_PIPE_CLOSED
    except (FastmemError, OpenError, TraceError, DemoError, OSError) as error:
        print(f"fastmem: {_one_line(error)}", file=sys.stderr)
        return EXIT_FAILED
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fastmem",
        description="Tiered memory for Python: a look at it, and a look into its directories.",
    )
    parser.add_argument("--version", action="version", version=f"fastmem {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")
    for name, module in COMMANDS.items():
        command = commands.add_parser(name, help=module.HELP)
        module.add_arguments(command)
        command.set_defaults(run=module.run_command)
    return parser


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__
