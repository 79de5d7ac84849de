"""The command `stamp-hw`; `stamp_hw.cli.commands` is the table of its sub-commands.

Bad input ends in one line on standard error and exit code 2; exit code 1 means that something was checked and is wrong,
and nothing else (`stamp_hw.exits`): whatever breaks ends in 3.
"""

# Nothing heavy is imported here: whoever interrupts the first moments of the program gets one line as well.
from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from stamp_hw.errors import OutputError

if TYPE_CHECKING:
    import argparse

ABOUT = "Accelerator simulator and RTL generator for STaMP quantization."
_WRITE_ERRORS = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def parser() -> argparse.ArgumentParser:
    """The whole command line; a command's own options are added when that command is the one given."""
    import argparse
    from importlib import metadata

    from stamp_hw.cli import arguments
    from stamp_hw.cli.commands import COMMANDS, overview

    top = arguments.Parser(
        prog="stamp-hw", usage="stamp-hw [-h] [--version] [-v] COMMAND ...", description=f"{ABOUT}\n\n{overview()}",
        epilog="`stamp-hw COMMAND --help` explains a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter)
    top.add_argument("--version", action="version", version=f"stamp-hw {metadata.version('stamp-hw')}")
    top.add_argument("-v", "--verbose", action="store_true", help="log what is being done")
    commands = top.add_subparsers(metavar="COMMAND", required=True, help=argparse.SUPPRESS, prog="stamp-hw")
    for name, command in COMMANDS.items():
        commands.add_parser(name).options_of(command.module)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    try:
        _prepare_streams()
        try:
            return _run(argv)
        finally:
            sys.stdout.flush()
    except OSError as error:
        return _lost_output(error)
    except Exception as error:
        return _failed(error)
    except KeyboardInterrupt:
        import warnings

        # Parts of a circuit that was never finished are no news to whoever stopped the program.
        warnings.simplefilter("ignore")
        print("stamp-hw: interrupted", file=sys.stderr)
        return 130


def _run(argv: Sequence[str] | None) -> int:
    words = sys.argv[1:] if argv is None else argv
    args = parser().parse_args(words or ["--help"])
    import logging

    logging.basicConfig(level=logging.INFO if args.verbose else logging.WARNING, format="%(message)s")
    return int(args.run(args))


def _prepare_streams() -> None:
    """Make both streams take any character; refuse to run without standard output."""
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 lives as long as the program
    if sys.stdout is None:
        raise OutputError("cannot write", where="standard output", got="a closed file", expected="an open one")
    for stream in (sys.stdout, sys.stderr):
        # A terminal without × or ∞ shows ? rather than nothing at all.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def _failed(error: Exception) -> int:
    """Say what a user can mend in one line, and all of what nobody foresaw; its exit code."""
    from stamp_hw import exits

    if (known := exits.refusal(error)) is not None:
        print(f"stamp-hw: {known}", file=sys.stderr)
        return known.exit_code
    print(exits.broken(error), file=sys.stderr)
    return exits.BROKEN


def _lost_output(error: OSError) -> int:
    """Exit code where standard output cannot be written, or of any other OSError."""
    try:
        sys.stdout.flush()
    except OSError:
        # What is left in the buffer goes nowhere, or the interpreter would complain about it when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    else:
        # Unbuffered, nothing is left to fail twice. An error of a write to an open stream names no file.
        if error.filename is not None or error.errno not in _WRITE_ERRORS:
            return _failed(error)
    if isinstance(error, BrokenPipeError):
        # The reader of a pipe (head, less) has gone; there is nobody left to tell.
        return 2
    print(f"stamp-hw: standard output: cannot write; got {error.strerror or error}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
