"""`stamp-hw sweep`: a workload costed at many points of a design space, and the best of them."""

from __future__ import annotations

import argparse
import os
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sim.commands.mapping_options import MappingOptions, add_mapping_options
from stamp_hw import exits
from stamp_hw.cli.arguments import runs
from stamp_hw.cli.common import check_apart, check_writable, count
from stamp_hw.cli.progress import lasting
from stamp_hw.cli.show import show
from stamp_hw.errors import ConfigError, StampError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sim.sweep.results import Row
    from sim.sweep.spec import Sweep
    from sim.sweep.workers import Workers


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(MappingOptions):
    """What the command line asks for."""

    sweep: Path
    out: Path
    csv: Path | None
    plots: Path | None
    jobs: int | None
    scheduler: str | None


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options; `run` is a function of them."""
    parser.description = (
        "Costs a workload at every combination of values of fields of hardware, job and workload, or at random ones, "
        "and prints the Pareto front of each scheme. Each point is kept when it is done: the same command goes on "
        "where an earlier one stopped. A point that cannot be is kept with the line that says why. docs/sweep.md "
        "describes the file.")
    parser.add_argument("sweep", type=Path, metavar="SWEEP", help="the sweep, a YAML file")
    parser.add_argument("--out", type=Path, metavar="FILE", required=True,
                        help="write a line of JSON a point, behind one of the sweep; FILE.partial until all are done")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write a line a point and scheme")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="write a plot (PNG) into this folder")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--jobs", type=count, metavar="N", help="processes (default: one for each processor)")
    where.add_argument("--scheduler", metavar="ADDRESS",
                       help="let the workers of a Dask scheduler do it, such as tcp://host:8786, in place of processes")
    add_mapping_options(parser)
    runs(parser, Options, run)


def run(options: Options) -> int:
    """Cost, keep, write, print."""
    from sim.sweep import figures, results, spec, tables
    from sim.sweep import run as sweeps
    from sim.sweep.kept import Kept, beside
    from stamp_hw.formats.files import atomic_file

    for path in (options.out, options.csv):
        if path is not None:
            check_writable(path, folder=False)
    check_writable(partial := beside(options.out), folder=False)
    if options.plots is not None:
        check_writable(options.plots, folder=True)
    plot = None if options.plots is None else options.plots / results.PICTURE
    outputs = [("--out", options.out), ("--out", partial), ("--csv", options.csv), ("--plots", plot)]
    check_apart({"the sweep": options.sweep}, outputs)
    sweep = _mapped(spec.read(options.sweep), options)
    check_apart(sweep.files, outputs)
    plan = sweeps.plan(sweep)
    figures.check_goals(f"{options.sweep}: objectives", sweep.objectives, figures.names(plan.workloads), sweep.moved)
    progress = lasting()
    with closing(Kept(options.out, plan.head, len(plan.points))) as kept:
        try:
            if not kept.whole:
                with _workers(options, len(plan.points)) as workers:
                    sweeps.run(plan, workers, kept, progress)
        finally:
            progress("")
        kept.finish()
        rows = results.rows(kept.lines[number] for number in sorted(kept.lines))
    fronts = results.fronts(rows, sweep.objectives)
    if options.csv is not None:
        with atomic_file(options.csv) as stream:
            results.write_csv(rows, fronts, stream)
    if options.plots is not None:
        from sim.sweep.plot import write

        write(rows, sweep.objectives, options.plots)
    show(tables.render(sweep, len(plan.points), rows, fronts))
    return _verdict(rows, options)


def _mapped(sweep: Sweep, options: Options) -> Sweep:
    """With the mapping of the command line, where it says one. Raises StampError where an axis has it."""
    from sim.mapping.objective import LARGEST
    from sim.sweep.points import MAPPING

    searched = options.searched()
    if options.mapping is None:
        return sweep
    if MAPPING in sweep.moved:
        raise ConfigError("an axis has the mapping", where=f"--mapping {options.mapping}", got=str(options.sweep),
                          expected="one of the two")
    return replace(sweep, mapping=searched or LARGEST)


def _workers(options: Options, points: int) -> AbstractContextManager[Workers]:
    if options.scheduler is not None:
        from sim.sweep.cluster import cluster

        return cluster(options.scheduler)
    from sim.sweep.workers import local

    return local(min(options.jobs or os.cpu_count() or 1, points))


def _verdict(rows: Sequence[Row], options: Options) -> int:
    """The exit code. Raises StampError where no point could be costed."""
    from sim.sweep.points import MISTAKE

    errors = [row.error for row in rows if row.error is not None]
    if any(error.startswith(MISTAKE) for error in errors):
        return exits.BROKEN
    if len(errors) == len(rows):
        raise StampError("no point of the sweep can be", where=str(options.sweep), got=errors[0],
                         expected="at least one that can; every point's line is in --out")
    return exits.OK
