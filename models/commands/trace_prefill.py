"""`stamp-hw trace prefill`: the layers of a quantized language model's prefill, each with its input and words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.commands.model_option import add_model
from stamp_hw.cli.arguments import runs
from stamp_hw.cli.common import HardwareOptions, add_hardware, check_writable, count, progress_line
from stamp_hw.rooms import HOME
from stamp_hw.text import plural

TEXTS = HOME / "models" / "texts"
SEQUENCES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(HardwareOptions):
    """What the command line asks for."""

    model: str
    text: Path
    calibration: Path
    sequences: int
    tokens: int
    layers: str
    out: Path
    ask: bool


def add_parser(actions: Any) -> None:
    """Register `prefill` with argparse; it sets `run`, a function of the options."""
    parser = actions.add_parser(
        "prefill", help="run a language model on the golden model, and keep the input and words of every layer",
        description="Runs a causal language model over the first tokens of a text with the golden model in place of "
                    "every linear layer, each fed what the layers before it gave; norms, attention and activations are "
                    "the host's, in float. FOLDER then has of every layer a trace and the words that it gave "
                    "(NAME.npy: int16, in the order of the wire), and prefill.json. Scales, outliers and the shift of "
                    "a Hadamard unit come from another text. What an interrupted run has finished is not computed "
                    "again.")
    add_model(parser)
    add_hardware(parser)
    parser.add_argument("--text", type=Path, default=TEXTS / "alice.txt", metavar="FILE",
                        help="UTF-8 text to run (default: the shipped alice.txt)")
    parser.add_argument("--calibration", type=Path, default=TEXTS / "pride.txt", metavar="FILE",
                        help="UTF-8 text to calibrate on (default: the shipped pride.txt)")
    parser.add_argument("--sequences", type=count, default=SEQUENCES, metavar="N",
                        help=f"sequences to calibrate on (default {SEQUENCES})")
    parser.add_argument("--tokens", type=count, default=512, metavar="S", help="tokens a sequence (default 512)")
    parser.add_argument("--layers", default="", metavar="REGEX",
                        help="end behind the last layer in whose name it is found")
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="where the layers go")
    parser.add_argument("--ask", action="store_true",
                        help="have whoever reads standard output compute: a line of JSON with the path of a layer's "
                             "trace goes out, one with the path of its words comes in; `stamp-hw verify --model` does")
    runs(parser, Options, run)


def run(options: Options) -> int:
    """Load the model, calibrate, run it."""
    from models.load.hub import require_torch
    from models.prefill.run import Prefill, ask, store

    check_writable(options.out, folder=True)
    require_torch()
    prefill = Prefill(model=options.model, text=options.text, calibration=options.calibration,
                      sequences=options.sequences, tokens=options.tokens, layers=options.layers,
                      config=options.configuration())
    if options.ask:
        ask(prefill, options.out)
        return 0
    progress = progress_line()
    try:
        found = store(prefill, options.out, progress)
    finally:
        progress("")
    ends = "" if found["perplexity"] is None else (f", perplexity {found['perplexity']:.2f}, float "
                                                   f"{found['float_perplexity']:.2f}")
    print(f"{options.out}: {plural(len(found['layers']), 'layer')} of {len(found['model_layers'])}{ends}")
    return 0
