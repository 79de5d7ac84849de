"""A chain of layers: from the write of START to the interrupt.

Layers do not overlap, and where one ends nothing is on its way and the memory rests (docs/adr/0022). So a layer takes
the cycles that it takes alone, and those that are alike are followed once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sim.dma.layer import LayerCycles, follow
from sim.dma.memory import MemoryLaw
from stamp_hw.dma.descriptor import ADDRESSES, BYTES, Descriptor
from stamp_hw.dma.params import DmaParams

FETCH = 2  # cycles from START's word on the bus to the fetch: the register file's hold, the sequencer's state
INTERRUPT = 2  # cycles from the end of a layer to `irq`: IRQ_STATUS, `irq`


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChainCycles:
    """Cycles count from that in which the later one of START's address and word is taken from the bus.

    `layers` each in its own cycles, `starts` their first ones; `interrupt` first cycle with `irq`, where it is enabled.
    """

    layers: tuple[LayerCycles, ...]
    starts: tuple[int, ...]
    interrupt: int


def chain(params: DmaParams, base: int, layers: Sequence[Descriptor], tables: Sequence[np.ndarray], law: MemoryLaw
          ) -> ChainCycles:
    """A chain whose descriptors follow each other from the address `base` on, with the order table of each.

    Raises StampError where a layer has no end: its lengths do not fit its job.
    """
    known: dict[tuple[object, ...], LayerCycles] = {}
    found: list[LayerCycles] = []
    starts = [FETCH]
    for number, (layer, table) in enumerate(zip(layers, tables, strict=True)):
        own, at = _alike(params, layer, base + BYTES * number)
        key = (repr(own), at, table.tobytes())
        if key not in known:
            known[key] = follow(params, own, at, table, law)
        found.append(known[key])
        starts.append(starts[-1] + known[key].cycles)
    return ChainCycles(layers=tuple(found), starts=tuple(starts[:-1]), interrupt=starts[-1] - 1 + INTERRUPT)


def _alike(params: DmaParams, layer: Descriptor, at: int) -> tuple[Descriptor, int]:
    """A layer and its place without what makes no cycle of it differ: bursts are cut at multiples of the longest."""
    limit = params.bus_bytes * params.burst_words
    places = {name: getattr(layer, name) % limit for name in ADDRESSES if name != "next"}
    return replace(layer, **places, next=None, interrupt=False), at % limit
