"""`stamp-hw timeline`: what each unit of the engine does when, for one layer, in the format that Perfetto draws."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

from stamp_hw.cli.arguments import runs
from stamp_hw.cli.common import HardwareOptions, add_hardware, check_apart, check_writable
from stamp_hw.cli.show import show

SCHEMES = ("a8", "a4", "first_n", "stamp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(HardwareOptions):
    """What the command line asks for."""

    shape: str
    scheme: str
    out: Path


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options; `run` is a function of them."""
    parser.description = (
        "Follows one layer of a given shape through the engine, beat by beat, and writes what each unit does when: "
        "tokens and weights that come in, array tiles, drain, inverse lifting, results. ui.perfetto.dev and "
        "chrome://tracing open the file; a microsecond of it is a cycle. docs/report.md says more.")
    parser.add_argument("--shape", metavar="SxKxN", required=True,
                        help="tokens, inputs and outputs of the layer, or HxW,K,N on a grid")
    parser.add_argument("--scheme", choices=SCHEMES, default="stamp", help="its scheme (default stamp)")
    add_hardware(parser)
    parser.add_argument("--out", type=Path, metavar="FILE", required=True, help="the JSON file that is written")
    runs(parser, Options, run)


def run(options: Options) -> int:
    """Follow, write."""
    from sim.commands import shapes
    from sim.engine.timeline import timeline
    from sim.report import trace_events
    from sim.task import Task
    from stamp_hw import schemes
    from stamp_hw.formats.files import atomic_file

    check_writable(options.out, folder=False)
    check_apart({"--config": options.config}, [("--out", options.out)])
    config = replace(options.configuration(), kinds=())  # a shape is of no kind
    shape = shapes.parse(options.shape, config)
    config.check_n_hi([("", shape.tokens)])
    own = schemes.configure(options.scheme, config)
    found = timeline(Task.of(shape, own), own.hw)
    hw = own.hw
    facts = {"version": metadata.version("stamp-hw"), "shape": shape.name, "scheme": options.scheme, "rows": hw.rows,
             "cols": hw.cols, "lanes": hw.lanes, "freq_hz": hw.freq_hz, "dram_bytes_per_s": hw.dram_bytes_per_s,
             **({} if hw.memory is None else {"memory": hw.memory.kind})}
    trace = trace_events.document(found, f"stamp-hw engine: {shape.name}, {options.scheme}", facts)
    with atomic_file(options.out) as stream:
        trace_events.write(trace, stream)
    show(f"{options.out}: {len(trace['traceEvents']):,} events, {found.cycles.total:,} cycles (open it in "
         "ui.perfetto.dev; 1 µs is 1 cycle)")
    return 0
