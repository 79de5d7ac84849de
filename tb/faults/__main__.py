"""`python -m tb.faults [BLOCK …]` seeds every named fault and fails unless the regression catches each at its block."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from stamp_hw.cli.arguments import Parser
from stamp_hw.errors import ConfigError
from stamp_hw.exits import BROKEN, FOUND, HELP, OK
from tb.run.block import BrokenBenchError, catch, fresh_seed
from tb.run.exits import ended
from tb.run.fault import Fault
from tb.run.simulator import check_root

_LOG = logging.getLogger("tb.faults")


def table(block: str) -> tuple[Fault, ...]:
    """The faults of a block."""
    found: tuple[Fault, ...] = importlib.import_module(f"tb.faults.{block}").FAULTS
    return found


def blocks() -> tuple[str, ...]:
    """Blocks that have faults, sorted."""
    return tuple(sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_")))


def attempt(block: str, index: int, seed: int) -> str:
    """How the regression caught a fault: its first message. Raises AssertionError when it did not."""
    return catch(table(block)[index], seed).failures[0].splitlines()[0]


def main(wanted: list[str]) -> int:
    """`run`, with a user's errors as one line."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
    _LOG.setLevel(logging.INFO)
    return ended(_LOG, lambda: run(wanted))


def run(wanted: list[str]) -> int:
    """Run the faults of the wanted blocks, all if none is named; 0 when every one was caught, 1 when one was missed, 3
    when a bench broke."""
    unknown = sorted(set(wanted) - set(blocks()))
    if unknown:
        raise ConfigError("no faults for block", where="faults", got=", ".join(unknown), expected=" or ".join(blocks()))
    check_root()
    seed = fresh_seed()
    missed: list[str] = []
    broken: list[str] = []
    _LOG.info("seed %d", seed)
    jobs = [(block, index) for block in wanted or blocks() for index in range(len(table(block)))]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        running = {pool.submit(attempt, block, index, seed): table(block)[index] for block, index in jobs}
        for done, future in enumerate(as_completed(running), 1):
            fault = running[future]
            name = f"{fault.block}.{fault.name}"
            try:
                how = f"caught: {future.result()}"
            except BrokenBenchError as error:
                how = f"BROKEN: {error}"
                broken.append(name)
            except AssertionError as error:
                how = f"MISSED: {error}"
                missed.append(name)
            _LOG.info("%d of %d: %s, %s", done, len(jobs), name, how)
    _LOG.info("%d of %d faults caught%s", len(jobs) - len(missed) - len(broken), len(jobs),
              f"; not: {', '.join(missed + broken)}; again: STAMP_SEED={seed} python -m tb.faults"
              if missed or broken else "")
    return FOUND if missed else BROKEN if broken else OK


if __name__ == "__main__":
    parser = Parser(prog="python -m tb.faults", description=__doc__, epilog=HELP)
    parser.add_argument("blocks", metavar="BLOCK", nargs="*", help=f"{', '.join(blocks())}; all if none is named")
    sys.exit(main(parser.parse_args().blocks))
