"""`stamp-hw synth`: cells of every block after synthesis for a Lattice ECP5 or for plain LUTs and flip-flops."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from stamp_hw.cli.arguments import runs
from stamp_hw.cli.common import HardwareOptions, add_hardware, check_apart, check_writable
from stamp_hw.cli.show import show
from stamp_hw.errors import ConfigError
from stamp_hw.formats.files import write_json
from stamp_hw.text import align


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(HardwareOptions):
    """What the command line asks for."""

    block: str
    target: str
    json: Path | None


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options; `run` is a function of them."""
    parser.description = (
        "Synthesize a configuration with Yosys and print the cells of each block, those of its parts "
        "included. Without place and route: no clock rate comes out (see `stamp-hw place`).")
    add_hardware(parser)
    parser.add_argument("--block", metavar="NAME", default="engine",
                        help="what to synthesize: engine (default), axi, dma, hadamard, haar, scale, mac, combine or "
                             "rescale")
    parser.add_argument("--target", metavar="NAME", default="ecp5",
                        help="ecp5 (default), or lut4 or lut6: LUTs of so many inputs and flip-flops, memories in bits")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the counts as JSON")
    runs(parser, Options, run)


def run(args: Options) -> int:
    """Synthesize, print a table, and write the counts if asked to."""
    from rtl_gen.toolchain import amaranth, require

    if args.json is not None:
        check_writable(args.json, folder=False)
        check_apart({"--config": args.config}, [("--json", args.json)])
    require(amaranth())  # which the imports below need
    from rtl_gen.flow.synth import TARGETS, TRANSFORM, synthesize
    from rtl_gen.tops import units

    config = args.configuration()
    tops = units(args.block, config.hw)
    if args.target not in TARGETS:
        raise ConfigError("unknown target", where="--target", got=args.target, expected=" or ".join(TARGETS))
    target = TARGETS[args.target]
    results = {}
    for unit in tops:
        result = synthesize(unit, config, target)
        results[unit.module] = result.to_dict()
        show(align((f"{target.name}, each block with its parts", "instances", *target.columns), [
            ("  " * len(block.path) + (block.path[-1] if block.path else block.module), str(block.instances),
             *(str(count) for count in target.table(block.cells).values())) for block in result.blocks]))
        if (share := result.share()) is not None:
            print(f"lifting and scale ({', '.join(TRANSFORM)}): {share:.1%} of the LUTs")
    if args.json is not None:
        write_json(args.json, {"schema_version": 2, "target": target.name, "hw": config.to_dict()["hw"],
                               "tops": results})
    return 0
