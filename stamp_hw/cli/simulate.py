"""`stamp-hw simulate`: accuracy, cycles and energy of every layer of a trace under several schemes."""

from __future__ import annotations

import argparse
from importlib import metadata
from pathlib import Path
from typing import Any

from stamp_hw.cli.common import add_hardware, check_apart, check_writable, hardware, progress_line, seed

DEFAULT_SCHEMES = "a8,a4,first_n,stamp,stamp_shuffled"


def add_parser(subparsers: Any) -> None:
    """Register `simulate` with argparse; it sets `run`, a function of the options."""
    parser = subparsers.add_parser(
        "simulate", help="accuracy, cycles and energy of a trace's layers",
        description="Runs every layer of a trace through the bit-accurate model and the cycle and energy models, for "
                    "several schemes on the same array, and prints tables. docs/simulate.md defines every figure.")
    parser.add_argument("trace", type=Path, metavar="TRACE", help="a trace that `stamp-hw trace dump` wrote")
    add_hardware(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure as JSON")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write a line a layer and scheme")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="write plots (PNG) into this folder")
    parser.add_argument("--layers", default="", metavar="REGEX", help="only layers whose name it is found in")
    parser.add_argument("--schemes", default=DEFAULT_SCHEMES, metavar="LIST",
                        help=f"comma-separated (default {DEFAULT_SCHEMES})")
    parser.add_argument("--seed", type=seed, default=0, metavar="N",
                        help="seed of stamp_shuffled's permutation (default 0)")
    parser.add_argument("--energy-set", type=Path, metavar="FILE",
                        help="energy constants (default: the set that the configuration names)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Simulate, write, print. What can be refused is refused before the first layer runs."""
    from sim import energy, report, schemes, study, tables
    from stamp_hw.files import atomic_file
    from stamp_hw.trace import Trace

    config = hardware(args)
    wanted = tuple(part.strip() for part in args.schemes.split(",") if part.strip())
    schemes.check(wanted)
    energy_set = energy.load_file(args.energy_set) if args.energy_set else energy.load(config.hw.technology)
    for path in (args.json, args.csv):
        if path is not None:
            check_writable(path, folder=False)
    plotted: tuple[Path, ...] = ()
    if args.plots is not None:
        from sim.plots import FILES

        plotted = tuple(args.plots / name for name in FILES)
        check_writable(args.plots, folder=True)
    check_apart({"the trace": args.trace, "--config": args.config, "--energy-set": args.energy_set},
                [("--json", args.json), ("--csv", args.csv), *(("--plots", path) for path in plotted)])
    progress = progress_line()
    with Trace.open(args.trace) as trace:
        names = study.chosen(trace, args.layers)
        try:
            outcomes, energies = study.run(trace, config, energy_set, names, wanted, args.seed, progress)
        finally:
            progress("")
        document = report.document(outcomes, config, energy_set, args.seed, trace.calibration,
                                   trace_sha256=trace.sha256(), version=metadata.version("stamp-hw"))
    if args.json is not None:
        with atomic_file(args.json) as stream:
            report.write_json(document, stream)
    if args.csv is not None:
        with atomic_file(args.csv) as stream:
            report.write_csv(document, stream)
    if args.plots is not None:
        from sim import plots

        plots.write(document, energies, args.plots)
    # Last, so that a reader of this output who leaves early does not cost the files.
    print(tables.render(document))
    return 0
