"""Bytes that cross the chip's edge and bytes that its buffers move (docs/contract.md §4, "Memory" and "Bytes").

DRAM: what crosses the engine's streams, beat by beat (`stamp_hw.engine.wire`): activations come once and results leave
once, whatever the scheme; weights and the parameters of each output channel come once a super-tile. On chip: see
`on_chip`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from sim import haar, scale
from sim.division import Division
from sim.task import Task
from stamp_hw.config import HwConfig
from stamp_hw.engine.params import BIAS_WIDTH, MANT_WIDTH, SHIFT_WIDTH
from stamp_hw.engine.wire import OUT_BYTES, beat_bytes
from stamp_hw.hadamard_params import HadamardParams
from stamp_hw.params import CODE_WIDTH, Z_WIDTH, CombineParams, HaarParams, RescaleParams, ScaleParams

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Traffic of one on-chip memory: `size` bytes (of one half of a double one), `moved` bytes read and written."""

    size: int
    moved: int


def parameter_bits(hw: HwConfig) -> int:
    """Bits of a channel's word in the parameter buffer: wsum, two tables of mant and shift, bias."""
    return RescaleParams.of(hw).wsum_width + 2 * (MANT_WIDTH + SHIFT_WIDTH) + BIAS_WIDTH


def dram_bytes(task: Task, hw: HwConfig, super_tiles: int) -> DramBytes:
    """Bytes of one layer that is cut into `super_tiles`: whole beats, channels beyond K and N included, but of the
    results."""
    beat, passes = beat_bytes(hw), super_tiles * task.columns(hw)[0]
    tokens = task.tokens * -(-task.channels_in // hw.lanes)
    return DramBytes(weights=passes * task.weights.beats(task.k) * beat["w"], activations=tokens * beat["i"],
                     scales=passes * hw.cols * beat["p"], outputs=task.tokens * task.n * OUT_BYTES)


def on_chip(task: Task, hw: HwConfig, division: Division) -> dict[str, Access]:
    """Traffic of every on-chip memory for one layer.

    Sizes are the hardware's, whatever the job. Words that the blocks move are counted by the blocks' `events`; of the
    engine's own buffers: codes are written once and a row slot (8 bits a channel) is read once a column tile; a beat
    of C weights, 8 bits each however they travel, is written once a pass and read once an array tile; lo and span are
    written once and read once a column tile; a channel's parameters are written once a pass and read with every output;
    an output coefficient is written and read once. With blocks a block's scale is written once and read with every sum
    of it, T is written with every sum, read with all but those of a tile's first block, and read once more.
    """
    forward, inverse, unit = HaarParams.forward(hw), HaarParams.inverse(hw), ScaleParams.of(hw)
    columns, word = task.columns(hw)[0], parameter_bits(hw)
    outputs = task.tokens * columns * hw.cols
    tiles = division.array_tiles * columns
    registers = unit.job(tokens=task.tokens, k=task.k, group=task.group)
    ring = scale.events(unit, registers)
    into = haar.events(forward, [task.haar_job(registers.beats)])
    # Haar tiles do not overlap: super-tile by super-tile is the same as the whole grid at once.
    back = haar.events(inverse, [task.haar_job(task.out_beats(hw))])
    lines = max(hw.max_levels, 1)
    line_words = into.line_reads + into.line_writes, back.line_reads + back.line_writes
    code_bits = 4 * (task.tokens + task.job.n_hi + task.job.n_sink)
    scale_bits = 2 * hw.coef_width
    return _between_beats(task, hw) | _of_blocks(task, hw, division) | {
        "lifting_lines": Access(size=_bytes(lines * forward.max_beats * hw.lanes * forward.out_width),
                                moved=_bytes(line_words[0] * hw.lanes * forward.out_width)),
        "inverse_lines": Access(size=_bytes(lines * inverse.max_beats * inverse.lanes * inverse.width),
                                moved=_bytes(line_words[1] * inverse.lanes * inverse.width)),
        "ring_buffer": Access(size=_bytes(unit.buffer_beats * hw.lanes * unit.width),
                              moved=_bytes((ring.buffer_writes + ring.buffer_reads) * hw.lanes * unit.width)),
        "activation_buffer": Access(size=hw.act_slots * hw.max_k,
                                    moved=_bytes(code_bits * task.k) + division.row_slots * task.k * columns),
        "weight_buffer": Access(size=_bytes(hw.max_k * hw.cols * CODE_WIDTH),
                                moved=_bytes((division.super_tiles * columns + tiles) * task.k * hw.cols * CODE_WIDTH)),
        "scale_buffer": Access(size=_bytes(2 * hw.act_slots * 2 * hw.coef_width),
                               moved=_bytes(task.tokens * scale_bits * (1 + columns))),
        "parameter_buffer": Access(size=_bytes(hw.cols * word),
                                   moved=_bytes((division.super_tiles * columns * hw.cols + outputs) * word)),
        "output_buffer": Access(size=_bytes(2 * hw.act_slots * hw.cols * Z_WIDTH), moved=_bytes(2 * outputs * Z_WIDTH)),
    }


def block_sums(task: Task, hw: HwConfig, division: Division) -> int:
    """Sums of blocks that leave a column of the array in one pass, those of empty row slots among them."""
    assert hw.block
    return division.array_tiles * -(-task.k // hw.block) * 2 * hw.rows


def _of_blocks(task: Task, hw: HwConfig, division: Division) -> dict[str, Access]:
    """The memories of hardware with blocks."""
    if not hw.block:
        return {}
    params, columns = CombineParams.of(hw), task.columns(hw)[0]
    sums = block_sums(task, hw, division) * columns
    tokens = division.array_tiles * columns * 2 * hw.rows
    accesses = sums + (sums - tokens) + tokens  # writes, reads for another block, reads for the rescale unit
    return {
        "span_buffer": Access(size=_bytes(2 * hw.act_slots * -(-hw.max_k // hw.block) * params.width),
                              moved=_bytes((task.tokens * len(task.groups) + sums) * params.width)),
        "combine_banks": Access(size=_bytes(2 * hw.rows * hw.cols * params.total_width),
                                moved=_bytes(accesses * hw.cols * params.total_width)),
    }


def _between_beats(task: Task, hw: HwConfig) -> dict[str, Access]:
    """The memories of the Hadamard unit, of hardware that has one with blocks of several beats: of n / 2, …, 2 beats;
    every beat is written to each and read once. The level of neighbours has a register."""
    if hw.hadamard is None or (params := HadamardParams.of(hw)).beat_levels < 2:
        return {}
    words = [params.lanes * (params.width + 2 + level) for level in range(params.beat_levels - 1)]
    depths = [params.block_beats >> level + 1 for level in range(params.beat_levels - 1)]
    beats = 0 if task.k_in is None else task.tokens * -(-task.k // hw.lanes)
    return {"hadamard_beats": Access(
        size=_bytes(sum(depth * word for depth, word in zip(depths, words, strict=True))),
        moved=_bytes(2 * beats * sum(words)))}


def _bytes(bits: int) -> int:
    return math.ceil(bits / 8)
