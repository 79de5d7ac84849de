"""What the words of `stamp-hw verify` share: whole numbers, what a run ends with, the end of a help text."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable

from stamp_hw import exits

#: What a word says of its run: at once, whoever reads it.
say = functools.partial(print, flush=True)


def seed(text: str) -> int:
    """An option's whole number from 0 on."""
    return _whole(text, 0)


def count(text: str) -> int:
    """An option's whole number from 1 on."""
    return _whole(text, 1)


def _whole(text: str, least: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) >= least):
        raise argparse.ArgumentTypeError(f"a whole number from {least} on is expected, not {text[:80]!r}")
    return int(text)


def explain(parser: argparse.ArgumentParser, says: str, example: str) -> None:
    """What the help of a word says above its options, the run time among it, and below them."""
    parser.description = says
    parser.epilog = f"example: `stamp-hw verify {example}`. {exits.HELP}"


def judged(run: Callable[[], int]) -> int:
    """What `run` returns, or the code of the difference, or of the broken bench, that it ended in; says which.

    All other errors are the program's to report (`stamp_hw.cli.main`).
    """
    from tb.run.block import BrokenBenchError
    from tb.run.processes import stoppable

    try:
        with stoppable():
            return run()
    except BrokenBenchError as error:
        say(f"broken: {error}")
        return exits.BROKEN
    except AssertionError as error:
        say(error)
        return exits.FOUND
