"""A command of `stamp-hw` without the program around it, where errors come as exceptions; and what one with it says."""

from __future__ import annotations

import argparse
import re

from stamp_hw import rooms
from stamp_hw.cli.commands import COMMANDS


def command(name: str, *words: object) -> int:
    """The exit code of `stamp-hw NAME WORD …`."""
    parser = argparse.ArgumentParser()
    rooms.load(COMMANDS[name].module).add_options(parser)
    options = parser.parse_args([*map(str, words)])
    return int(options.run(options))


def told(err: str) -> str:
    """Standard error of a command, without the line that an older Verilator on PATH is ignored."""
    return re.sub(r"^.*verilator is ignored: .*\n", "", err, flags=re.MULTILINE)
