"""`stamp-hw simulate`: accuracy, cycles and energy of every layer of a trace under several schemes."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from stamp_hw.cli.arguments import runs
from stamp_hw.cli.common import HardwareOptions, add_hardware, check_apart, check_writable, numbers, progress_line, seed
from stamp_hw.cli.show import show
from stamp_hw.config import NpuConfig
from stamp_hw.errors import StampError

SHAPE_SCHEMES = "a8,a4,first_n,stamp"
DEFAULT_SCHEMES = f"{SHAPE_SCHEMES},stamp_shuffled"
_OF_TRACES = ("layers", "plots", "seed")  # options that a shape has no use for


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(HardwareOptions):
    """What the command line asks for."""

    trace: Path | None
    shape: Sequence[str] | None
    json: Path | None
    csv: Path | None
    plots: Path | None
    layers: str | None
    schemes: str | None
    seed: int | None
    energy_set: Path | None


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options; `run` is a function of them."""
    parser.description = (
        "Runs every layer of a trace through the bit-accurate model and the cycle and energy models, "
        "for several schemes on the same array, and prints tables; or layers of given shapes, without"
        " data, through the cycle and energy models. docs/simulate.md defines every figure.")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("trace", type=Path, metavar="TRACE", nargs="?", help="a trace that `stamp-hw trace dump` wrote")
    source.add_argument("--shape", metavar="SxKxN", action="append",
                        help="tokens, inputs and outputs of a layer, or HxW,K,N on a grid: cycles and energy alone "
                             "(may be repeated: a row each, and their sums)")
    add_hardware(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure as JSON")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write a line a layer and scheme")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="write plots (PNG) into this folder")
    parser.add_argument("--layers", metavar="REGEX", help="only layers whose name it is found in")
    parser.add_argument("--schemes", metavar="LIST",
                        help=f"comma-separated (default {DEFAULT_SCHEMES}; with --shape without the last)")
    parser.add_argument("--seed", type=seed, metavar="N", help="seed of stamp_shuffled's permutation (default 0)")
    parser.add_argument("--energy-set", type=Path, metavar="FILE",
                        help="energy constants (default: the set that the configuration names)")
    runs(parser, Options, run)


def run(args: Options) -> int:
    """Simulate, write, print. What can be refused is refused before the first layer runs."""
    from sim.cost import energy
    from sim.studies import report, tables
    from stamp_hw import schemes
    from stamp_hw.formats.files import atomic_file

    config = args.configuration()
    given = args.schemes if args.schemes is not None else DEFAULT_SCHEMES if args.shape is None else SHAPE_SCHEMES
    wanted = tuple(part.strip() for part in given.split(",") if part.strip())
    schemes.check(wanted)
    energy_set = energy.load_file(args.energy_set) if args.energy_set else energy.load(config.hw.technology)
    energy_set = energy_set.with_memory(config.hw.memory)
    for path in (args.json, args.csv):
        if path is not None:
            check_writable(path, folder=False)
    plotted: tuple[Path, ...] = ()
    if args.plots is not None:
        from sim.studies.plots import FILES

        plotted = tuple(args.plots / name for name in FILES)
        check_writable(args.plots, folder=True)
    check_apart({"the trace": args.trace, "--config": args.config, "--energy-set": args.energy_set},
                [("--json", args.json), ("--csv", args.csv), *(("--plots", path) for path in plotted)])
    energies: dict[str, Any] = {}
    if args.trace is not None:
        document, energies = _of_trace(args, args.trace, config, energy_set, wanted)
    else:
        document = _of_shape(args, args.shape or (), config, energy_set, wanted)
    if args.json is not None:
        with atomic_file(args.json) as stream:
            report.write_json(document, stream)
    if args.csv is not None:
        with atomic_file(args.csv) as stream:
            report.write_csv(document, stream)
    if args.plots is not None:
        from sim.studies import plots

        plots.write(document, energies, args.plots)
    # Last, so that a reader of this output who leaves early does not cost the files.
    show(tables.render(document))
    return 0


def _of_trace(args: Options, path: Path, config: NpuConfig, energy_set: Any, wanted: Sequence[str]
              ) -> tuple[dict[str, Any], dict[str, Any]]:
    """(report, energy of each layer's tokens)."""
    from sim.studies import report, study
    from stamp_hw.cli.layers import check_n_hi, chosen
    from stamp_hw.formats.trace import Trace

    progress, shuffled = progress_line(), args.seed or 0
    with Trace.open(path) as trace:
        names = chosen(trace, args.layers or "")
        check_n_hi(trace, config, names)
        try:
            outcomes, energies = study.run(trace, config, energy_set, names, wanted, shuffled, progress)
        finally:
            progress("")
        document = report.document(outcomes, config, energy_set, shuffled, trace.calibration,
                                   trace_sha256=trace.sha256(), version=metadata.version("stamp-hw"),
                                   linear_layers=len({trace.entry(name).weight for name in names}),
                                   model_linear_layers=trace.linear_layers)
    return document, energies


def _of_shape(args: Options, texts: Sequence[str], config: NpuConfig, energy_set: Any, wanted: Sequence[str]
              ) -> dict[str, Any]:
    """The report. Raises StampError for an option that needs a trace and for what is no shape."""
    from sim.studies import shape_study

    for name in _OF_TRACES:
        if getattr(args, name) is not None:
            raise StampError("option of traces", where=f"--{name}", expected="TRACE with it, not --shape")
    config = replace(config, kinds=())  # a shape is of no kind
    shapes = [_shape(text, config) for text in texts]
    if len({(shape.tokens, shape.grid, shape.k, shape.n) for shape in shapes}) < len(shapes):
        raise StampError("shape given twice", where="--shape", got=" ".join(texts), expected="each shape once")
    study = {shape.name: shape_study.run(shape, config, energy_set, wanted) for shape in shapes}
    return shape_study.document(study, config, energy_set, version=metadata.version("stamp-hw"))


def _shape(text: str, config: NpuConfig) -> Any:
    """The layer of a shape as it is written. Raises StampError for what is none."""
    from sim.studies import shape_study

    form = "tokens, inputs and outputs, as in 2048x4096x4096 or 16x16,192,192"
    first, comma, rest = text.partition(",")
    tokens = numbers("--shape", first, "x", form)
    tokens, sizes = (tokens, numbers("--shape", rest, ",", form)) if comma else (tokens[:-2], tokens[-2:])
    if (len(tokens), len(sizes)) != (2 if comma else 1, 2):
        raise StampError("not a shape", where="--shape", got=text, expected=form)
    return shape_study.shape_of(text, tokens, sizes[0], sizes[1], config)
