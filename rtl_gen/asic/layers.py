"""The layers that gates run on: made ones, which prices are fitted on, and others, of other seeds and of traces, which
no price has seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from stamp_hw.config import HwConfig, NpuConfig
from stamp_hw.engine.changes import Passage
from stamp_hw.errors import ConfigError
from stamp_hw.formats.trace import Trace
from stamp_hw.layer import Layer

SEED, OTHER_SEED = 2026, 2027
TOKENS, SIDE, CHANNELS = 32, 6, 256  # of a trace's layer that go through the gates: tokens, or a square's side; inputs
A_TRACE = 3  # layers of a trace


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A layer of Gaussian values: neighbouring tokens correlate by `near`, channels differ by a factor of
    e^(±`spread`), values are raised to the power `tail`; `columns` column tiles, the last one not whole. `k` channels,
    or on hardware of many lanes so many as fill `beats` of them."""

    tokens: int
    grid: tuple[int, int] | None = None
    k: int
    beats: int = 0
    columns: int = 1
    near: float
    spread: float
    tail: float = 1.0
    bias: bool = True
    job: Mapping[str, Any] = field(default_factory=dict)

    def layer(self, name: str, hw: HwConfig, rng: np.random.Generator) -> Layer:
        k = min(max(self.k, (self.beats - 1) * hw.lanes + 2), hw.max_k)
        x = rng.standard_normal((self.tokens, k))
        for token in range(1, self.tokens):
            x[token] = self.near * x[token - 1] + np.sqrt(1 - self.near**2) * x[token]
        x *= np.exp(self.spread * rng.standard_normal(k))
        x = np.sign(x) * np.abs(x) ** self.tail
        n = max(1, self.columns * hw.cols - 1)
        weight = rng.standard_normal((n, k)) * np.exp(0.3 * rng.standard_normal((n, 1)))
        bias = (0.1 * np.abs(x).max() * rng.standard_normal(n)).astype(np.float32) if self.bias else None
        return Layer(name, x.astype(np.float32), weight.astype(np.float32), bias, grid=self.grid)


#: Short tokens and some that outlast a division, sequences and grids, both precisions and scale modes, tokens alike and
#: not, with and without bias and transform.
FITTED = (
    Made(tokens=37, k=47, columns=2, near=0.0, spread=0.2, bias=False, job={"n_hi": 10}),
    Made(tokens=40, k=64, near=0.95, spread=0.5),
    Made(tokens=35, grid=(7, 5), k=50, columns=2, near=0.8, spread=1.0, bias=False),
    Made(tokens=33, k=64, near=0.9, spread=1.0, tail=1.5, job={"scale_mode": "symmetric", "n_hi": 12}),
    Made(tokens=36, grid=(6, 6), k=48, near=0.9, spread=0.2, job={"n_hi": 18}),
    Made(tokens=34, k=64, near=0.5, spread=1.5),
    Made(tokens=20, k=190, beats=48, near=0.9, spread=0.7, bias=False),
    Made(tokens=24, grid=(6, 4), k=176, beats=44, near=0.7, spread=1.2, tail=1.2),
    Made(tokens=18, k=160, beats=40, near=0.6, spread=0.4, job={"levels": 0}),
)
OTHERS = (
    Made(tokens=29, k=90, columns=2, near=0.85, spread=0.8, job={"n_hi": 5}),
    Made(tokens=30, grid=(5, 6), k=130, near=0.75, spread=0.6, tail=1.3),
)


def made(kinds: tuple[Made, ...], config: NpuConfig, seed: int) -> dict[str, Passage]:
    """Name → a made layer through the golden model; those that fit the hardware."""
    rng, found = np.random.default_rng(seed), {}
    for number, kind in enumerate(kinds):
        layer = kind.layer(f"made {seed}.{number}", config.hw, rng)
        if passage := _passage(layer, config.with_job(**kind.job)):
            found[layer.name] = passage
    return found


def traced(path: Path, config: NpuConfig) -> dict[str, Passage]:
    """Trace and layer → some of its layers, evenly spread over those that fit, cut to what gates can run in seconds:
    the first tokens or a corner of the grid, the first inputs, two column tiles. Raises ConfigError where none fits."""
    found: dict[str, Passage] = {}
    with Trace.open(path) as trace:
        names = [name for name in trace.layer_names if len(trace.layer(name).x) >= TOKENS]
        for name in dict.fromkeys(names[index] for index in np.linspace(0, len(names) - 1, A_TRACE).astype(int)):
            layer = cut(trace.layer(name), config)
            if passage := _passage(layer, config.for_kind(layer.kind)):
                found[f"{path.stem}: {name}"] = passage
    if not found:
        raise ConfigError("no layer for the gates", where=str(path), expected="one that fits the hardware")
    return found


def cut(layer: Layer, config: NpuConfig) -> Layer:
    """The first tokens, or a square of the grid's corner; the first inputs; channels of two column tiles."""
    n, k = 2 * config.hw.cols, min(CHANNELS, config.hw.max_k)
    if layer.grid is None:
        x, grid = layer.x[:TOKENS], None
    else:
        height, width = (min(SIDE, size) for size in layer.grid)
        x = layer.x.reshape(*layer.grid, -1)[:height, :width].reshape(height * width, -1)
        grid = height, width
    return replace(layer, x=np.ascontiguousarray(x[:, :k]), grid=grid, weight=layer.weight[:n, :k], quantized=None,
                   bias=None if layer.bias is None else layer.bias[:n],
                   outliers=tuple(token for token in layer.outliers if token < len(x)))


def _passage(layer: Layer, config: NpuConfig) -> Passage | None:
    """None where the hardware cannot take it in one super-tile of whole tokens."""
    try:
        found = Passage.of(layer, config)
    except ConfigError:
        return None
    whole = found.part.tokens == found.job.width * found.job.height
    return found if whole and not found.job.blocks else None
