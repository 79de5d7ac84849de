"""`stamp-hw place`: clock rate of the engine on a Lattice ECP5, after place and route."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stamp_hw.cli.arguments import runs
from stamp_hw.cli.common import HardwareOptions, add_hardware, check_apart, check_writable, seed
from stamp_hw.errors import ConfigError
from stamp_hw.formats.files import write_json

_LARGEST_SEED = 2**31 - 1  # of nextpnr


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(HardwareOptions):
    """What the command line asks for."""

    seed: Sequence[int] | None
    block: str
    json: Path | None


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options; `run` is a function of them."""
    parser.description = (
        "Synthesize the engine of a configuration, flattened, behind a harness of shift registers "
        "that stands for the pins it would need, and place and route it for an ECP5-85F, speed grade "
        "6, once for each seed, aiming at the configuration's freq_hz. An 8 x 8 array takes many "
        "minutes.")
    add_hardware(parser, required=True, says="hardware and job")
    parser.add_argument("--block", choices=("engine", "pe"), default="engine",
                        help="the whole engine (default), or one PE of its array")
    parser.add_argument("--seed", metavar="N", type=seed, action="append", help="seed (may be repeated; default: 1)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the result as JSON")
    runs(parser, Options, run)


def run(args: Options) -> int:
    """Synthesize, place, print a line a seed and the summary."""
    from rtl_gen.toolchain import amaranth, nextpnr, require, yosys

    if args.json is not None:
        check_writable(args.json, folder=False)
        check_apart({"--config": args.config}, [("--json", args.json)])
    require(amaranth(), yosys(), nextpnr())
    from rtl_gen.flow.place import Placement, best, median_mhz, netlist, place, summary

    config, seeds = args.configuration(), args.seed or [1]
    if len(set(seeds)) < len(seeds) or max(seeds) > _LARGEST_SEED:
        raise ConfigError("impossible seeds", where="--seed", got=" ".join(map(str, seeds)),
                          expected=f"different numbers up to {_LARGEST_SEED}")
    placements: list[Placement] = []
    with tempfile.TemporaryDirectory(prefix="stamp-place-") as name:
        inside = netlist(Path(name), config, f"stamp_{args.block}")
        for placement, use in place(Path(name), seeds, config.hw.freq_hz):
            if not placements:
                print("cells: " + ", ".join(f"{count.used} of {count.available} {kind}"
                                            for kind, count in sorted(use.items()))
                      + f"; {inside} registers are those of block memories")
            placements.append(placement)
            print(f"seed {placement.seed}: {placement.fmax_mhz:.1f} MHz, slowest path {placement.start} to "
                  f"{placement.end}, {placement.hops} hops, {placement.logic_ns:.1f} ns of logic and "
                  f"{placement.routing_ns:.1f} ns of routing, {placement.seconds:.0f} s", flush=True)
    first = best(placements)
    if len(placements) > 1:  # of one seed its line says it all
        print(f"best of {len(placements)} seeds {first.fmax_mhz:.1f} MHz ({first.start} to {first.end}), "
              f"median {median_mhz(placements):.1f} MHz")
    if args.json is not None:
        write_json(args.json, summary(config, args.block, use, inside, placements))
    return 0
