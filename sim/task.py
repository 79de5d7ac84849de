"""What the engine is asked to do: a layer's shape and the job registers that decide cycles and bytes."""

from __future__ import annotations

from dataclasses import dataclass

from stamp_hw import hadamard
from stamp_hw.config import HwConfig, NpuConfig, ResolvedJob
from stamp_hw.engine import linear
from stamp_hw.engine.job import EngineJob
from stamp_hw.engine.params import EngineParams
from stamp_hw.engine.wire import WeightFormat
from stamp_hw.haar_slots import HaarJob
from stamp_hw.layer import Layer


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A linear layer without its data: `tokens`, `n_sink` of them outliers, `grid`, `k` inputs and `n` outputs;
    `transform` is False where the trace says that its tokens are not to be transformed."""

    name: str
    tokens: int
    k: int
    n: int
    grid: tuple[int, int] | None = None
    n_sink: int = 0
    transform: bool = True

    @classmethod
    def of(cls, layer: Layer, config: NpuConfig) -> Shape:
        """Shape of a captured layer, outliers as the job says or as the layer does."""
        job = linear.resolve(layer, config)
        return cls(name=layer.name, tokens=job.tokens, k=layer.x.shape[1], n=layer.weight.shape[0], grid=layer.grid,
                   n_sink=job.n_sink, transform=layer.transform)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One layer under one job.

    `job` resolved numbers; `k` input and `n` output channels; `group` channels that share an activation scale, the
    hardware's block, None for the whole token; `k_in` of the channels are on the wire, where a Hadamard unit makes `k`
    of them, None: all, and the unit passes or is not there; `weights` how they travel. Both scale modes take the same
    cycles and bytes.
    """

    job: ResolvedJob
    k: int
    n: int
    group: int | None = None
    k_in: int | None = None
    weights: WeightFormat = WeightFormat()

    @classmethod
    def of(cls, shape: Shape, config: NpuConfig) -> Task:
        """The configuration's job for this shape. Raises ConfigError for a job beyond the hardware."""
        job = config.resolve(shape.tokens, shape.grid, n_sink=shape.n_sink, k=shape.k, transform=shape.transform)
        block = config.hadamard
        return cls(job=job, k=shape.k if block is None else hadamard.channels(shape.k, block), n=shape.n,
                   group=config.job.group, k_in=None if block is None else shape.k,
                   weights=WeightFormat.of(config.hw, config.job))

    @classmethod
    def of_job(cls, job: EngineJob, params: EngineParams) -> Task:
        """What an engine's registers ask for."""
        k, n = job.channels(params)
        return cls(job=job.resolved, k=k, n=n, group=params.block if job.blocks else None,
                   k_in=job.in_channels(params) if job.hadamard else None, weights=job.weights)

    @property
    def channels_in(self) -> int:
        """Channels of a token on the wire."""
        return self.k if self.k_in is None else self.k_in

    @property
    def tokens(self) -> int:
        """Tokens that travel: the sequence, and the outliers in front of it."""
        return self.job.tokens + self.job.n_sink

    @property
    def groups(self) -> tuple[int, ...]:
        """Channels of each group of input channels: the last may be smaller."""
        size = self.k if self.group is None else min(self.group, self.k)
        return tuple(min(size, self.k - start) for start in range(0, self.k, size))

    def columns(self, hw: HwConfig) -> tuple[int, int]:
        """(column tiles, beats in which a token of the last one leaves: only those that hold an output)."""
        count = -(-self.n // hw.cols)
        return count, -(-(self.n - (count - 1) * hw.cols) // hw.drain_lanes)

    def out_beats(self, hw: HwConfig) -> int:
        """Beats in which a token leaves, over all column tiles."""
        count, last = self.columns(hw)
        return (count - 1) * (hw.cols // hw.drain_lanes) + last

    def haar_job(self, beats: int) -> HaarJob:
        """Registers of a lifting unit that takes a token in `beats` beats."""
        return HaarJob(tokens=self.job.tokens, levels=self.job.levels, beats=beats, grid=self.job.grid)
