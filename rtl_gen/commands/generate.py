"""`stamp-hw generate`: Verilog of the engine, and on request of each block alone, and testbenches with vectors."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from rtl_gen.delivery.prefix import PREFIX, check_prefix
from stamp_hw.cli.arguments import runs
from stamp_hw.cli.common import HardwareOptions, add_hardware


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(HardwareOptions):
    """What the command line asks for."""

    out: Path
    blocks: bool
    vectors: bool
    memory_attributes: bool
    prefix: str


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options; `run` is a function of them."""
    parser.description = (
        "Write the Verilog of a configuration's engine, with plain streams, behind AXI and, of hardware with "
        "hw.bus_width, with a DMA of its own: one file a module, a file list, register map, C header, FuseSoC core and "
        "a manifest. The folder appears complete or not at all.")
    add_hardware(parser)
    parser.add_argument("--out", metavar="DIR", type=Path, required=True,
                        help="folder to write: new, empty, or an untouched earlier result, which is replaced")
    parser.add_argument("--blocks", action="store_true",
                        help="add each block as a top of its own: lifting, scale, MAC array, rescale, and combine and "
                             "Hadamard where there are such")
    parser.add_argument("--vectors", action="store_true",
                        help="add stimulus, expected outputs and a plain Verilog testbench of each top without AXI")
    parser.add_argument("--prefix", metavar="NAME", default=PREFIX,
                        help=f"what the names of modules, files and C begin with, so that two configurations live in "
                             f"one design (default {PREFIX})")
    parser.add_argument("--no-memory-attributes", dest="memory_attributes", action="store_false",
                        help="leave out what asks AMD's and Lattice's tools for block RAM where a memory is large")
    runs(parser, Options, run)


def run(args: Options) -> int:
    """Generate, write, and say what was written."""
    check_prefix(args.prefix)
    from rtl_gen.toolchain import amaranth, require

    require(amaranth())  # which the imports below need
    from rtl_gen.delivery.generate import check_target, generate, write
    from rtl_gen.verilog.emit import Style

    config = args.configuration()
    check_target(args.out)
    files = generate(config, blocks=args.blocks, vectors=args.vectors, prefix=args.prefix,
                     style=Style(memory_attributes=args.memory_attributes))
    write(args.out, files)
    modules = [name for name in files if "/" not in name and name.endswith(".v")]
    lines = sum(files[name].count("\n") for name in modules)
    print(f"{args.out}: {len(modules)} modules, {lines} lines of Verilog, {len(files)} files in all")
    if args.vectors:
        print(f"testbenches: cd {args.out}/vectors; how to run one is in the head of each tb_*.v")
    return 0
