"""What the words of `stamp-hw verify` share: what a run ends with, the end of a help text."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable

from stamp_hw import exits

#: What a word says of its run: at once, whoever reads it.
say = functools.partial(print, flush=True)


def clock() -> Callable[[], float]:
    """Starts a clock of processor time, which a busy machine does not change. It says when it is asked how many seconds
    this process took and all that it has started and that have ended, to a tenth: `seconds` of a report."""
    from tb.run.processes import processor_seconds

    start = processor_seconds()
    return lambda: round(processor_seconds() - start, 1)


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
