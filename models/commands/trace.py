"""`stamp-hw trace dump` makes a trace of a model run, `trace prefill` a folder of them; `trace info` prints what one
holds."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.commands import trace_dump, trace_prefill
from stamp_hw import outliers
from stamp_hw.cli.arguments import runs
from stamp_hw.cli.show import show
from stamp_hw.formats.safetensors_file import printable
from stamp_hw.formats.trace import FULL_SCALE, Trace
from stamp_hw.formats.trace_entry import LayerEntry
from stamp_hw.text import align

#: Below this INT16 code of the median token's absmax a report warns (docs/contract.md §3.1).
LOW_HEADROOM = 1000
_MISSING = 8  # operations shown that are not covered, and outliers of a layer
_LAYERS = 40  # with outliers


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add `dump`, `prefill` and `info`, each with its options; `run` is a function of them."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="dump|prefill|info")

    trace_dump.add_parser(actions)
    trace_prefill.add_parser(actions)
    info = actions.add_parser("info", help="print what a trace holds")
    info.add_argument("trace", type=Path, metavar="FILE")
    runs(info, InfoOptions, run_info)


@dataclass(frozen=True, slots=True, kw_only=True)
class InfoOptions:
    """What `trace info` is asked for."""

    trace: Path


def run_info(options: InfoOptions) -> int:
    """Print origin, calibration, hash and one line a layer."""
    with Trace.open(options.trace) as trace:
        print(f"{'file':12} {options.trace}")
        print(f"{'size':12} {trace.size_bytes} bytes")
        print(f"{'sha256':12} {trace.sha256()}")
        for key, value in sorted(trace.metadata.items()):
            if key != "not_covered":
                print(f"{printable(key, 16):12} {printable(_shown(value), 400)}")
        header = ("layer", "kind", "S", "K", "N", "grid", "dtype", "outliers", "s_x", "absmax", "headroom")
        rows = [_row(trace, trace.entry(name)) for name in trace.layer_names]
        print()
        show(align(header, rows, left=2))
        kept, loud = _outliers(trace)
        missing = trace.metadata.get("not_covered", [])
    if any("†" in row[5] for row in rows):
        print("\n† no token sequence worth transforming: runs without transform")
    if isinstance(missing, list) and missing:
        print("\nnot covered, because it is no linear layer over the tokens:")
        for item in missing[:_MISSING]:
            print(f"  {printable(' – '.join(map(str, item.values())) if isinstance(item, dict) else item)}")
        if len(missing) > _MISSING:
            print(f"  and {len(missing) - _MISSING} more")
    low = any("*" in row[-1] for row in rows)
    _print_outliers("outliers, kept out of the transform (absmax over the median token's)", kept)
    _print_outliers("tokens of that size in the transform (`trace dump --outliers auto` keeps them out)", loud)
    print("\nheadroom: INT16 code of the median token's absmax"
          + (f"; * below {LOW_HEADROOM}, the 8-bit tokens lose accuracy" if low else ""))
    return 0


def _shown(value: object) -> str:
    """A value of the metadata on one line: the outermost list or object without its brackets."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}" for key, item in sorted(value.items()))
    if isinstance(value, list):
        return (" | " if any(isinstance(item, str) for item in value) else ", ").join(map(str, value))
    return str(value)


Loud = dict[str, list[tuple[int, float]]]


def _outliers(trace: Trace) -> tuple[Loud, Loud]:
    """Layer → (position, absmax over the median token's): those that the trace keeps out of the transform, and those
    that it does not though they are as large."""
    kept: Loud = {}
    loud: Loud = {}
    for name in trace.layer_names:
        entry = trace.entry(name)
        if not entry.transform or entry.grid is not None:
            continue
        absmax = np.abs(trace.layer(name).x).max(axis=1)
        median = outliers.threshold(absmax) / outliers.RATIO
        for token in sorted({*entry.outliers, *outliers.loud(absmax, outliers.threshold(absmax))}):
            where = kept if token in entry.outliers else loud
            where.setdefault(name, []).append((token, float(absmax[token] / median)))
    return kept, loud


def _print_outliers(title: str, found: Loud) -> None:
    """A line a layer, those with the largest first."""
    if not found:
        return
    print(f"\n{title}:")
    worst = sorted(found.items(), key=lambda item: -max(ratio for _, ratio in item[1]))
    for name, tokens in worst[:_LAYERS]:
        largest = sorted(tokens, key=lambda token: -token[1])[:_MISSING]
        shown = ", ".join(f"token {token} ({ratio:.0f} ×)" for token, ratio in sorted(largest))
        print(f"  {printable(name, 60)}: {len(tokens)}: {shown}{', …' if len(tokens) > _MISSING else ''}")
    if len(worst) > _LAYERS:
        print(f"  and {len(worst) - _LAYERS} more layers, each with smaller ones than these")


def _row(trace: Trace, entry: LayerEntry) -> tuple[str, ...]:
    layer, stored = trace.layer(entry.name), trace.tensor(entry.input)
    (tokens, channels), outputs = layer.x.shape, layer.weight.shape[0]
    token_absmax = np.abs(layer.x).max(axis=1)
    if len(entry.outliers) < tokens:
        token_absmax = np.delete(token_absmax, list(entry.outliers))
    absmax = float(token_absmax.max())
    scale = entry.s_x if entry.s_x is not None else absmax / FULL_SCALE
    # A code saturates, however small a static scale is.
    headroom = round(min(float(np.median(token_absmax)) / scale, FULL_SCALE)) if scale else 0
    grid = f"{tokens}" if entry.grid is None else f"{entry.grid[0]}x{entry.grid[1]}"
    grid += "" if entry.transform else "†"
    return (printable(entry.name, 60), printable(entry.kind, 20), str(tokens), str(channels), str(outputs), grid,
            stored.dtype, str(len(entry.outliers)), "self" if entry.s_x is None else f"{entry.s_x:.3e}",
            f"{absmax:.4g}", f"{headroom}{'*' if headroom < LOW_HEADROOM else ''}")
