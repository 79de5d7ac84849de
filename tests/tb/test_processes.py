"""The processor time of a run: what its processes took is in it, and what they waited is not."""

from __future__ import annotations

import subprocess
import sys
import time

from tb.commands.common import clock
from tb.run.processes import pool

WORKS = "import time\nwhile time.process_time() < 0.5: pass"


def work() -> int:
    """What a worker does: a tool that keeps a processor busy for half a second."""
    return subprocess.run((sys.executable, "-c", WORKS), check=False).returncode


def test_the_clock_counts_what_tools_of_workers_took_and_no_time_that_was_waited() -> None:
    spent = clock()
    time.sleep(1)
    assert spent() < 0.5
    with pool(2) as workers:
        assert [one.result() for one in (workers.submit(work), workers.submit(work))] == [0, 0]
    assert spent() >= 1
