"""`stamp-hw ablate`: the paper's comparisons on a trace, in one table."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from sim.ablate.names import FEATURES, TRANSFORMS
from stamp_hw.cli.arguments import runs
from stamp_hw.cli.common import HardwareOptions, add_hardware, check_apart, check_writable, progress_line, seed
from stamp_hw.cli.show import show
from stamp_hw.errors import StampError


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(HardwareOptions):
    """What the command line asks for."""

    trace: Path
    fit: Sequence[Path]
    layers: str
    levels: tuple[int, ...] | None
    transforms: tuple[str, ...]
    features: tuple[str, ...]
    seed: int
    json: Path | None
    csv: Path | None
    plots: Path | None


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options; `run` is a function of them."""
    parser.description = (
        "Compares transforms along the tokens (identity, Haar, DCT, Walsh–Hadamard, KLT, Haar on "
        "shuffled tokens) under feature transforms folded into the weights (none, Hadamard, "
        "SmoothQuant) at 4 bits and with n_hi coefficients at 8, in float and in the bit-accurate "
        "model. docs/ablate.md defines every figure.")
    parser.add_argument("trace", type=Path, metavar="TRACE", help="a trace that `stamp-hw trace dump` wrote")
    parser.add_argument("--fit", type=Path, metavar="TRACE", action="append", default=[],
                        help="a trace of the same layers on other sequences, to fit the KLT and SmoothQuant's scales "
                             "on (may be repeated)")
    add_hardware(parser)
    parser.add_argument("--layers", default="", metavar="REGEX", help="only layers whose name it is found in")
    parser.add_argument("--levels", type=levels, metavar="LIST",
                        help="levels of the Haar rows, as in 1,3,5 (default: 1 to one more than the 8-bit tokens "
                             "need, or what the configuration's job says; the job's own are always among them)")
    for what, known, says in (("transforms", TRANSFORMS, "transforms along the tokens; identity is always there"),
                              ("features", FEATURES, "feature transforms")):
        parser.add_argument(f"--{what}", type=some_of(known), default=known, metavar="LIST",
                            help=f"{says} (default {','.join(known)})")
    parser.add_argument("--seed", type=seed, default=0, metavar="N",
                        help="seed of the rotation's signs and of the permutation (default 0)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure as JSON")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write a line a row, and one a row and layer")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="write a plot (PNG) into this folder")
    runs(parser, Options, run)


def levels(text: str) -> tuple[int, ...]:
    """Numbers from 1 to 8 between commas, each once."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part in set("12345678") for part in parts) or len(set(parts)) < len(parts):
        raise argparse.ArgumentTypeError(f"numbers from 1 to 8, each once, as in 1,3,5, are expected, not {text!r}")
    return tuple(map(int, parts))


def some_of(known: tuple[str, ...]) -> Callable[[str], tuple[str, ...]]:
    """An option's type: names between commas, each one of these."""
    def parse(text: str) -> tuple[str, ...]:
        parts = tuple(part.strip() for part in text.split(","))
        if not set(parts) <= set(known):
            raise argparse.ArgumentTypeError(f"some of {', '.join(known)} are expected, not {text[:80]!r}")
        return parts
    return parse


def run(args: Options) -> int:
    """Compare, write, print. What can be refused is refused before the first layer runs."""
    from sim.ablate import report, rows, study, tables
    from sim.ablate.fit import Fit
    from sim.studies.report import write_json
    from stamp_hw.cli.layers import check_n_hi, chosen
    from stamp_hw.formats.files import atomic_file
    from stamp_hw.formats.trace import Trace

    config = args.configuration()
    for path in (args.json, args.csv):
        if path is not None:
            check_writable(path, folder=False)
    plotted: tuple[Path, ...] = ()
    if args.plots is not None:
        from sim.ablate.plots import FILES

        plotted = tuple(args.plots / name for name in FILES)
        check_writable(args.plots, folder=True)
    fits = {f"--fit, number {number},": path for number, path in enumerate(args.fit, 1)}
    check_apart({"the trace": args.trace, **fits, "--config": args.config},
                [("--json", args.json), ("--csv", args.csv), *(("--plots", path) for path in plotted)])
    progress = progress_line()
    with ExitStack() as stack:
        trace = stack.enter_context(Trace.open(args.trace))
        fit = Fit(trace, [stack.enter_context(Trace.open(path)) for path in args.fit])
        names = chosen(trace, args.layers)
        check_n_hi(trace, config, names)
        layers = [study.tokens_of(trace, name, config) for name in names if trace.entry(name).transform]
        if not layers:
            raise StampError("no layer to transform", where=str(args.trace), expected="a layer over a token sequence")
        plan = rows.plan(layers, config, args.levels, bool(fit), args.transforms, args.features)
        try:
            found = study.run(trace, fit, config, layers, plan, args.seed, progress)
        finally:
            progress("")
        document = report.document(
            found, plan, config, seed=args.seed, calibration=trace.calibration,
            skipped=[name for name in names if not trace.entry(name).transform], trace_sha256=trace.sha256(),
            fit_sha256=fit.sha256, fit_sequences=min(fit.sequences(layer.name) for layer in layers),
            version=metadata.version("stamp-hw"))
    if args.json is not None:
        with atomic_file(args.json) as stream:
            write_json(document, stream)
    if args.csv is not None:
        with atomic_file(args.csv) as stream:
            report.write_csv(document, stream)
    if args.plots is not None:
        from sim.ablate import plots

        plots.write(document, args.plots)
    # Last, so that a reader of this output who leaves early does not cost the files.
    show(tables.render(document))
    return 0
