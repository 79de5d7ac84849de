"""`stamp-hw trace dump` makes a trace of a model run; `stamp-hw trace info` prints what a trace holds."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from stamp_hw.safetensors_file import DTYPES, printable
from stamp_hw.trace import FULL_SCALE, LayerEntry, Trace

#: Below this INT16 code of the median token's absmax a report warns (docs/contract.md §3.1).
LOW_HEADROOM = 1000


def add_parser(subparsers: Any) -> None:
    """Register `trace dump` and `trace info` with argparse; each sets `run`, a function of the options."""
    trace = subparsers.add_parser("trace", help="make a trace of a model run, or print what a trace holds")
    actions = trace.add_subparsers(dest="action", required=True, metavar="dump|info")

    dump = actions.add_parser("dump", help="capture the input of every linear layer of a LlamaForCausalLM",
                              description="Runs text through a model and captures the input of every linear layer. The "
                                          "first sequence is stored; the absmax of all of them gives the static scales "
                                          "(with one sequence the trace says `calibration: self`).")
    dump.add_argument("--model", required=True, metavar="PATH_OR_HUB_ID", help="Hugging Face folder or hub id")
    dump.add_argument("--text", required=True, type=Path, metavar="FILE", help="UTF-8 text to run through the model")
    dump.add_argument("--out", required=True, type=Path, metavar="FILE", help="the trace to write (*.safetensors)")
    dump.add_argument("--sequences", type=int, default=1, metavar="N", help="sequences to calibrate on (default 1)")
    dump.add_argument("--length", type=int, default=512, metavar="S", help="tokens a sequence (default 512)")
    dump.add_argument("--layers", default="", metavar="REGEX", help="only layers whose name it is found in")
    dump.add_argument("--dtype", choices=tuple(DTYPES), default="bfloat16",
                      help="type the model runs in and tensors are stored in (default bfloat16)")
    dump.add_argument("--sinks", type=int, default=0, metavar="N", help="leading tokens that bypass the transform")
    dump.set_defaults(run=run_dump)

    info = actions.add_parser("info", help="print what a trace holds")
    info.add_argument("trace", type=Path, metavar="FILE")
    info.set_defaults(run=run_info)


def run_dump(options: argparse.Namespace) -> int:
    """Load the model, run the text, write the trace."""
    from models.checkpoint import load, sequences
    from models.dump import dump
    from models.hub import require_torch

    require_torch()
    progress = _progress()
    progress("loading")
    try:
        checkpoint = load(options.model, options.dtype)
        tokens = sequences(checkpoint, options.text, options.sequences, options.length)
        dump(checkpoint.model, tokens[0], tokens if options.sequences > 1 else None, options.out,
             {"model": options.model, "text": options.text.name}, layers=options.layers, n_sink=options.sinks,
             progress=progress)
    finally:
        progress("")
    with Trace.open(options.out) as trace:
        print(f"{options.out}: {len(trace)} layers, {trace.size_bytes / 1e6:.2f} MB, calibration {trace.calibration}")
    return 0


def run_info(options: argparse.Namespace) -> int:
    """Print origin, calibration, hash and one line a layer."""
    with Trace.open(options.trace) as trace:
        print(f"{'file':12} {options.trace}")
        print(f"{'size':12} {trace.size_bytes} bytes")
        print(f"{'sha256':12} {trace.sha256()}")
        for key, value in sorted(trace.metadata.items()):
            shown = ", ".join(f"{k} {v}" for k, v in sorted(value.items())) if isinstance(value, dict) else value
            print(f"{printable(key, 12):12} {printable(shown, 400)}")
        header = ("layer", "kind", "S", "K", "N", "grid", "dtype", "sinks", "s_x", "absmax", "headroom")
        rows = [_row(trace, trace.entry(name)) for name in trace.layer_names]
        widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
        print()
        for row in (header, *rows):
            print("  ".join(cell.ljust(width) if i < 2 else cell.rjust(width)
                            for i, (cell, width) in enumerate(zip(row, widths, strict=True))).rstrip())
    low = any("*" in row[-1] for row in rows)
    print("\nheadroom: INT16 code of the median token's absmax"
          + (f"; * below {LOW_HEADROOM}, the 8-bit tokens lose accuracy" if low else ""))
    return 0


def _row(trace: Trace, entry: LayerEntry) -> tuple[str, ...]:
    layer, stored = trace.layer(entry.name), trace.tensor(entry.input)
    (tokens, channels), outputs = layer.x.shape, layer.weight.shape[0]
    token_absmax = np.abs(layer.x[entry.n_sink:]).max(axis=1)
    absmax = float(token_absmax.max())
    scale = entry.s_x if entry.s_x is not None else absmax / FULL_SCALE
    # A code saturates, however small a static scale is.
    headroom = round(min(float(np.median(token_absmax)) / scale, FULL_SCALE)) if scale else 0
    grid = f"{tokens - entry.n_sink}" if entry.grid is None else f"{entry.grid[0]}x{entry.grid[1]}"
    return (printable(entry.name, 60), printable(entry.kind, 20), str(tokens), str(channels), str(outputs), grid,
            stored.dtype, str(entry.n_sink), "self" if entry.s_x is None else f"{entry.s_x:.3e}", f"{absmax:.4g}",
            f"{headroom}{'*' if headroom < LOW_HEADROOM else ''}")


def _progress() -> Callable[[str], None]:
    """One line on stderr, rewritten in place; nothing when stderr is not a terminal."""
    if not sys.stderr.isatty():
        return lambda line: None

    def show(line: str) -> None:
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)

    return show
