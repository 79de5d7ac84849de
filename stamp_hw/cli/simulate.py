"""`stamp-hw simulate`: accuracy, cycles and energy of every layer of a trace under several schemes."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from stamp_hw.errors import OutputError

_TEMPORARY = 14  # characters that `atomic_file` adds to a name
DEFAULT_SCHEMES = "a8,a4,first_n,stamp,stamp_shuffled"


def add_parser(subparsers: Any) -> None:
    """Register `simulate` with argparse; it sets `run`, a function of the options."""
    parser = subparsers.add_parser(
        "simulate", help="accuracy, cycles and energy of a trace's layers",
        description="Runs every layer of a trace through the bit-accurate model and the cycle and energy models, for "
                    "several schemes on the same array, and prints tables. docs/simulate.md defines every figure.")
    parser.add_argument("trace", type=Path, metavar="TRACE", help="a trace that `stamp-hw trace dump` wrote")
    parser.add_argument("--config", type=Path, metavar="YAML", help="hardware and job (default: an 8 × 8 array)")
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


def seed(text: str) -> int:
    """A whole number, not negative."""
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"a whole number from 0 on is expected, not {text!r}")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Simulate, write, print. What can be refused is refused before the first layer runs."""
    from sim import energy, report, schemes, study, tables
    from stamp_hw.config import NpuConfig
    from stamp_hw.files import atomic_file
    from stamp_hw.trace import Trace

    config = NpuConfig.load(args.config) if args.config else NpuConfig()
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


def check_apart(inputs: Mapping[str, Path | None], outputs: Sequence[tuple[str, Path | None]]) -> None:
    """Raise OutputError where an output would replace an input or another output, or be the folder of one."""
    taken = [(name, path, Path(os.path.realpath(path))) for name, path in inputs.items() if path is not None]
    for name, path in outputs:
        if path is None:
            continue
        real = Path(os.path.realpath(path))
        for other, _, place in taken:
            if real == place or real in place.parents or place in real.parents:
                raise OutputError("output in the way of another file", where=f"{name} {path}", got=f"{other} {place}",
                                  expected="a file of its own")
        taken.append((name, path, real))


def check_writable(path: Path, *, folder: bool) -> None:
    """Raise OutputError where a file (or a folder for files) of that name could not be made. Makes nothing."""
    from stamp_hw.files import final_target

    where = str(path)
    nearest = path if folder else path.parent
    try:
        while not nearest.exists():
            nearest = nearest.parent
        longest = os.pathconf(nearest, "PC_NAME_MAX")
    except OSError as error:
        raise OutputError("cannot write", where=where, got=error.strerror or str(error),
                          expected="a writable folder") from None
    # `atomic_file` writes beside the name first, under one that is longer.
    if max(len(os.fsencode(part)) for part in path.parts or ("",)) + _TEMPORARY > longest:
        raise OutputError("cannot write", where=where, got="a name too long", expected=f"at most {longest - _TEMPORARY}"
                          " bytes between slashes")
    if not nearest.is_dir():
        raise OutputError("cannot write", where=where, got=f"{nearest} is no folder", expected="a writable folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise OutputError("cannot write", where=where, got=f"{nearest} is read-only", expected="a writable folder")
    if not folder:
        final_target(path)


def progress_line() -> Callable[[str], None]:
    """One line on stderr, rewritten in place; nothing when stderr is not a terminal."""
    if not sys.stderr.isatty():
        return lambda line: None

    def show(line: str) -> None:
        print(f"\r\x1b[K{line[:100]}", end="", file=sys.stderr, flush=True)

    return show
