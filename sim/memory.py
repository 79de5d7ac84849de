"""Bytes that cross the chip's edge (docs/contract.md §4, "Bytes"); `sim.on_chip` has what its buffers move.

What crosses the engine's streams, beat by beat (`stamp_hw.engine.wire`): activations come once and results leave
once, whatever the scheme; weights and the parameters of each output channel come once a super-tile.
"""

from __future__ import annotations

from dataclasses import dataclass

from sim.task import Task
from stamp_hw.config import HwConfig
from stamp_hw.engine.wire import OUT_BYTES, beat_bytes

OPERANDS = ("weights", "activations", "scales", "outputs")


@dataclass(frozen=True, slots=True, kw_only=True)
class DramBytes:
    """Bytes over the external memory by operand; `scales` are the parameters of the output channels."""

    weights: int
    activations: int
    scales: int
    outputs: int

    @property
    def total(self) -> int:
        """All operands."""
        return self.weights + self.activations + self.scales + self.outputs


def dram_bytes(task: Task, hw: HwConfig, super_tiles: int) -> DramBytes:
    """Bytes of one layer that is cut into `super_tiles`: whole beats, channels beyond K and N included, but of the
    results."""
    beat, passes = beat_bytes(hw), super_tiles * task.columns(hw)[0]
    tokens = task.tokens * -(-task.channels_in // hw.lanes)
    return DramBytes(weights=passes * task.weights.beats(task.k) * beat["w"], activations=tokens * beat["i"],
                     scales=passes * hw.cols * beat["p"], outputs=task.tokens * task.n * OUT_BYTES)
