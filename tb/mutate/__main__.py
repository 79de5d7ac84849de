"""`python -m tb.mutate [BLOCK …]` mutates the blocks' Verilog; fails unless the benches kill at least 95 %."""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import signal
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from typing import Any

from stamp_hw.cli.arguments import Parser
from stamp_hw.errors import ConfigError
from stamp_hw.exits import BROKEN, FOUND, HELP, OK
from stamp_hw.formats.files import write_json
from tb.mutate import netlist
from tb.mutate.measure import CRASHED, Prepared, Verdict, attempt, prepare
from tb.mutate.report import judge, table
from tb.mutate.units import UNITS, Unit
from tb.run.exits import count, ended, seed
from tb.run.simulator import BUILD_ROOT, check_root

PROCESSES = 2
TOGETHER = 10  # mutants that a process takes
SEED = 1
REPORT = BUILD_ROOT / "mutate.json"
_LOG = logging.getLogger("tb.mutate")


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    names = ", ".join(dict.fromkeys(name for unit in UNITS for name in (unit.block, unit.name)))
    parser = Parser(prog="python -m tb.mutate", description=__doc__, epilog=HELP)
    parser.add_argument("blocks", metavar="BLOCK", nargs="*", help=f"{names}; all if none is named")
    parser.add_argument("--seed", type=seed, default=SEED, metavar="N",
                        help=f"picks the mutants and seeds the benches (default {SEED})")
    parser.add_argument("--count", type=count, metavar="N", help="mutants of each unit; a number of its own if absent")
    parser.add_argument("--only", type=count, metavar="N", help="this one mutant of the one unit that is named")
    return parser.parse_args(argv)


def chosen(names: Sequence[str]) -> tuple[Unit, ...]:
    """The units of these names or blocks, all if there are none; ConfigError for an unknown one."""
    known = {name for unit in UNITS for name in (unit.block, unit.name)}
    for name in names:
        if name not in known:
            raise ConfigError("unknown block", where="mutate", got=name, expected=" or ".join(sorted(known)))
    return tuple(unit for unit in UNITS if not names or {unit.block, unit.name} & set(names))


def numbers(prepared: Prepared, only: int | None) -> Sequence[int]:
    """The mutants to run; ConfigError for one that does not exist."""
    last = len(prepared.netlist.mutations)
    if only is not None and not 1 <= only <= last:
        raise ConfigError("no such mutant", where=prepared.unit.name, got=only, expected=f"1…{last}")
    return range(1, last + 1) if only is None else (only,)


def verdicts(units: Sequence[Unit], seed: int, count: int | None, only: int | None) -> Iterator[Verdict]:
    """Every mutant's verdict as it comes: a unit's mutants run as soon as its original has passed."""
    with ProcessPoolExecutor(PROCESSES, initializer=_begin) as pool:
        waiting: set[Future[Any]] = {pool.submit(prepare, unit, seed, count) for unit in units}
        try:
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    came = future.result()
                    if isinstance(came, list):
                        yield from came
                        continue
                    mutants = numbers(came, only)
                    _LOG.info("%s: the original passes, %d words; %d mutants", came.unit.name, came.words, len(mutants))
                    waiting |= {pool.submit(attempt, came, mutants[first:first + TOGETHER])
                                for first in range(0, len(mutants), TOGETHER)}
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in multiprocessing.active_children():
                worker.terminate()  # ends its tool, and it would go on with what it was given before
                worker.join(5)
                worker.kill()
            raise


def run(argv: Sequence[str]) -> int:
    """Mutate, print the table; 0 if enough was killed, 1 if not, 3 if a bench crashed."""
    args = arguments(argv)
    units = chosen(args.blocks)
    if args.only is not None and len(units) != 1:
        raise ConfigError("one unit is needed", where="--only", got=" ".join(unit.name for unit in units))
    netlist.require()
    check_root()
    found: list[Verdict] = []
    for verdict in verdicts(units, args.seed, args.count, args.only):
        found.append(verdict)
        _LOG.info("%d: %s %d %s, %.0f s: %s: %s", len(found), verdict.unit, verdict.mutation.number, verdict.fate,
                  verdict.seconds, verdict.mutation, verdict.how)
    found.sort(key=lambda one: ([unit.name for unit in units].index(one.unit), one.mutation.number))
    size = "" if args.count is None else f" --count {args.count}"
    report = judge(found, f"python -m tb.mutate {{unit}} --seed {args.seed}{size} --only {{number}}")
    write_json(REPORT, {"seed": args.seed, "total": report.total, "units": report.units,
                        "survivors": report.survivors, "errors": report.errors})
    for line in (*table(report), *(f"survived: {line}" for line in report.survivors), *report.errors,
                 f"all figures: {REPORT}"):
        _LOG.info("%s", line)
    crashed = report.total[CRASHED]
    if len(report.errors) > crashed:
        return FOUND
    return BROKEN if crashed else OK


def main(argv: Sequence[str]) -> int:
    """`run`, with a user's errors, and an original that fails, as one line."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
    _LOG.setLevel(logging.INFO)
    return ended(_LOG, lambda: run(argv))


def _begin() -> None:
    """A worker that is ended says nothing: the main process has said why."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))


def _stop(*_: object) -> None:
    """SIGTERM ends a process as an interrupt does: through the handlers that end its tools."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stop)
    sys.exit(main(sys.argv[1:]))
