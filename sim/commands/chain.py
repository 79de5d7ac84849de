"""`stamp-hw chain`: cycles and bus bytes of layers that follow each other through the engine with a DMA."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from stamp_hw.cli.arguments import runs
from stamp_hw.cli.common import HardwareOptions, add_hardware, check_apart, check_writable, seed
from stamp_hw.cli.show import show
from stamp_hw.config import NpuConfig
from stamp_hw.errors import StampError

MAX_CYCLES = 50_000_000  # of layers that differ, which are followed a cycle at a time: minutes


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(HardwareOptions):
    """What the command line asks for."""

    trace: Path | None
    shape: Sequence[str] | None
    model: str | None
    layers: str | None
    prefill: int | None
    json: Path | None


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options; `run` is a function of them."""
    parser.description = (
        "Follows a chain of layers through stamp_npu (hw.bus_width), the engine with a DMA, from the write of START to "
        "the interrupt: cycles of each layer, bytes on the bus of each stream, and what the engine waits for. The "
        "memory is hw.memory, both ways through one port, or without it one that moves a word a cycle each way. Layers "
        "that are alike are followed once. docs/dma.md says more.")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("trace", type=Path, metavar="TRACE", nargs="?", help="a trace that `stamp-hw trace dump` wrote")
    source.add_argument("--shape", metavar="SxKxN", action="append",
                        help="tokens, inputs and outputs of a layer, or HxW,K,N on a grid (may be repeated)")
    source.add_argument("--model", metavar="NAME",
                        help="the linear layers of a model's first phase: a name in configs/models, a config.json, a "
                             "folder with one, or a workload's YAML")
    add_hardware(parser)
    parser.add_argument("--layers", metavar="REGEX", help="only layers of TRACE whose name it is found in")
    parser.add_argument("--prefill", type=seed, metavar="N", help="tokens of a language model's prompt (default 2048)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure as JSON")
    runs(parser, Options, run)


def run(options: Options) -> int:
    """Follow, write, print. What can be refused is refused before the first layer runs."""
    from sim.dma import report
    from sim.dma.chain import chain
    from sim.dma.memory import MemoryLaw
    from sim.dma.shapes import lay_out
    from stamp_hw.dma.params import DmaParams
    from stamp_hw.formats.files import write_json

    config = options.configuration()
    if config.hw.bus_width is None:
        raise StampError("no DMA in this hardware", where="hw.bus_width", got="null", expected="--hw bus_width=128")
    for name, source in (("layers", options.trace), ("prefill", options.model)):
        if source is None and getattr(options, name) is not None:
            raise StampError("option of another source", where=f"--{name}",
                             expected="TRACE with it" if name == "layers" else "--model with it")
    if options.json is not None:
        check_writable(options.json, folder=False)
    check_apart({"the trace": options.trace, "--config": options.config,
                 "--model": Path(options.model) if options.model else None}, [("--json", options.json)])
    params = DmaParams.of(config.hw)
    layers = _layers(options, config)
    found, tables = lay_out(layers, params)
    _check_size(layers)
    law = MemoryLaw.of(config.hw, params.bus_bytes)
    document = report.document(layers, chain(params, 0, found, tables, law), params, law, config.hw.freq_hz,
                               metadata.version("stamp-hw"))
    if options.json is not None:
        write_json(options.json, document)
    show(report.render(document))
    return 0


def _layers(options: Options, config: NpuConfig) -> list[Any]:
    """The layers of the chain."""
    from sim.commands import shapes
    from sim.dma import sources
    from sim.workload import find
    from stamp_hw.cli.layers import check_n_hi, chosen
    from stamp_hw.formats.trace import Trace

    if options.trace is not None:
        with Trace.open(options.trace) as trace:
            names = chosen(trace, options.layers or "")
            check_n_hi(trace, config, names)
            return sources.of_trace(trace, config, names)
    if options.model is not None:
        return sources.of_workload(find.workload(options.model, find.Ask(prefill=options.prefill)), config)
    return sources.of_shapes(shapes.parse_all(options.shape or (), config), config)


def _check_size(layers: Sequence[Any]) -> None:
    """Raise StampError for layers that take too long to follow."""
    from sim.engine import closed_form
    from sim.task import Task

    known = {Task.of(layer.shape, layer.config): layer.config.hw for layer in layers}
    cycles = sum(closed_form.simulate(task, hw).total for task, hw in known.items())
    if cycles > MAX_CYCLES:
        raise StampError("chain of too many cycles", got=f"about {cycles:,} of layers that differ",
                         where="the chain", expected=f"at most {MAX_CYCLES:,}: fewer tokens, inputs or outputs")
