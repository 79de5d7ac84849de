"""`stamp-hw board`: a bitstream for an FPGA board that runs a layer, compares its results and says what it found."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stamp_hw import exits
from stamp_hw.cli.arguments import runs
from stamp_hw.cli.common import HardwareOptions, add_hardware, check_apart, check_writable, count, named, seed
from stamp_hw.errors import ConfigError, StampError
from stamp_hw.rooms import HOME

if TYPE_CHECKING:
    from stamp_hw.config import NpuConfig
    from stamp_hw.layer import Layer
    from tb.board.flow import Board, Routed

BOARDS = ("ulx3s",)
CONFIG, TRACE = HOME / "configs" / "ulx3s.yaml", HOME / "models" / "traces" / "smollm2.safetensors"
LAYER, TOKENS, FIRST_MHZ = "model.layers.0.self_attn.k_proj", 32, 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(HardwareOptions):
    """What the command line asks for."""

    board: str
    out: Path
    trace: Path
    layer: str
    tokens: int
    mhz: int | None
    seed: int
    simulate_only: bool
    json: Path | None


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options; `run` is a function of them."""
    parser.description = (
        "Put a layer of a trace, its golden results and stamp_npu into an FPGA board: write Verilog, constraints and "
        "the contents of its memories, simulate the whole to the last byte on its serial line, which must be that of "
        "the golden model, and synthesize, place, route and pack it. Takes some ten minutes, most of them for place and "
        "route.")
    parser.epilog = exits.HELP
    parser.add_argument("board", metavar="BOARD", help=f"{' or '.join(BOARDS)}: a ULX3S with an ECP5-85F")
    add_hardware(parser, says=f"hardware and job (default: configs/{CONFIG.name}, a 4 × 4 array)")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True,
                        help="folder to write: new, empty, or an untouched earlier result, which is replaced")
    parser.add_argument("--trace", metavar="TRACE", type=Path, default=TRACE,
                        help=f"a trace that `stamp-hw trace dump` wrote (default: models/traces/{TRACE.name}, of a real "
                             "Llama)")
    parser.add_argument("--layer", metavar="NAME", type=named, default=LAYER, help=f"the layer (default {LAYER})")
    parser.add_argument("--tokens", metavar="N", type=count, default=TOKENS,
                        help=f"the first so many of its tokens (default {TOKENS})")
    parser.add_argument("--mhz", metavar="N", type=count,
                        help=f"clock rate, an error where it is not reached (default: {FIRST_MHZ}, or the fastest that "
                             "is)")
    parser.add_argument("--seed", metavar="N", type=seed, default=1, help="seed of place and route (default 1)")
    parser.add_argument("--simulate-only", action="store_true", help="no bitstream: all but synthesis, place and route")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the result as JSON")
    runs(parser, Options, run)


def run(args: Options) -> int:
    """Build, simulate, place, write, print; 1 where the simulated board does not say what it must."""
    from rtl_gen import toolchain

    if args.board not in BOARDS:
        raise ConfigError("unknown board", where="BOARD", got=args.board, expected=" or ".join(BOARDS))
    toolchain.require(toolchain.amaranth(), toolchain.verilator()[0])  # which the imports below need
    if not args.simulate_only:
        toolchain.require(toolchain.yosys(), toolchain.nextpnr())
    from rtl_gen.board import delivery
    from stamp_hw.formats.files import write_json
    from tb.board.flow import slower
    from tb.run.simulator import check_root

    config = _configuration(args)
    check_root()
    delivery.check_target(args.out)
    if args.json is not None:
        check_writable(args.json, folder=False)
    check_apart({"--trace": args.trace, "--config": args.config}, [("--out", args.out), ("--json", args.json)])
    layer = _layer(args)
    mhz: int | None = args.mhz or FIRST_MHZ
    while mhz is not None:
        built = _simulated(layer, config, mhz)
        if built is None:
            return exits.FOUND
        one, said = built
        files: dict[str, str | bytes] = {**one.modules, **one.memories, delivery.LPF: _constraints(), **_models(config),
                                         delivery.SAID: said}
        found: dict[str, object] = {"board": args.board, "mhz": mhz, "layer": _named(layer), "hw": config.to_dict()["hw"],
                                    "said": said.splitlines(), "bytes": one.bytes_used}
        if not args.simulate_only:
            routed, bits = _routed(one, args.seed)
            if not routed.met:
                next_mhz = None if args.mhz else slower(mhz, routed.fmax_mhz)
                if next_mhz is None:
                    raise StampError("the clock does not reach its rate", where=f"{mhz} MHz",
                                     got=f"{routed.fmax_mhz:.1f} MHz", expected="a lower --mhz, or another --seed")
                mhz = next_mhz
                continue
            files[delivery.BITSTREAM] = bits
            found |= {"fmax_mhz": routed.fmax_mhz, "met": routed.met, "seed": args.seed,
                      "cells": {kind: asdict(use) for kind, use in routed.cells.items()}, "bitstream_bytes": len(bits)}
        delivery.write(args.out, files, found)
        if args.json is not None:
            write_json(args.json, {"schema_version": 1, **found, "tools": _versions()})
        if not args.simulate_only:
            print(f"bitstream: {args.out / delivery.BITSTREAM}")
        print("the serial line must say, and says in the simulation:")
        print("".join(f"    {line}\n" for line in said.splitlines()), end="")
        return exits.OK
    raise AssertionError


def _configuration(args: Options) -> NpuConfig:
    """The board's own configuration where none is named. Raises ConfigError for hardware without a DMA."""
    from dataclasses import replace

    config = (args if args.config is not None else replace(args, config=CONFIG)).configuration()
    if config.hw.bus_width is None:
        raise ConfigError("no memory: this hardware has no DMA", where="hw.bus_width", got="null",
                          expected="--hw bus_width=64, 128, 256 or 512")
    return config


def _layer(args: Options) -> Layer:
    """The first tokens of the layer that is asked for. Raises StampError."""
    from rtl_gen.board import ulx3s
    from rtl_gen.board.contents import first_tokens
    from stamp_hw.formats.trace import Trace

    if args.mhz is not None and args.mhz not in ulx3s.MHZ:
        raise ConfigError("no clock rate of the board", where="--mhz", got=args.mhz,
                          expected=", ".join(map(str, ulx3s.MHZ)))
    with Trace.open(args.trace) as trace:
        if args.layer not in trace.layer_names:
            raise StampError("no such layer", where=f"--layer {args.layer}", expected=f"a name that `stamp-hw trace info "
                             f"{args.trace}` lists")
        return first_tokens(trace.layer(args.layer), args.tokens)


def _simulated(layer: Layer, config: NpuConfig, mhz: int) -> tuple[Board, str] | None:
    """The board at a clock rate, and what it says; None where that is not what it must say."""
    from tb.board.flow import board, difference, watch

    one = board(layer, config, mhz)
    seen = watch(one, config)
    if wrong := difference(one, seen):
        print(f"simulated at {mhz} MHz: {wrong}")
        return None
    print(f"simulated at {mhz} MHz: {seen.cycles:,} cycles, {one.bytes_used:,} bytes of block RAM; the serial line is "
          "that of the golden model", flush=True)
    return one, seen.text


def _routed(one: Board, number: int) -> tuple[Routed, bytes]:
    from tb.board.flow import place

    routed, bits = place(one, number)
    cells = ", ".join(f"{use.used} of {use.available} {kind}" for kind, use in sorted(routed.cells.items()))
    print(f"placed and routed in {routed.seconds:.0f} s, seed {number}: {routed.fmax_mhz:.1f} MHz, {one.mhz} wanted\n"
          f"cells: {cells}", flush=True)
    return routed, bits


def _constraints() -> str:
    from rtl_gen.board import ulx3s

    return ulx3s.constraints()


def _models(config: NpuConfig) -> Mapping[str, str]:
    from rtl_gen.board import delivery

    return {f"{delivery.MODELS}/{name}": text for name, text in delivery.simulated({}, config).items()}


def _named(layer: Layer) -> dict[str, object]:
    (tokens, k), n = layer.x.shape, len(layer.weight)
    return {"name": layer.name, "tokens": tokens, "k": k, "n": n}


def _versions() -> dict[str, str]:
    from rtl_gen import toolchain

    return {tool.name: tool.version for tool in (toolchain.yosys(), toolchain.nextpnr(), toolchain.verilator()[0])}
