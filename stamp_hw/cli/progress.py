"""Progress of work that lasts: a line that a terminal rewrites, and elsewhere, a log for one, a line every so often."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from stamp_hw.cli.common import progress_line
from stamp_hw.errors import printable

PERIOD_S = 10.0  # between two lines where there is no terminal


def lasting(period_s: float = PERIOD_S) -> Callable[[str], None]:
    """Says a line on standard error: in a terminal always, elsewhere if the last one is `period_s` seconds ago or, of
    the first, the start is. The empty line clears what a terminal shows."""
    if sys.stderr.isatty():
        return progress_line()
    last = time.monotonic()

    def say(line: str) -> None:
        nonlocal last
        if line and time.monotonic() >= last + period_s:
            last = time.monotonic()
            print(printable(line), file=sys.stderr, flush=True)

    return say
