"""`stamp-hw program`: what software writes into the engine's registers for each layer of a trace."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtl_gen.delivery.prefix import PREFIX, check_prefix
from stamp_hw.cli.arguments import runs, whole
from stamp_hw.cli.common import HardwareOptions, add_hardware, check_apart, check_writable
from stamp_hw.cli.show import show
from stamp_hw.errors import StampError
from stamp_hw.formats.safetensors_file import printable

if TYPE_CHECKING:
    from stamp_hw.config import NpuConfig

STREAMS = ("s_axis_act", "s_axis_wgt", "s_axis_par", "m_axis_out")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(HardwareOptions):
    """What the command line asks for."""

    trace: Path
    out: Path
    header: Path | None
    data: Path | None
    prefix: str | None
    layers: str
    mapping: Path | None
    image: Path | None
    base: int


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options; `run` is a function of them."""
    parser.description = (
        "Write, for every layer of a trace, the values of the engine's job registers and the number "
        "of beats of each stream. A layer that does not fit the hardware is listed with the reason, "
        "and the exit code is 2.")
    parser.add_argument("trace", type=Path, metavar="TRACE", help="a trace that `stamp-hw trace dump` wrote")
    add_hardware(parser)
    parser.add_argument("--out", type=Path, metavar="FILE", required=True, help="JSON to write")
    parser.add_argument("--header", type=Path, metavar="FILE",
                        help="C header to write as well; it needs the stamp_engine.h of `stamp-hw generate`")
    parser.add_argument("--prefix", metavar="NAME",
                        help=f"the --prefix that `stamp-hw generate` had, for the names in --header (default {PREFIX})")
    parser.add_argument("--data", type=Path, metavar="DIR",
                        help="folder for the bytes of each layer's streams: inputs, and the results to compare with")
    parser.add_argument("--image", type=Path, metavar="DIR",
                        help="folder for the memory of stamp_npu (hw.bus_width): a chain of descriptors of all layers "
                             "and all that they name, memory.bin, and memory_after.bin, what the chain must make of it")
    parser.add_argument("--base", type=address, default=0, metavar="ADDRESS",
                        help="where that memory begins, a multiple of 256, decimal or 0x… (default 0)")
    parser.add_argument("--layers", default="", metavar="REGEX", help="only layers whose name it is found in")
    parser.add_argument("--mapping", type=Path, metavar="FILE",
                        help="super-tiles as a report says that `stamp-hw simulate TRACE --mapping searched --json` "
                             "wrote of this trace and configuration (default: the largest that fit)")
    runs(parser, Options, run)


def address(text: str) -> int:
    """A whole number, decimal or hexadecimal."""
    if re.fullmatch("0[xX][0-9a-fA-F]{1,16}", text):
        return int(text, 16)
    return whole(text, "an address")


def run(args: Options) -> int:
    """Work out, write, print. Raises StampError after that where a layer was refused."""
    prefix = PREFIX if args.prefix is None else args.prefix
    check_prefix(prefix)
    if args.prefix is not None and args.header is None:
        raise StampError("names what is in a C header only", where=f"--prefix {prefix}", expected="--header as well")
    config = args.configuration()
    check_image(args, config)
    from rtl_gen.toolchain import amaranth, require

    require(amaranth())  # which the imports below need
    from rtl_gen.delivery import chain, mapping, program
    from stamp_hw.cli.layers import check_n_hi, chosen
    from stamp_hw.engine.linear import run_linear
    from stamp_hw.formats.files import atomic_file, write_json
    from stamp_hw.formats.trace import Trace

    for path in (args.out, args.header, args.data, args.image):
        if path is not None:
            check_writable(path, folder=path in (args.data, args.image))
    if args.image is not None:
        for file in chain.FILES:  # all of them before one is written: a memory is of no use without the other
            check_writable(args.image / file, folder=False)
    check_apart({"the trace": args.trace, "--config": args.config, "--mapping": args.mapping},
                [("--out", args.out), ("--header", args.header), ("--data", args.data), ("--image", args.image)])
    layers: list[program.LayerProgram] = []
    links: list[chain.Link] = []
    refused: list[dict[str, str]] = []
    with Trace.open(args.trace) as trace:
        names = chosen(trace, args.layers)
        check_n_hi(trace, config, names)
        sizes = {} if args.mapping is None else mapping.read(args.mapping, names, config, trace.sha256())
        for number, name in enumerate(names):
            entry = trace.entry(name)
            (tokens, k), (n, _) = trace.tensor(entry.input).shape, trace.tensor(entry.weight).shape
            try:
                own = config.for_kind(entry.kind)
                made = program.layer_program(name, own, tokens=tokens, k=k, n=n, grid=entry.grid,
                                             outliers=entry.outliers, transform=entry.transform,
                                             size=sizes.get(name))
                data: dict[str, bytes] = {}
                if args.data is not None or args.image is not None:
                    captured = trace.layer(name)
                    result = run_linear(captured, own)
                if args.data is not None:
                    made, data = program.with_data(made, captured, own, result, number, sizes.get(name))
                if args.image is not None:
                    links.append(chain.link(name, captured, own, result, sizes.get(name)))
            except StampError as error:
                refused.append({"name": name, "reason": str(error)})
                continue
            if args.data is not None:
                for file, content in data.items():
                    with atomic_file(args.data / file, "wb") as stream:
                        stream.write(content)
            layers.append(made)
        sha256 = trace.sha256()
    if not layers:
        raise StampError("no layer fits the hardware", where=str(args.trace), got=refused[0]["reason"],
                         expected="at least one that does")
    said = None
    if args.image is not None:
        said, memories = chain.memory(links, config, args.base)
        for file, content in memories.items():
            with atomic_file(args.image / file, "wb") as stream:
                stream.write(content)
    document = program.document(layers, refused, config, trace_sha256=sha256, version=metadata.version("stamp-hw"),
                                memory=said)
    write_json(args.out, document)
    if args.header is not None:
        text = program.c_layers(layers, config, prefix)
        with atomic_file(args.header) as stream:
            stream.write(text)
    show(_table(layers))
    for layer in refused:
        print(f"refused: {printable(layer['name'], 60)}: {layer['reason']}")
    if refused:
        raise StampError(f"{len(refused)} of {len(refused) + len(layers)} layers do not fit the hardware, the first: "
                         f"{refused[0]['name']}", where=str(args.trace), got=refused[0]["reason"])
    return 0


def check_image(args: Options, config: NpuConfig) -> None:
    """Raise StampError where an image is asked for that no hardware could read."""
    if args.image is None and args.base:
        raise StampError("a base of nothing", where=f"--base {args.base:#x}", expected="--image as well")
    if args.image is not None and config.hw.bus_width is None:
        raise StampError("no memory: this hardware has no DMA", where="--image", got="hw.bus_width: null",
                         expected="--hw bus_width=64, 128, 256 or 512")


def _table(layers: Sequence[Any]) -> str:
    """A line a layer: shape, division, beats."""
    from stamp_hw.text import align

    header = ("layer", "tokens", "K", "N", "grid", "levels", "8 bits", "super-tiles", *STREAMS)
    rows: list[tuple[str, ...]] = []
    for layer in layers:
        shape = layer.shape
        grid = "-" if shape["grid"] is None else "x".join(map(str, shape["grid"]))
        rows.append((printable(layer.name, 60), *(str(shape[name]) for name in ("tokens", "k", "n")), grid,
                     str(shape["levels"]), str(shape["n_hi"]), str(shape["super_tiles"]),
                     *(str(layer.streams[name]["beats"]) for name in STREAMS)))
    return align(header, rows)
