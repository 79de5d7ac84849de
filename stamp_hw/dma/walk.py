"""What the DMA reads and writes for one layer, as pure functions of its descriptor and order table.

A *segment* is (address, bytes) of bytes that follow each other and belong together: a token of the input, the weights
or parameters of a super-tile, the order table; of results a token of a column tile. A *burst* is (address, words) on
the bus. Within a stream both come in this order; streams overlap as they like.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from stamp_hw.dma.descriptor import Descriptor
from stamp_hw.dma.order import ENTRY_BYTES, SUPPRESS, super_tiles, tokens_of
from stamp_hw.dma.params import DmaParams
from stamp_hw.engine.wire import OUT_BYTES

Segment = tuple[int, int]
Burst = tuple[int, int]


class Write(NamedTuple):
    """A segment of results, and whether it is written: not where the place is filled."""

    address: int
    size: int
    kept: bool


def reads(layer: Descriptor, table: np.ndarray) -> dict[str, list[Segment]]:
    """Stream → its segments in order."""
    return {
        "order": [(layer.order, ENTRY_BYTES * layer.places)],
        "act": [(layer.act + token * layer.act_stride, layer.act_bytes) for token in tokens_of(table).tolist()],
        "wgt": [(layer.wgt, layer.wgt_bytes)] * layer.repeats,
        "par": [(layer.par, layer.par_bytes)] * layer.repeats,
    }


def writes(layer: Descriptor, table: np.ndarray, params: DmaParams) -> list[Write]:
    """The results of each token of each column tile, in the order of the stream `o`."""
    last = ((layer.registers["out_beats"] - 1) * params.engine.rescale_lanes + layer.registers["out_keep"]) * OUT_BYTES
    found = []
    for part in super_tiles(table):
        tokens = tokens_of(part).tolist()
        kept = (part & SUPPRESS == 0).tolist()
        for column in range(layer.registers["columns"]):
            size = params.tile_bytes if column + 1 < layer.registers["columns"] else last
            start = layer.out + column * params.tile_bytes
            found += [Write(start + token * layer.out_stride, size, keep)
                      for token, keep in zip(tokens, kept, strict=True)]
    return found


def bursts(segments: Iterable[Segment], params: DmaParams) -> list[Burst]:
    """The bursts of segments: of each the words that it touches, cut at multiples of the longest burst."""
    word, limit = params.bus_bytes, params.bus_bytes * params.burst_words
    found = []
    for address, size in segments:
        start, end = address // word * word, -(-(address + size) // word) * word
        while start < end:
            after = min(end, (start // limit + 1) * limit)
            found.append((start, (after - start) // word))
            start = after
    return found


def gather(memory: np.ndarray, base: int, segments: Sequence[Segment]) -> bytes:
    """The bytes of segments, from uint8[bytes] at address `base`."""
    return b"".join(memory[start - base : start - base + size].tobytes() for start, size in segments)


def scatter(memory: np.ndarray, base: int, places: Iterable[Write], data: bytes) -> None:
    """Write the bytes of a layer's results, `data` as they come, into uint8[bytes] at address `base`."""
    at = 0
    for start, size, kept in places:
        if kept:
            memory[start - base : start - base + size] = np.frombuffer(data[at : at + size], np.uint8)
        at += size
