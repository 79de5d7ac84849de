"""The memory of a trace's layers for `stamp_npu`: a chain of descriptors, and what must be there once it has run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from rtl_gen.dma.layer import chain_layer, descriptor_words
from stamp_hw.config import NpuConfig
from stamp_hw.dma import image
from stamp_hw.dma.descriptor import BYTES, COUNTS
from stamp_hw.dma.image import ChainLayer
from stamp_hw.dma.params import DmaParams
from stamp_hw.engine.linear import LinearResult
from stamp_hw.engine.super_tile import Size
from stamp_hw.engine.wire import OUT_BYTES
from stamp_hw.layer import Layer

FILES = BEFORE, AFTER = "memory.bin", "memory_after.bin"


class Link(NamedTuple):
    """A layer of the chain, and its results int16[tokens, N]."""

    name: str
    chained: ChainLayer
    y: np.ndarray


def link(name: str, layer: Layer, config: NpuConfig, result: LinearResult, size: Size | None = None) -> Link:
    """A layer that brings its own input. Raises ConfigError as `chain_layer`."""
    return Link(name, chain_layer(layer, config, result, size), result.y)


def memory(links: Sequence[Link], config: NpuConfig, base: int) -> tuple[dict[str, Any], Mapping[str, bytes]]:
    """(What the JSON says of it, file name → bytes): the memory before the chain runs, and behind it.

    Raises ConfigError for a base that is unaligned or beyond the bus.
    """
    params = DmaParams.of(config.hw)
    made = image.build([one.chained for one in links], params, descriptor_words(params), base)
    after = np.frombuffer(made.data, np.uint8).copy()
    layers = []
    for number, (one, layer) in enumerate(zip(links, made.layers, strict=True)):
        image.put_rows(after, layer.out - base, layer.out_stride, one.y.astype("<i2"))
        addresses = {field: getattr(layer, field) for field in ("order", "act", "wgt", "par", "out")}
        layers.append({"name": one.name, "descriptor": base + BYTES * number, **addresses,
                       **{field: getattr(layer, field) for field in COUNTS}, "out_bytes": one.y.shape[1] * OUT_BYTES,
                       "tokens": len(one.y)})
    said = {"bus_width": params.bus_width, "base": base, "bytes": len(made.data), "file": BEFORE, "after": AFTER,
            "layers": layers}
    return said, {BEFORE: made.data, AFTER: after.tobytes()}
