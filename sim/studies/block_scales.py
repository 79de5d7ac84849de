"""A study: in which form should the scale of a block be kept?

Each form quantizes the coefficients of a trace's layers, lifted in integers; what is left of the input says how good it
is, and its bits and the widths behind it what it costs.

- `token`: one scale a token, lo and span
- `exact`: lo and span of each block, as they are
- `zero`: an integer zero, so that span alone is needed behind the array: what the hardware has
- `factor`: the same, and span is the token's times a factor of 6 bits

    python -m sim.studies.block_scales TRACE [--json FILE]
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stamp_hw import haar
from stamp_hw.config import NpuConfig
from stamp_hw.engine import linear
from stamp_hw.engine.wire_layer import arrange
from stamp_hw.errors import StampError
from stamp_hw.formats.files import write_json
from stamp_hw.formats.trace import Trace
from stamp_hw.layer import Layer
from stamp_hw.scale import code_range, precision_map

FACTORS = 63  # the largest factor of 6 bits; a block's is at least 1
SIZES = (32, 64, 128)
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A way to keep scales: what it makes of blocks float64[S, G, C] with qmax [S, 1, 1], dequantized; and what it
    costs for a token, given its blocks, and the width of a range: bits of scales, of the operand that meets each
    block's sum."""

    quantize: Callable[[np.ndarray, np.ndarray], np.ndarray]
    bits: Callable[[int, int], int]
    operand: Callable[[int], int]


def exact(blocks: np.ndarray, qmax: np.ndarray) -> np.ndarray:
    """By lo and span of each block."""
    low, high = blocks.min(axis=2, keepdims=True), blocks.max(axis=2, keepdims=True)
    step = (high - low) / qmax
    found: np.ndarray = low + np.rint((blocks - low) / np.where(step > 0, step, 1)) * step
    return found


def with_zero(blocks: np.ndarray, qmax: np.ndarray, span: np.ndarray | None = None) -> np.ndarray:
    """By an integer zero; `span` of each block is its own range's, 0 included, or at least that."""
    low, high = np.minimum(blocks.min(axis=2, keepdims=True), 0), np.maximum(blocks.max(axis=2, keepdims=True), 0)
    step = np.where(high > low, (high - low if span is None else span) / qmax, 1.0)
    zero = np.rint(-low / step)
    found: np.ndarray = (np.clip(np.rint(blocks / step) + zero, 0, qmax) - zero) * step
    return found


def by_factor(blocks: np.ndarray, qmax: np.ndarray) -> np.ndarray:
    """The same with spans that are the token's largest times a factor, rounded up."""
    span = np.maximum(blocks.max(axis=2, keepdims=True), 0) - np.minimum(blocks.min(axis=2, keepdims=True), 0)
    most = np.maximum(span.max(axis=1, keepdims=True), 1e-30)
    return with_zero(blocks, qmax, most * np.maximum(np.ceil(FACTORS * span / most), 1) / FACTORS)


#: What T's multiplier takes of a block: its span, or its factor; a zero has 8 bits in the worst token, 4 in the others.
FORMS = {
    "token": Form(quantize=exact, bits=lambda groups, width: 2 * width, operand=lambda width: 0),
    "exact": Form(quantize=exact, bits=lambda groups, width: groups * 2 * width, operand=lambda width: 2 * width),
    "zero": Form(quantize=with_zero, bits=lambda groups, width: groups * (width + 4), operand=lambda width: width),
    "factor": Form(quantize=by_factor, bits=lambda groups, width: width + groups * (6 + 4), operand=lambda width: 6),
}


def sqnr(layer: Layer, config: NpuConfig, form: Form, size: int | None) -> float:
    """SQNR of the layer's input in dB when its coefficients are coded so, in blocks of `size` channels or as whole
    tokens, and transformed back."""
    wire = arrange(layer, config)
    job = linear.resolve(wire, config)
    s_x, _, _ = linear.calibrate(wire, config, wire.x @ wire.weight.T)
    codes, shift, _ = linear.quantize_input(wire.x, s_x, job.n_sink, config.hw.in_width)
    c = np.concatenate([codes[: job.n_sink], haar.forward(codes[job.n_sink :], job.levels, job.grid)]).astype(float)
    tokens, channels = c.shape
    size = channels if size is None else size
    padded = np.pad(c, ((0, 0), (0, -channels % size)), mode="edge").reshape(tokens, -1, size)
    qmax = code_range(precision_map(job.tokens, job.n_hi, job.n_sink), False)[:, None, None]
    real = form.quantize(padded, qmax).reshape(tokens, -1)[:, :channels] * 2.0 ** shift[:, None]
    if job.levels:
        real[job.n_sink :] = haar.inverse_real(real[job.n_sink :].astype(np.float32), job.levels, job.grid)
    return linear.sqnr_db(wire.x[wire.own], real[wire.own], s_x)


def study(trace: Trace, config: NpuConfig) -> list[dict[str, Any]]:
    """A row a form and size: mean of the layers' SQNR, bits of scales a value of the widest layer."""
    layers = [trace.layer(name) for name in trace.layer_names]
    layers = [layer for layer in layers if linear.resolve(layer, config).levels]
    widest = max(layer.x.shape[1] for layer in layers)
    rows: list[dict[str, Any]] = []
    for size in (None, *SIZES):
        for name, form in FORMS.items():
            if (name == "token") is not (size is None):
                continue
            values = [sqnr(layer, config, form, size) for layer in layers]
            bits = form.bits(-(-widest // (size or widest)), config.hw.coef_width) / widest
            rows.append({"form": name, "size": size, "sqnr_db": float(np.mean(values)), "worst_db": min(values),
                         "bits": bits, "operand": form.operand(config.hw.coef_width)})
            _LOG.info("%-7s %-5s %6.2f dB, worst %6.2f dB, %.2f bits a value", name, size or "", rows[-1]["sqnr_db"],
                      rows[-1]["worst_db"], bits)
    return rows


def main(argv: list[str] | None = None) -> int:
    """Measure every form on a trace's transformed layers."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("trace", type=Path)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    try:
        with Trace(options.trace) as trace:
            rows = study(trace, NpuConfig())
    except StampError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if options.json is not None:
        write_json(options.json, {"trace": options.trace.name, "rows": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
