"""Bytes that cross the chip's edge and bytes that its buffers move (docs/contract.md §4, "Memory" and "Outside").

DRAM: activations come once as INT16 and results leave once as INT16, whatever the scheme; weights and the parameter
words of each output channel (wsum, mant, shift, bias) come once a super-tile. On chip: see `on_chip`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sim import haar, scale
from sim.task import Task
from stamp_hw.config import HwConfig
from stamp_hw.params import OUT_WIDTH, Z_WIDTH, HaarParams, RescaleParams, ScaleParams
from stamp_hw.super_tile import SuperTile

OPERANDS = ("weights", "activations", "scales", "outputs")
MANT_BITS = 16
SHIFT_BITS = 6
BIAS_BITS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class DramBytes:
    """Bytes over the external memory by operand; `scales` are the parameter words of the output channels."""

    weights: int
    activations: int
    scales: int
    outputs: int

    @property
    def total(self) -> int:
        """All operands."""
        return self.weights + self.activations + self.scales + self.outputs


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Traffic of one on-chip memory: `size` bytes (of one half of a double one), `moved` bytes read and written."""

    size: int
    moved: int


def parameter_bytes(hw: HwConfig, symmetric: bool) -> int:
    """Bytes of a channel's parameter word: wsum, mant, shift, bias; symmetric mode has two pairs of mant and shift."""
    tables = 2 if symmetric else 1
    return _bytes(RescaleParams.of(hw).wsum_width + tables * (MANT_BITS + SHIFT_BITS) + BIAS_BITS)


def dram_bytes(task: Task, hw: HwConfig, super_tiles: int) -> DramBytes:
    """Bytes of one layer that is cut into `super_tiles`."""
    return DramBytes(weights=super_tiles * _bytes(task.n * task.k * task.weight_bits),
                     activations=task.tokens * _bytes(task.k * hw.in_width),
                     scales=super_tiles * task.n * parameter_bytes(hw, task.symmetric),
                     outputs=task.tokens * _bytes(task.n * OUT_WIDTH))


def on_chip(task: Task, hw: HwConfig, parts: Sequence[SuperTile]) -> dict[str, Access]:
    """Traffic of every on-chip memory for one layer.

    Sizes are the hardware's, whatever the job. Words that the blocks move are counted by the blocks' `events`; of the
    engine's own buffers: codes are written once and a row slot (8 bits a channel) is read once a column tile; a beat
    of C weights is written once a pass and read once an array tile; lo and span are written once and read once a
    column tile; a channel's parameters are written once a pass and read with every output; an output coefficient is
    written and read once.
    """
    forward, inverse, unit = HaarParams.forward(hw), HaarParams.inverse(hw), ScaleParams.of(hw)
    columns, words = task.columns(hw)[0], parameter_bytes(hw, task.symmetric)
    outputs = task.tokens * columns * hw.cols
    tiles = sum(part.array_tiles for part in parts) * columns
    registers = unit.job(tokens=task.tokens, k=task.k, group=task.group)
    ring = scale.events(unit, registers)
    into = haar.events(forward, [task.haar_job(registers.beats)])
    # Haar tiles do not overlap: super-tile by super-tile is the same as the whole grid at once.
    back = haar.events(inverse, [task.haar_job(task.out_beats(hw))])
    lines = max(hw.max_levels, 1)
    line_words = into.line_reads + into.line_writes, back.line_reads + back.line_writes
    code_bits = 8 * sum(part.n8 for part in parts) + 4 * sum(part.n4 for part in parts)
    row_slots = sum(len(part.rows) for part in parts)
    scale_bits = 2 * hw.coef_width * len(task.groups)
    return {
        "lifting_lines": Access(size=_bytes(lines * forward.max_beats * hw.lanes * forward.out_width),
                                moved=_bytes(line_words[0] * hw.lanes * forward.out_width)),
        "inverse_lines": Access(size=_bytes(lines * inverse.max_beats * inverse.lanes * inverse.width),
                                moved=_bytes(line_words[1] * inverse.lanes * inverse.width)),
        "ring_buffer": Access(size=_bytes(unit.buffer_beats * hw.lanes * unit.width),
                              moved=_bytes((ring.buffer_writes + ring.buffer_reads) * hw.lanes * unit.width)),
        "activation_buffer": Access(size=hw.act_slots * hw.max_k,
                                    moved=_bytes(code_bits * task.k) + row_slots * task.k * columns),
        "weight_buffer": Access(size=hw.max_k * hw.cols,
                                moved=_bytes((len(parts) * columns + tiles) * task.k * hw.cols * task.weight_bits)),
        "scale_buffer": Access(size=_bytes(2 * hw.act_slots * 2 * hw.coef_width),
                               moved=_bytes(task.tokens * scale_bits * (1 + columns))),
        "parameter_buffer": Access(size=hw.cols * parameter_bytes(hw, symmetric=True),
                                   moved=(len(parts) * columns * hw.cols + outputs) * words),
        "output_buffer": Access(size=_bytes(2 * hw.act_slots * hw.cols * Z_WIDTH), moved=_bytes(2 * outputs * Z_WIDTH)),
    }


def dram_cycles(moved: int, hw: HwConfig) -> int:
    """Cycles that `moved` bytes take at the external memory's rate."""
    return math.ceil(moved * hw.freq_hz / hw.dram_bytes_per_s)


def _bytes(bits: int) -> int:
    return math.ceil(bits / 8)
