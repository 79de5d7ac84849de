"""Accesses of the engine's on-chip memories (`sim.banks`) while a layer runs, whatever the stalls.

An access reads or writes one word of one bank. Counted are those that the work asks for, bank by bank as the RTL's
ports do them (`tests/tb/test_accesses.py` counts them there); where a read's enable stays high while nobody asks, that
is an idle cycle like any other unit's, and not priced.
"""

from __future__ import annotations

from dataclasses import dataclass

from sim import haar, scale
from sim.banks import Banks, banks
from sim.division import Division
from sim.task import Task
from stamp_hw.config import HwConfig
from stamp_hw.params import HaarParams, ScaleParams


@dataclass(frozen=True, slots=True, kw_only=True)
class Beats:
    """Beats that are read from a memory and written to it."""

    read: int
    written: int


def accesses(task: Task, hw: HwConfig, division: Division) -> dict[Banks, tuple[int, int]]:
    """Words read and words written of all banks of each memory, for one layer."""
    moved = beats(task, hw, division)
    return {one: (one.read * moved[one.name].read, one.written * moved[one.name].written) for one in banks(hw)}


def beats(task: Task, hw: HwConfig, division: Division) -> dict[str, Beats]:
    """Beats of each memory, by name, for one layer: affine in the counts of `division`.

    Codes are written beat by beat: a token that opens a row slot writes both planes, so that the high one is whole
    whatever follows, and one that fills it the high plane alone; a row slot's words are read once a column tile, one
    for `lanes` steps. Weights are written once a pass and read once an array tile. Whatever an array tile drains, token
    slots without a token among them, reads a token's scale and the channels' factors. With blocks a block's scale is
    read with every sum of it, T is written with every sum, read with all but those of a tile's first block, and once
    more for each beat of the rescale unit.
    """
    columns, chunks = task.columns(hw)[0], hw.cols // hw.drain_lanes
    passes, tiles = division.super_tiles * columns, division.array_tiles * columns
    token_beats = -(-task.k // hw.lanes)
    slots = division.row_slots * token_beats
    words, drained, sent = task.tokens * columns * chunks, tiles * 2 * hw.rows * chunks, task.out_beats(hw)
    unit = ScaleParams.of(hw)
    ring = scale.events(unit, unit.job(tokens=task.tokens, k=task.k, group=task.group))
    loaded = passes * hw.cols
    return _hadamard(task, hw, token_beats) | _blocks(task, hw, division) | _lines(task, hw, token_beats) | {
        "ring_buffer": Beats(read=ring.buffer_reads, written=ring.buffer_writes),
        "activation_low": Beats(read=slots * columns, written=slots),
        "activation_high": Beats(read=slots * columns, written=task.tokens * token_beats),
        "weight_buffer": Beats(read=tiles * task.k, written=passes * task.k),
        "factor_buffer": Beats(read=drained, written=loaded),
        "bias_buffer": Beats(read=task.tokens * sent, written=loaded),
        "scale_buffer": Beats(read=drained, written=task.tokens),
        "output_buffer": Beats(read=task.tokens * sent, written=words),
    }


def block_sums(task: Task, hw: HwConfig, division: Division) -> int:
    """Sums of blocks that leave a column of the array in one pass, those of empty row slots among them."""
    assert hw.block
    return division.array_tiles * -(-task.k // hw.block) * 2 * hw.rows


def _blocks(task: Task, hw: HwConfig, division: Division) -> dict[str, Beats]:
    """The memories of hardware with blocks."""
    if not hw.block:
        return {}
    columns = task.columns(hw)[0]
    sums, tokens = block_sums(task, hw, division) * columns, division.array_tiles * 2 * hw.rows * columns
    rescaled = tokens * (hw.cols // hw.drain_lanes)
    return {"span_buffer": Beats(read=sums, written=task.tokens * len(task.groups)),
            "combine_banks": Beats(read=sums - tokens + rescaled, written=sums)}


def _lines(task: Task, hw: HwConfig, token_beats: int) -> dict[str, Beats]:
    """Line memories of both lifting units; every word that is written is read once. Haar tiles do not overlap:
    super-tile by super-tile is the same as the whole grid at once."""
    found: dict[str, Beats] = {}
    for name, params, count in (("lifting", HaarParams.forward(hw), token_beats),
                                ("inverse", HaarParams.inverse(hw), task.out_beats(hw))):
        lines = haar.line_words(params, task.haar_job(count))
        found |= {f"{name}_{line}": Beats(read=words, written=words) for line, words in lines.items()}
    return found


def _hadamard(task: Task, hw: HwConfig, token_beats: int) -> dict[str, Beats]:
    """Every beat is written to each level's memory and read once; none where the unit is off."""
    count = 0 if task.k_in is None else task.tokens * token_beats
    return {one.name: Beats(read=count, written=count) for one in banks(hw) if one.name.startswith("hadamard_")}
