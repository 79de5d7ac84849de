"""Vectors out of a trace: what a layer of it drives into a PE and into the engine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from rtl_gen.asic.pe import Operands
from rtl_gen.delivery.vectors import Vectors
from stamp_hw.config import NpuConfig
from stamp_hw.engine import streams
from stamp_hw.engine.linear import LinearResult, run_linear
from stamp_hw.errors import ConfigError
from stamp_hw.formats.trace import Trace
from stamp_hw.layer import Layer

TOKENS = 64  # of a layer that go through the gates of the engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced:
    """A layer of the trace `name`, cut to what gates can run in seconds: `layer`, the `config` of its kind, and its
    `result`."""

    name: str
    layer: Layer
    config: NpuConfig
    result: LinearResult

    def engine(self) -> Vectors:
        """Beats of the engine's streams."""
        found = streams.streams(self.layer, self.config, self.result)
        return Vectors(inputs={name: found[name] for name in ("job", "i", "w", "p")}, outputs={"o": found["o"]})

    def operands(self, steps: int) -> Operands:
        """What one PE sees: tokens of 8 bits one behind the other, pairs of the others, and weights of a channel
        each, in the order in which an array works them off."""
        codes, bits = self.result.quantized.codes.astype(np.int64), self.result.quantized.bits
        eight, four = codes[bits == 8], codes[bits == 4]
        pairs = four[: len(four) // 2 * 2].reshape(-1, 2, codes.shape[1]).swapaxes(1, 2)
        if not len(eight) or not len(pairs):
            raise ConfigError("a layer without tokens of both precisions", where=f"layer {self.layer.name}",
                              got=f"{len(eight)} of 8 bits, {len(four)} of 4", expected="at least 1 and 2")
        return Operands(codes8=np.resize(eight, (steps,)), codes4=np.resize(pairs, (steps, 2)),
                        weights=np.resize(self.result.weights.codes.astype(np.int64), (steps,)))


def read(path: Path, config: NpuConfig) -> Traced:
    """The first layer of a trace that is a sequence and fits the hardware: its first tokens, and channels of two column
    tiles. Raises TraceError as `Trace`, ConfigError where no layer fits."""
    with Trace.open(path) as trace:
        for layer in trace:
            if layer.grid is None and layer.transform and layer.x.shape[1] <= config.hw.max_k:
                few = 2 * config.hw.cols
                cut = replace(layer, x=layer.x[:TOKENS], weight=layer.weight[:few],
                              bias=None if layer.bias is None else layer.bias[:few],
                              outliers=tuple(token for token in layer.outliers if token < TOKENS))
                own = config.for_kind(layer.kind)
                return Traced(name=path.name, layer=cut, config=own, result=run_linear(cut, own))
    raise ConfigError("no layer for the gates", where=str(path),
                      expected="one that is a sequence and fits the hardware")
