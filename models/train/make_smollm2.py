"""Makes the trace of a real Llama that ships: ``python -m models.train.make_smollm2``, behind ``make smollm2``.

Block 0 of SmolLM2-135M and the `down_proj` of block 28, in front of which the first token is an outlier, on the first
tokens of `models/texts/alice.txt`; the static scales come from `models/texts/pride.txt`. So that it is small, inputs
are kept as float16 and weights as the codes of 8 bits that the hardware would take, with a scale a channel.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

from models.dump.language import dump
from models.load.checkpoint import load, run_command, sequences
from models.train.make_traces import TRACES
from stamp_hw.formats.trace import Trace, TraceWriter
from stamp_hw.weights import quantize_weights

OUT = TRACES / "smollm2.safetensors"
TEXTS = TRACES.parent / "texts"
LAYERS = r"^model\.layers\.(0\.|28\.mlp\.down_proj$)"
LENGTH, CALIBRATION = 256, 8  # tokens of a sequence, sequences of the other text
_BITS = 8


def make(out: Path, model: str) -> None:
    """Write the trace of that model, a folder or a known name, to `out`."""
    checkpoint = load(model, "float32")
    captured = sequences(checkpoint, TEXTS / "alice.txt", 1, LENGTH)[0]
    calibration = sequences(checkpoint, TEXTS / "pride.txt", CALIBRATION, LENGTH)
    with tempfile.TemporaryDirectory() as scratch:
        whole = Path(scratch) / "float32.safetensors"
        dump(checkpoint.model, captured, calibration, whole,
             {"model": "SmolLM2-135M-Instruct (Apache-2.0)", "text": f"alice.txt, the first {LENGTH} tokens",
              "calibration_text": "pride.txt", "stored": f"inputs float16, weights {_BITS} bits"}, layers=LAYERS)
        shrink(whole, out)


def shrink(source: Path, out: Path) -> None:
    """The same trace with inputs as float16 and weights as codes of 8 bits."""
    with Trace.open(source) as trace, TraceWriter(out, {**trace.metadata, "dtype": "float16"}) as writer:
        inputs: set[str] = set()
        for layer in trace:
            entry = trace.entry(layer.name)
            key = entry.input.removeprefix("input.")
            if key not in inputs:
                inputs.add(key)
                writer.add_input(key, layer.x, "float16")
            weights = quantize_weights(layer.weight, _BITS)
            writer.add_layer(name=layer.name, kind=layer.kind, input_key=key, weight=weights.codes,
                             weight_scale=weights.scale.astype(np.float32), bias=layer.bias, grid=layer.grid,
                             outliers=layer.outliers, s_x=layer.s_x, s_y=layer.s_y, transform=layer.transform,
                             threshold=entry.threshold)


def main(argv: list[str] | None = None) -> int:
    """Make the trace of SmolLM2."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--model", default="smollm2", help="(default %(default)s, which `make smollm2` makes)")
    parser.add_argument("--out", type=Path, default=OUT, metavar="FILE")
    options = parser.parse_args(argv)
    make(options.out, options.model)
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
