"""The command `stamp-hw`: one sub-command a file of this package.

Bad input ends in one line on standard error and exit code 2; exit code 1 means that something was checked and is wrong.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from importlib import metadata

from stamp_hw.cli import doctor, generate, simulate, synth, trace, verify
from stamp_hw.errors import StampError

COMMANDS = (simulate, trace, generate, synth, verify, doctor)


def parser() -> argparse.ArgumentParser:
    """The whole command line; every module of `COMMANDS` adds its own sub-command."""
    top = argparse.ArgumentParser(
        prog="stamp-hw", description="Accelerator simulator and RTL generator for STaMP quantization.")
    top.add_argument("--version", action="version", version=f"stamp-hw {metadata.version('stamp-hw')}")
    top.add_argument("-v", "--verbose", action="store_true", help="log what is being done")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    for module in COMMANDS:
        module.add_parser(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    args = parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO if args.verbose else logging.WARNING, format="%(message)s")
    try:
        code = args.run(args)
        sys.stdout.flush()
    except StampError as error:
        print(f"stamp-hw: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader of a pipe (head, less) has gone; there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("stamp-hw: interrupted", file=sys.stderr)
        return 130
    return code


if __name__ == "__main__":
    sys.exit(main())
