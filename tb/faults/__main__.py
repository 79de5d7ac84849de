"""`python -m tb.faults [BLOCK …]` seeds every named fault and fails unless the regression catches each at its block."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from tb.faults import Fault
from tb.regression import catch, fresh_seed

_LOG = logging.getLogger("tb.faults")


def table(block: str) -> tuple[Fault, ...]:
    """The faults of a block."""
    return importlib.import_module(f"tb.faults.{block}").FAULTS


def blocks() -> tuple[str, ...]:
    """Blocks that have faults, sorted."""
    return tuple(sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_")))


def attempt(block: str, index: int, seed: int) -> str:
    """How the regression caught a fault: its first message. Raises AssertionError when it did not."""
    return catch(table(block)[index], seed).failures[0].splitlines()[0]


def main(wanted: list[str]) -> int:
    """Run the faults of the wanted blocks, all if none is named; 0 when every one was caught."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
    _LOG.setLevel(logging.INFO)
    unknown = sorted(set(wanted) - set(blocks()))
    if unknown:
        _LOG.error("no faults for block %s; there are %s", ", ".join(unknown), ", ".join(blocks()))
        return 2
    seed, missed = fresh_seed(), []
    _LOG.info("seed %d", seed)
    jobs = [(block, index) for block in wanted or blocks() for index in range(len(table(block)))]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        running = {pool.submit(attempt, block, index, seed): table(block)[index] for block, index in jobs}
        for done, future in enumerate(as_completed(running), 1):
            fault = running[future]
            error = future.exception()
            how = f"MISSED: {error}" if error else f"caught: {future.result()}"
            _LOG.info("%d of %d: %s.%s, %s", done, len(jobs), fault.block, fault.name, how)
            if error:
                missed.append(f"{fault.block}.{fault.name}")
    _LOG.info("%d of %d faults caught%s", len(jobs) - len(missed), len(jobs),
              f"; missed: {', '.join(missed)}; again: STAMP_SEED={seed} python -m tb.faults" if missed else "")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
