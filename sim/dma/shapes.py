"""A chain of shapes without data: descriptors and order tables as `stamp-hw program --image` would write them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sim.task import Shape, Task
from stamp_hw.config import NpuConfig
from stamp_hw.dma.descriptor import Descriptor
from stamp_hw.dma.image import LayerSizes, descriptors
from stamp_hw.dma.order import order_table
from stamp_hw.dma.params import DmaParams
from stamp_hw.engine.job import EngineJob
from stamp_hw.engine.streams import token_order
from stamp_hw.engine.wire import PARAMETER_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """A layer of the chain: its `shape` under `config`, whose section `job` is the layer's own; positions of its
    `outliers`, `shape.n_sink` of them."""

    shape: Shape
    config: NpuConfig
    outliers: tuple[int, ...]


def lay_out(layers: Sequence[Linear], params: DmaParams, base: int = 0
            ) -> tuple[tuple[Descriptor, ...], tuple[np.ndarray, ...]]:
    """Descriptors and order tables of layers that bring their input each.

    Raises ConfigError for a layer beyond the hardware or the bus's addresses.
    """
    sizes, tables = [], []
    for layer in layers:
        one, table = _sizes(layer, params)
        sizes.append(one)
        tables.append(table)
    found, _ = descriptors(sizes, params, base)
    return found, tuple(tables)


def _sizes(layer: Linear, params: DmaParams) -> tuple[LayerSizes, np.ndarray]:
    shape, engine = layer.shape, params.engine
    task = Task.of(shape, layer.config)
    job = EngineJob.of(task.job, k=task.channels_in, n=task.n, params=engine, group=task.group,
                       symmetric=layer.config.job.scale_mode == "symmetric", weights=task.weights,
                       shift=None if task.k_in is None else 0)
    table = order_table(engine, job, layer.outliers, [0] * job.n_sink)
    return LayerSizes(
        registers=job.registers(engine), places=len(table),
        wgt_bytes=job.columns * task.weights.beats(task.k) * params.beat_bytes["wgt"],
        par_bytes=job.columns * engine.cols * PARAMETER_BYTES, repeats=len(token_order(engine, job)),
        channels=(shape.k, shape.n), tokens=shape.tokens), table
