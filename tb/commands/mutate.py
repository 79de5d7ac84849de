"""`stamp-hw verify mutate`: mutates the blocks' Verilog; fails unless the benches kill at least 95 %."""

from __future__ import annotations

import argparse
from collections.abc import Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from stamp_hw.cli.arguments import runs
from stamp_hw.cli.common import count, seed
from stamp_hw.errors import ConfigError
from stamp_hw.exits import BROKEN, FOUND, OK
from stamp_hw.formats.files import write_json
from tb.commands.common import clock, explain, judged, say
from tb.mutate import netlist
from tb.mutate.measure import CRASHED, Prepared, Verdict, attempt, prepare
from tb.mutate.report import judge, table
from tb.mutate.units import UNITS, Unit
from tb.run.processes import pool
from tb.run.simulator import BUILD_ROOT, check_root

PROCESSES = 2
TOGETHER = 10  # mutants that a process takes
SEED = 1
REPORT = BUILD_ROOT / "mutate.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of `stamp-hw verify mutate`; no block stands for all, None for a unit's own number of mutants and
    for each of them."""

    blocks: Sequence[str]
    seed: int
    count: int | None
    only: int | None


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options; `run` is a function of them."""
    explain(parser, "Change one bit of one cell of the generated Verilog at a time; the benches must notice 95 % of "
            "the changes that are not proved to be none. All take about 15 minutes of processor time. All figures: "
            "build/mutate.json.", "mutate rescale --count 10")
    names = ", ".join(dict.fromkeys(name for unit in UNITS for name in (unit.block, unit.name)))
    parser.add_argument("blocks", metavar="BLOCK", nargs="*", help=f"{names}; all if none is named")
    parser.add_argument("--seed", type=seed, default=SEED, metavar="N",
                        help=f"picks the mutants and seeds the benches (default {SEED})")
    parser.add_argument("--count", type=count, metavar="N", help="mutants of each unit; a number of its own if absent")
    parser.add_argument("--only", type=count, metavar="N", help="this one mutant of the one unit that is named")
    runs(parser, Options, run)


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


def verdicts(units: Sequence[Unit], seed: int, count: int | None, only: int | None) -> Generator[Verdict, None, None]:
    """Every mutant's verdict as it comes: a unit's mutants run as soon as its original has passed."""
    with pool(PROCESSES) as workers:
        waiting: set[Future[Any]] = {workers.submit(prepare, unit, seed, count) for unit in units}
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                came = future.result()
                if isinstance(came, list):
                    yield from came
                    continue
                mutants = numbers(came, only)
                say(f"{came.unit.name}: the original passes, {came.words} words; {len(mutants)} mutants")
                waiting |= {workers.submit(attempt, came, mutants[first:first + TOGETHER])
                            for first in range(0, len(mutants), TOGETHER)}


def run(options: Options) -> int:
    """Mutate, print the table; 0 if enough was killed, 1 if not, or if an original fails, 3 if a bench crashed."""
    return judged(lambda: _run(options))


def _run(options: Options) -> int:
    units = chosen(options.blocks)
    if options.only is not None and len(units) != 1:
        raise ConfigError("one unit is needed", where="--only", got=" ".join(unit.name for unit in units))
    netlist.require()
    check_root()
    spent = clock()
    found: list[Verdict] = []
    with closing(verdicts(units, options.seed, options.count, options.only)) as came:
        for verdict in came:
            found.append(verdict)
            say(f"{len(found)}: {verdict.unit} {verdict.mutation.number} {verdict.fate}, {verdict.seconds:.0f} s: "
                f"{verdict.mutation}: {verdict.how}")
    found.sort(key=lambda one: ([unit.name for unit in units].index(one.unit), one.mutation.number))
    size = "" if options.count is None else f" --count {options.count}"
    report = judge(found, f"stamp-hw verify mutate {{unit}} --seed {options.seed}{size} --only {{number}}")
    write_json(REPORT, {"seed": options.seed, "seconds": spent(), "total": report.total, "units": report.units,
                        "survivors": report.survivors, "errors": report.errors})
    for line in (*table(report), *(f"survived: {line}" for line in report.survivors), *report.errors,
                 f"all figures: {REPORT}"):
        say(line)
    crashed = report.total[CRASHED]
    if len(report.errors) > crashed:
        return FOUND
    return BROKEN if crashed else OK
