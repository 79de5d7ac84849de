"""A command of `stamp-hw` without the program around it: errors come as exceptions."""

from __future__ import annotations

import argparse

from stamp_hw import rooms
from stamp_hw.cli.commands import COMMANDS


def command(name: str, *words: object) -> int:
    """The exit code of `stamp-hw NAME WORD …`."""
    parser = argparse.ArgumentParser()
    rooms.load(COMMANDS[name].module).add_options(parser)
    options = parser.parse_args([*map(str, words)])
    return int(options.run(options))
