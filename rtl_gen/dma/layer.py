"""A layer for a chain of the DMA, of what makes the engine's streams."""

from __future__ import annotations

import numpy as np
from amaranth.hdl import Shape

from rtl_gen.axi import stream_bytes
from rtl_gen.engine.layouts import job_layout
from stamp_hw import outliers
from stamp_hw.config import NpuConfig
from stamp_hw.dma.descriptor import Word, words
from stamp_hw.dma.image import ChainLayer
from stamp_hw.dma.order import order_table
from stamp_hw.dma.params import DmaParams
from stamp_hw.engine import linear
from stamp_hw.engine import streams as engine_streams
from stamp_hw.engine.linear import LinearResult
from stamp_hw.engine.params import EngineParams
from stamp_hw.engine.super_tile import Size
from stamp_hw.engine.wire_layer import arrange
from stamp_hw.layer import Layer


def job_widths(params: EngineParams) -> dict[str, int]:
    """Bits of the job registers of a build."""
    return {name: Shape.cast(shape).width for name, shape in job_layout(params).members.items()}


def descriptor_words(params: DmaParams) -> tuple[Word, ...]:
    """The words of a descriptor of this hardware."""
    return words(params, job_widths(params.engine))


def chain_layer(layer: Layer, config: NpuConfig, result: LinearResult, size: Size | None = None,
                source: int | None = None) -> ChainLayer:
    """What a layer brings to a chain: what its streams hold once, and its tensor with the tokens in their own order.

    Parameters
    ----------
    result : what `run_linear` made of this layer and configuration
    size : of its super-tiles, None for the largest that fit
    source : number of the layer of the chain whose results it reads, None where it brings its input

    Raises ConfigError as `stamp_hw.engine.streams.streams`.
    """
    params, wire = EngineParams.of(config.hw).unpadded, arrange(layer, config)
    job = engine_streams.make_job(wire, config, result, size)
    named = config.job.outliers_of(layer.outliers, len(layer.x)) if layer is not wire else ()
    codes, shifts, _ = linear.quantize_input(wire.x, result.s_x, job.n_sink, params.in_width, result.rotation)
    table = order_table(params, job, named, shifts[: job.n_sink].tolist())
    own = outliers.places(len(layer.x), named).rows if named else np.arange(len(wire.x))
    repeats = len(engine_streams.token_order(params, job))
    weights = stream_bytes.weights(params, engine_streams.weight_beats(params, job, result))
    parameters = stream_bytes.parameters(engine_streams.parameter_beats(wire, config, params, job, result))
    return ChainLayer(
        registers=job.registers(params), table=table, weights=weights[: len(weights) // repeats],
        parameters=parameters[: len(parameters) // repeats], repeats=repeats, tokens=len(own),
        channels=(layer.x.shape[1], layer.weight.shape[0]), codes=None if source is not None else codes[own],
        source=source)
