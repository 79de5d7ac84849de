"""All properties."""

from __future__ import annotations

from tb.formal import (
    Property,
    axi,
    dividers,
    dma,
    dma_bus,
    dma_writes,
    engine_back,
    engine_blocks,
    engine_front,
    engine_halves,
    engine_issue,
    hadamard,
    lifting,
    mac,
    pe,
    quantizer,
    queues,
    range_tree,
    scale,
    split_pe,
    streams,
    unpack,
    zeros,
)

SUBJECTS = (streams, queues, axi, dma, dma_bus, dma_writes, hadamard, engine_front, engine_halves, engine_issue,
            engine_blocks, engine_back, unpack, lifting, range_tree, quantizer, zeros, dividers, scale, mac, pe,
            split_pe)
PROPERTIES: tuple[Property, ...] = tuple(prop for subject in SUBJECTS for prop in subject.PROPERTIES)
