"""`stamp-hw bench`: speed of the golden model, of its torch backend, of sweeps and of the RTL's fast bench."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stamp_hw import exits
from stamp_hw.cli.arguments import runs
from stamp_hw.cli.common import check_writable, progress_line


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line asks for."""

    json: Path | None


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options; `run` is a function of them."""
    parser.description = (
        "Times `simulate --model llama-3-8b` under every scheme, process and all, with a rate alone, behind hw.memory "
        "and with searched super-tiles; the golden model's product and its "
        "whole layer against NumPy's float32 product of the same shape, the torch backend against the golden model, "
        "two processes of a sweep against one, and the RTL's fast bench against a testbench that writes and reads "
        "every cycle and against a plain C++ loop: each side in turn, the best of several. Takes about 6 minutes; "
        "needs torch, and two processors for the sweep.")
    parser.epilog = exits.HELP
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure as JSON, a flat object")
    runs(parser, Options, run)


def run(options: Options) -> int:
    """Measure, write, print; 1 where a goal is missed."""
    from stamp_hw.formats.files import write_json
    from tb.run.simulator import check_root
    from tb.speed import golden, model, rtl, sweep

    if options.json is not None:
        check_writable(options.json, folder=False)
    check_root()
    progress = progress_line()
    try:
        progress("a whole model")
        figures = model.measure()
        progress("the golden model")
        figures |= golden.measure()
        progress("a sweep")
        figures |= sweep.measure()
        progress("the RTL's benches")
        figures |= rtl.measure()
    finally:
        progress("")
    figures = {name: round(value, 4) for name, value in figures.items()}
    if options.json is not None:
        write_json(options.json, figures)
    print(render(figures))
    return exits.OK if all(met(figures).values()) else exits.FOUND


def goals() -> tuple[dict[str, float], dict[str, float]]:
    """Figures that may be at most, and that must be at least, so much."""
    from tb.speed.golden import cuda
    from tb.speed.model import CASES

    return ({**{f"llama3_8b_{case}_s": 1.5 for case in CASES}, **{f"llama3_8b_{case}_mb": 200.0 for case in CASES},
             "golden_vs_sgemm": 1.5, "golden_engine_vs_sgemm": 6.0},
            {"sweep_points_per_s": 100.0, "sweep_two_workers": 1.7, "rtl_batched_vs_naive": 10.0,
             "rtl_batched_vs_raw": 1 / 3, "torch_vs_numpy": 5.0 if cuda() else 0.8})


def met(figures: Mapping[str, float]) -> dict[str, bool]:
    """Whether each goal was reached."""
    most, least = goals()
    return {name: figures[name] <= limit for name, limit in most.items()} | {
        name: figures[name] >= limit for name, limit in least.items()}


def render(figures: Mapping[str, float]) -> str:
    """A line a figure, with its goal, below what it is of."""
    from tb.speed.golden import CHANNELS_IN, CHANNELS_OUT, N_HI, REPEATS, TOKENS
    from tb.speed.sweep import ROUNDS

    most, least = goals()
    said = {name: f"at most {limit:g}" for name, limit in most.items()} | {
        name: f"at least {limit:.3g}" for name, limit in least.items()}
    headings = {
        "llama3_8b_": "Llama-3-8B under every scheme, seconds of a processor and MB of a process from start to end:",
        "sweep_": f"A sweep of one layer, best of {ROUNDS}; two processes against one by the clock, on "
                  f"{len(os.sched_getaffinity(0))} processors here:",
        "rtl_": "The RTL's fast bench on a 16 × 16 engine:",
        "": f"{TOKENS} × {CHANNELS_IN} × {CHANNELS_OUT}, {N_HI} tokens at 8 bits, 4-bit weights, best of {REPEATS}:"}
    lines, before = [], None
    for name, value in figures.items():
        heading = next(heading for start, heading in headings.items() if name.startswith(start))
        lines += [heading] * (heading != before)
        lines.append(f"  {name:26} {value:14.4f}" + (f"   (goal: {said[name]})" if name in said else ""))
        before = heading
    return "\n".join(lines)
