"""`stamp-hw simulate`: accuracy, cycles and energy of every layer of a trace, or cost of a shape or a whole model,
under several schemes."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from sim.commands import scalesim
from sim.commands.mapping_options import MappingOptions, add_mapping_options
from sim.commands.model_options import ModelOptions, add_model_options
from stamp_hw.cli.arguments import runs
from stamp_hw.cli.common import (
    HardwareOptions,
    add_hardware,
    check_apart,
    check_writable,
    count,
    progress_line,
    seed,
)
from stamp_hw.cli.show import show
from stamp_hw.config import NpuConfig
from stamp_hw.errors import StampError

SHAPE_SCHEMES = "a8,a4,first_n,stamp"
DEFAULT_SCHEMES = f"{SHAPE_SCHEMES},stamp_shuffled"
_OF_TRACES = ("layers", "plots", "seed")  # options that only a trace has a use for
_OF_THE_ENGINE = ("job", "csv", "schemes", "energy_set", "mapping", "objective")  # and only the engine
_OF_MODELS = ("vector_lanes", "prefetch", "dump_workload", "accuracy")  # and only a model


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(HardwareOptions, ModelOptions, MappingOptions, scalesim.ModeOptions):
    """What the command line asks for."""

    trace: Path | None
    shape: Sequence[str] | None
    model: str | None
    json: Path | None
    csv: Path | None
    plots: Path | None
    layers: str | None
    schemes: str | None
    seed: int | None
    energy_set: Path | None
    vector_lanes: int | None
    dump_workload: Path | None
    accuracy: Path | None


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options; `run` is a function of them."""
    parser.description = (
        "Runs every layer of a trace through the bit-accurate model and the cycle and energy models, "
        "for several schemes on the same array, and prints tables; or layers of given shapes, or a whole model, without"
        " data, through the cycle and energy models. docs/simulate.md and docs/workloads.md define every figure.")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("trace", type=Path, metavar="TRACE", nargs="?", help="a trace that `stamp-hw trace dump` wrote")
    source.add_argument("--shape", metavar="SxKxN", action="append",
                        help="tokens, inputs and outputs of a layer, or HxW,K,N on a grid: cycles and energy alone "
                             "(may be repeated: a row each, and their sums)")
    source.add_argument("--model", metavar="NAME",
                        help="a whole model: a name in configs/models, a config.json, a folder with one, or a "
                             "workload's YAML: tokens or images a second, joules and what limits them")
    add_hardware(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure as JSON")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write a line a layer and scheme")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="write plots (PNG) into this folder")
    parser.add_argument("--layers", metavar="REGEX", help="only layers whose name it is found in")
    parser.add_argument("--schemes", metavar="LIST",
                        help=f"comma-separated (default {DEFAULT_SCHEMES}; without the last where there is no trace)")
    parser.add_argument("--seed", type=seed, metavar="N", help="seed of stamp_shuffled's permutation (default 0)")
    parser.add_argument("--energy-set", type=Path, metavar="FILE|NAME",
                        help="energy constants, of a file or of the package: horowitz45, osu018 (default: the set that "
                             "the configuration names)")
    scalesim.add_mode_options(parser)
    add_mapping_options(parser)
    add_model_options(parser)
    model = parser.add_argument_group("with --model")
    model.add_argument("--vector-lanes", type=count, metavar="N",
                       help="count the work of a vector unit of so many lanes behind the array (default: not included)")
    model.add_argument("--dump-workload", type=Path, metavar="FILE", help="write the workload as YAML, to be edited")
    model.add_argument("--accuracy", type=Path, metavar="FILE",
                       help="what `stamp-hw eval --json`, or simulate of a trace, wrote of the same model")
    runs(parser, Options, run)


def run(args: Options) -> int:
    """Simulate, write, print. What can be refused is refused before the first layer runs."""
    from sim.cost import energy
    from sim.studies import report, tables
    from stamp_hw import schemes
    from stamp_hw.formats.files import atomic_file

    config = args.configuration()
    scalesim.check(args, shapes=args.shape is not None, others=_given(args, _OF_THE_ENGINE))
    given = args.schemes if args.schemes is not None else DEFAULT_SCHEMES if args.trace else SHAPE_SCHEMES
    wanted = tuple(part.strip() for part in given.split(",") if part.strip())
    schemes.check(wanted, data=args.trace is not None)
    _check_source(args)
    args.searched()
    energy_set = energy.load_file(args.energy_set) if args.energy_set else energy.load(config.hw.technology)
    energy_set.check(config.hw)
    energy_set = energy_set.with_memory(config.hw.memory)
    for path in (args.json, args.csv, args.dump_workload):
        if path is not None:
            check_writable(path, folder=False)
    plotted: tuple[Path, ...] = ()
    if args.plots is not None:
        from sim.studies.plots import FILES

        plotted = tuple(args.plots / name for name in FILES)
        check_writable(args.plots, folder=True)
    check_apart({"the trace": args.trace, "--config": args.config, "--energy-set": args.energy_set,
                 "--accuracy": args.accuracy, "--model": Path(args.model) if args.model else None},
                [("--json", args.json), ("--csv", args.csv), ("--dump-workload", args.dump_workload),
                 *(("--plots", path) for path in plotted)])
    if args.model is not None:
        return _model(args, args.model, config, energy_set, wanted)
    if args.mode == "scalesim":
        from sim.commands import shapes

        return scalesim.run(args, shapes.parse_all(args.shape or (), config), config, args.json)
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


def _check_source(args: Options) -> None:
    """Raise StampError for options of another source than the one given."""
    for name in _OF_TRACES:
        if args.trace is None and getattr(args, name) is not None:
            raise StampError("option of traces", where=f"--{name}",
                             expected=f"TRACE with it, not --{'shape' if args.shape else 'model'}")
    if args.model is None:
        others = _given(args, (*args.given(), *_OF_MODELS))
        if others:
            raise StampError("option of whole models", where=others[0], expected="--model with it")


def _given(args: Options, names: Sequence[str]) -> list[str]:
    """Those of some options that were given, as they were."""
    return [f"--{'no-' if getattr(args, name) is False else ''}{name.replace('_', '-')}" for name in names
            if getattr(args, name) not in (None, [])]


def _model(args: Options, word: str, config: NpuConfig, energy_set: Any, wanted: Sequence[str]) -> int:
    """Simulate, write, print a whole model."""
    from sim.workload import accuracy, file, report, tables
    from sim.workload.run import Run
    from stamp_hw.formats.files import atomic_file, write_json

    workload = args.workload_of(word)
    measured = None if args.accuracy is None else accuracy.read(args.accuracy, workload, config)
    costs = Run(workload, config, energy_set, args.vector_lanes, args.searched(), prefetch=args.prefetch is not False)
    document = report.document(costs, wanted, energy_set, metadata.version("stamp-hw"))
    if measured is not None:
        document["accuracy"] = measured
    if args.dump_workload is not None:
        with atomic_file(args.dump_workload) as stream:
            file.write(workload, stream)
    if args.json is not None:
        write_json(args.json, document)
    if args.csv is not None:
        with atomic_file(args.csv) as stream:
            report.write_csv(document, stream)
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
            outcomes, energies = study.run(trace, config, energy_set, names, wanted, shuffled, progress,
                                           args.searched())
        finally:
            progress("")
        document = report.document(outcomes, config, energy_set, shuffled, trace.calibration,
                                   trace_sha256=trace.sha256(), version=metadata.version("stamp-hw"),
                                   linear_layers=len({trace.entry(name).weight for name in names}),
                                   model_linear_layers=trace.linear_layers, objective=args.searched())
    return document, energies


def _of_shape(args: Options, texts: Sequence[str], config: NpuConfig, energy_set: Any, wanted: Sequence[str]
              ) -> dict[str, Any]:
    """The report. Raises StampError for what is no shape."""
    from sim.commands import shapes
    from sim.studies import shape_study

    config = replace(config, kinds=())  # a shape is of no kind
    layers = shapes.parse_all(texts, config)
    study = {shape.name: shape_study.run(shape, config, energy_set, wanted, args.searched()) for shape in layers}
    return shape_study.document(study, config, energy_set, version=metadata.version("stamp-hw"),
                                objective=args.searched())
