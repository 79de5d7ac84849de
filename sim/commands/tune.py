"""`stamp-hw tune`: a job for each kind of layer, chosen on calibration tokens and measured on others."""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stamp_hw.cli.arguments import runs
from stamp_hw.cli.common import HardwareOptions, add_hardware, check_apart, check_writable, progress_line
from stamp_hw.cli.show import show
from stamp_hw.errors import StampError


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(HardwareOptions):
    """What the command line asks for."""

    trace: Path
    out: Path
    fit: Path | None
    bits: float | None
    layers: str


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options; `run` is a function of them."""
    parser.description = (
        "Measures every job on calibration tokens, picks for each kind of layer the one that gives "
        "the most SQNR within a budget of average bits, reports it on held-out tokens, and writes a "
        "configuration that simulate, eval, program and generate take. docs/tune.md says how.")
    parser.add_argument("trace", type=Path, metavar="TRACE", help="a trace that `stamp-hw trace dump` wrote")
    parser.add_argument("--out", type=Path, metavar="YAML", required=True, help="configuration to write")
    add_hardware(parser)
    parser.add_argument("--fit", type=Path, metavar="TRACE",
                        help="calibrate on this trace of the same layers (default: on the first half of the tokens, "
                             "and report on the second)")
    parser.add_argument("--bits", type=float, metavar="B",
                        help="average bits of an activation (default: what the configuration's own job takes)")
    parser.add_argument("--layers", default="", metavar="REGEX", help="only layers whose name it is found in")
    runs(parser, Options, run)


def run(options: Options) -> int:
    """Choose, write, print."""
    import yaml

    from sim.studies.tune import divisible, halves, tune
    from stamp_hw.cli.layers import chosen
    from stamp_hw.formats.files import atomic_file
    from stamp_hw.formats.trace import Trace

    config = options.configuration()
    if config.kinds:
        raise StampError("kinds are what is chosen here", where=f"{options.config}: kinds", expected="hw and job alone")
    if options.bits is not None and not 4 <= options.bits <= 8:  # NaN is not
        raise StampError("budget out of range", where="--bits", got=options.bits, expected="4…8")
    if config.job.outliers != "auto":
        raise StampError("the trace says which tokens are outliers", where="job.outliers",
                         got=config.job.outliers, expected="auto")
    check_writable(options.out, folder=False)
    check_apart({"the trace": options.trace, "--fit": options.fit, "--config": options.config},
                [("--out", options.out)])
    progress = progress_line()
    try:
        with Trace.open(options.trace) as trace:
            layers = [trace.layer(name) for name in chosen(trace, options.layers)]
        single = []
        if options.fit is None:
            single = sorted({layer.kind for layer in layers if not divisible(layer)})
            pairs = [halves(layer) for layer in layers if layer.kind not in single]
            if not pairs:
                raise StampError("no layer of several tokens", where=str(options.trace), expected="--fit TRACE")
            calibration, held_out = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        else:
            with Trace.open(options.trace) as trace, Trace.open(options.fit) as fit:
                if trace.sha256() == fit.sha256():
                    raise StampError("fitted on what is measured", where=f"--fit {options.fit}",
                                     expected="another text, other prompts; or no --fit, for halves of the tokens")
                calibration = [fit.layer(name) for name in chosen(fit, options.layers)]
            held_out = layers
            missing = sorted({layer.kind for layer in held_out} - {layer.kind for layer in calibration})
            if missing:
                raise StampError("no calibration for a kind", where=str(options.fit), got=missing[0],
                                 expected="layers of every kind of the trace")
        tuned = tune(calibration, held_out, config, options.bits, progress)
    finally:
        progress("")
    head = f"# Chosen by `stamp-hw tune` on {(options.fit or options.trace).name}.\n"
    with atomic_file(options.out) as stream:
        stream.write(head + yaml.safe_dump(tuned.config(config).to_dict(), sort_keys=False))
    show(render(tuned, config))
    if single:
        print(f"Of one token or row, so left as they are: {', '.join(single)}.")
    print(f"\nwritten: {options.out}")
    return 0


def render(tuned: Any, config: Any) -> str:
    """Choices by kind with their held-out figures, and the totals."""
    from stamp_hw.text import align

    rows = []
    for kind, choice in tuned.kinds.items():
        of_kind = [(own, best) for _, which, own, best in tuned.rows if which == kind]
        rows.append((kind, str(len(of_kind)), str(choice.levels or "none"), str(choice.n_hi or "none"),
                     choice.scale_mode, *_cells(of_kind, [1] * len(of_kind))))
    total = _cells([(own, best) for _, _, own, best in tuned.rows], tuned.values)
    rows.append(("all", str(len(tuned.rows)), "", "", "", *total))
    header = ("kind", "layers", "levels", "n_hi", "scale", "bits before", "bits", "dB before", "dB", "gain dB")
    return "\n".join([
        align(header, rows), "",
        "Held-out tokens. dB: output of a layer, mean over layers: what the quantized input leaves through the",
        f"quantized weights (bit-accurate). before: the configuration's own job, levels {config.job.levels}, n_hi "
        f"{config.job.n_hi}, {config.job.scale_mode}."])


def _cells(pairs: list[Any], weights: list[int]) -> tuple[str, ...]:
    """Average bits before and after, mean dB before and after, the gain; bits weighted by activations."""
    total = sum(weights)
    bits = [sum(pair[side][1] * weight for pair, weight in zip(pairs, weights, strict=True)) / total for side in (0, 1)]
    finite = [pair for pair in pairs if math.isfinite(pair[0][0]) and math.isfinite(pair[1][0])]
    if not finite:
        return (*(f"{value:.3f}" for value in bits), "∞", "∞", "–")
    level = [sum(pair[side][0] for pair in finite) / len(finite) for side in (0, 1)]
    return (*(f"{value:.3f}" for value in bits), *(f"{value:z.2f}" for value in level), f"{level[1] - level[0]:+z.2f}")
