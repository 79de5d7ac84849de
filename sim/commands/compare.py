"""`stamp-hw compare`: a whole model under five schemes, with and without rotation and block scales."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from sim.commands.mapping_options import MappingOptions, add_mapping_options
from sim.commands.model_options import ModelOptions, add_model_options
from stamp_hw.cli.arguments import runs
from stamp_hw.cli.common import HardwareOptions, add_hardware, check_apart, check_writable, count
from stamp_hw.cli.show import show
from stamp_hw.errors import StampError


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(HardwareOptions, ModelOptions, MappingOptions):
    """What the command line asks for."""

    workload: str
    json: Path | None
    energy_set: Sequence[Path]
    vector_lanes: int | None
    accuracy: Sequence[Path]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options; `run` is a function of them."""
    parser.description = (
        "Costs a whole model, or a workload's YAML, with weights and tokens of 8 and 4 bits (w8a8, w4a8, w4a4, "
        "w4_first_n, w4_stamp), each on the configured array without and with a block Hadamard unit, with block scales "
        "and with both: rates, joules, bytes, what transform, scale and rescale unit take of the energy, and "
        "whether the order of the schemes is the same under every energy set. docs/workloads.md defines every figure.")
    parser.add_argument("workload", metavar="WORKLOAD",
                        help="a name in configs/models, a config.json, a folder with one, or a workload's YAML")
    add_hardware(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure as JSON")
    parser.add_argument("--energy-set", type=Path, metavar="FILE", action="append", default=[],
                        help="energy constants beside the set that the configuration names and those of the package "
                             "(may be repeated)")
    parser.add_argument("--vector-lanes", type=count, metavar="N",
                        help="count the work of a vector unit of so many lanes (default: not included)")
    parser.add_argument("--accuracy", type=Path, metavar="FILE", action="append", default=[],
                        help="what `stamp-hw eval --json` wrote of the same model; stands where its weights and "
                             "machine fit (may be repeated)")
    add_mapping_options(parser)
    add_model_options(parser)
    runs(parser, Options, run)


def run(args: Options) -> int:
    """Cost, write, print."""
    from sim.cost import energy
    from sim.workload import compare, compare_table
    from stamp_hw.formats.files import write_json

    config, objective = args.configuration(), args.searched()
    sets = [one.with_memory(config.hw.memory) for one in (
        energy.load(config.hw.technology), *map(energy.load_file, args.energy_set))]
    if len({one.name for one in sets}) < len(sets):
        raise StampError("energy sets of one name", where="--energy-set", got=", ".join(one.name for one in sets),
                         expected="a name each")
    at_hand = [energy.load(name).with_memory(config.hw.memory) for name in energy.shipped()
               if name not in [one.name for one in sets]]
    if args.json is not None:
        check_writable(args.json, folder=False)
    check_apart({"--config": args.config, "WORKLOAD": Path(args.workload),
                 **{f"--energy-set {path}": path for path in args.energy_set},
                 **{f"--accuracy {path}": path for path in args.accuracy}}, [("--json", args.json)])
    workload = args.workload_of(args.workload)
    accuracy = _accuracy(args.accuracy, workload, config) if args.accuracy else None
    document = compare.document(workload, config, sets, args.vector_lanes, metadata.version("stamp-hw"), objective,
                                at_hand=at_hand, prefetch=args.prefetch is not False)
    if accuracy is not None:
        document["accuracy"] = accuracy
    if args.json is not None:
        write_json(args.json, document)
    show(compare_table.render(document))
    return 0


def _accuracy(paths: Sequence[Path], workload: Any, config: Any) -> dict[str, Any]:
    """`figure`, `source`, and `rows`: "machine scheme" → value of every report. Raises StampError for a report that
    fits no row."""
    from sim.workload import accuracy, compare

    rows: dict[str, float | None] = {}
    figures, sources = set(), []
    for path in paths:
        error: StampError | None = None
        fits = False
        for name in compare.MACHINES:
            for bits in (8, 4):
                try:
                    found = accuracy.read(path, workload, compare.with_weights(compare.machine(name, config), bits))
                except StampError as refused:
                    if error is None or error.what.endswith("hw"):  # of all rows the one that fits best
                        error = refused
                    continue
                fits = True
                figures.add(found["figure"])
                sources.append(found["source"])
                rows |= {f"{name} {scheme}": found["schemes"].get(tokens)
                         for scheme, (own, tokens) in compare.SCHEMES.items() if own == bits}
        if error is not None and not fits:
            raise error
    if len(figures) > 1:
        raise StampError("accuracies of two kinds", where="--accuracy", got=", ".join(sorted(figures)),
                         expected="reports of one kind of models")
    return {"figure": figures.pop(), "source": "; ".join(dict.fromkeys(sources)), "rows": rows}
