"""Chains of random layers for the bench of the DMA."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rtl_gen.dma.layer import chain_layer, descriptor_words
from stamp_hw.config import NpuConfig
from stamp_hw.dma.image import ChainLayer, Image, build
from stamp_hw.dma.params import DmaParams
from stamp_hw.engine.linear import LinearResult, run_linear
from stamp_hw.errors import ConfigError
from stamp_hw.layer import Layer
from stamp_hw.outliers import places
from stamp_hw.positions import most_outliers
from tb.engine.draws import weights_of

DRAWS = 1_000  # of a layer, most of which the hardware takes
STATIC_WIDTH = 16  # bits of an input that is another layer's results


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DrawnLayer:
    """A layer, its configuration, what the golden model makes of it, and what it brings to a chain."""

    layer: Layer
    config: NpuConfig
    result: LinearResult
    chained: ChainLayer

    @property
    def name(self) -> str:
        """Its shape in words."""
        layer, job = self.layer, self.config.job
        return (f"{layer.grid or len(layer.x)} tokens, outliers {layer.outliers}, K {layer.x.shape[1]}, "
                f"N {layer.weight.shape[0]}, {job.levels} levels, {job.n_hi} high, {job.scale_mode}, "
                f"{job.weight_bits} bits in groups of {job.weight_group}, reads {self.chained.source}")


def draw(params: DmaParams, rng: np.random.Generator, most_tokens: int = 24, most_k: int = 40,
         source: tuple[int, DrawnLayer] | None = None, least_tokens: int = 1, n: int | None = None) -> DrawnLayer:
    """A layer of random shape and job that the hardware takes, with `n` results a token if that is given; it brings its
    input, or reads the results of layer number `source` of its chain. One with `least_tokens` is no grid.
    AssertionError if there is none."""
    engine = params.engine
    for _ in range(DRAWS):
        grid, outliers = None, ()
        tokens = int(rng.integers(least_tokens, 1 + min(engine.max_tokens, most_tokens)))
        if source is not None:
            tokens, grid = len(source[1].layer.x), source[1].layer.grid
        elif engine.axes == 2 and least_tokens == 1 and rng.random() < 0.5:
            side = int(most_tokens**0.5) + 2
            grid = (int(rng.integers(1, side)), int(rng.integers(1, side)))
            tokens = grid[0] * grid[1]
        if grid is None and rng.random() < 0.6:
            count = int(rng.integers(1, most_outliers(tokens) + 1))
            outliers = tuple(sorted(rng.permutation(tokens)[:count].tolist()))
        channels = int(rng.integers(1, 4 * engine.cols)) if n is None else n
        config = NpuConfig(hw=engine.hw).with_job(
            levels=int(rng.integers(0, 1 + engine.max_levels // (2 if grid else 1))),
            n_hi=int(rng.integers(0, tokens + 1)), scale_mode=str(rng.choice(["minmax", "symmetric"])),
            hadamard=str(rng.choice(["auto", "off"])), group=_group(rng, engine.block), **weights_of(rng))
        bias = rng.normal(0, 3, channels).astype(np.float32) if rng.random() < 0.7 else None
        try:
            layer = _layer(rng, tokens, grid, outliers, int(rng.integers(1, min(engine.max_k, most_k) + 1)), channels,
                           bias, source, config)
            result = run_linear(layer, config)
            chained = chain_layer(layer, config, result, source=None if source is None else source[0])
        except ConfigError:  # a Haar tile beyond the buffer
            continue
        if source is not None and not _reads(layer, config, result, source[1].result.y):
            continue
        if tokens == 1 and outliers:  # its filled place is itself, of which the memory holds one form (docs/dma.md)
            continue
        return DrawnLayer(layer=layer, config=config, result=result, chained=chained)
    raise AssertionError(f"no layer in {DRAWS} draws")


def _group(rng: np.random.Generator, block: int | None) -> int | None:
    return block if block and rng.random() < 0.6 else None


def _layer(rng: np.random.Generator, tokens: int, grid: tuple[int, int] | None, outliers: tuple[int, ...], k: int,
           n: int, bias: np.ndarray | None, source: tuple[int, DrawnLayer] | None, config: NpuConfig) -> Layer:
    """Tensors; those of a layer that reads another's results have its scale."""
    if source is None:
        x = rng.normal(0, 1, (tokens, k)).astype(np.float32)
        x[list(outliers)] *= rng.choice([1, 30, 4000])
        # Half of the layers use few of their bits: each one counts, the lowest too.
        s_x = float(np.abs(x).max()) / (1 << int(rng.integers(1, config.hw.in_width))) if rng.random() < 0.5 else None
        return Layer("drawn", x, rng.normal(0, 1, (n, k)).astype(np.float32), bias, grid=grid, outliers=outliers,
                     s_x=s_x)
    before = source[1].result
    x = (before.y * before.s_y).astype(np.float32)
    if x.shape[1] > config.hw.max_k:
        raise ConfigError("too many channels")
    weight = rng.normal(0, 1, (n, x.shape[1])).astype(np.float32)
    own = run_linear(Layer("drawn", x, weight, bias, grid=grid, outliers=outliers), config)
    return Layer("drawn", x, weight, bias, grid=grid, outliers=outliers, s_x=before.s_y, s_y=own.s_y)


def _reads(layer: Layer, config: NpuConfig, result: LinearResult, before: np.ndarray) -> bool:
    """Whether the results of the layer before, as they are, are this one's codes: not where an outlier takes an
    exponent."""
    one = chain_layer(layer, config, result)
    taken = config.job.outliers_of(layer.outliers, len(layer.x))
    order = places(len(layer.x), taken).order if taken else np.arange(len(layer.x))
    return one.codes is not None and np.array_equal(one.codes, before) and len(order) >= len(before)


def chain(params: DmaParams, rng: np.random.Generator, layers: int, most_tokens: int = 24, most_k: int = 40
          ) -> tuple[list[DrawnLayer], Image]:
    """Layers and their image; where inputs have 16 bits, half of them read the results of one before."""
    drawn: list[DrawnLayer] = []
    for number in range(layers):
        source = None
        if number and params.engine.in_width == STATIC_WIDTH and rng.random() < 0.6:
            place = int(rng.integers(number))
            fits = drawn[place].layer.weight.shape[0] <= params.engine.max_k
            source = (place, drawn[place]) if fits and drawn[place].result.y.any() else None
        drawn.append(draw(params, rng, most_tokens, most_k, source))
    return drawn, image_of(params, drawn, int(rng.integers(1 << 12)) << 12, bool(rng.random() < 0.5))


def image_of(params: DmaParams, drawn: Sequence[DrawnLayer], base: int, interrupt: bool = False) -> Image:
    """The memory of a chain."""
    return build([one.chained for one in drawn], params, descriptor_words(params), base, interrupt)
