"""Cycles and events of the combine unit between streams (`rtl_gen.combine_stream.CombineStream`).

A token's sums are taken when they are offered, but for two cases: the token that opens an array tile waits for a free
bank, and between two blocks there are `turn_gap` cycles. The last column writes a tile's T `written_cycles` after the
tile's last token; from the cycle after that on they are read in order, a beat a cycle, and are on offer a cycle later.
While a beat waits nothing else is read. A bank is free in the cycle after its last T was taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sim.pipeline import Pattern, Timing, always
from stamp_hw.params import CombineParams

BANKS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class CombineEvents:
    """`sums`: a token's sums of a block that were combined, in all columns."""

    sums: int


def events(params: CombineParams, blocks: Sequence[int]) -> CombineEvents:
    """Of array tiles of `blocks[n]` blocks."""
    return CombineEvents(sums=sum(blocks) * params.tokens)


def cycles(params: CombineParams, blocks: Sequence[int]) -> int:
    """Cycles from the first token to the last T, both included: array tiles of `blocks[n]` blocks without stalls."""
    beats = params.tokens * params.chunks
    begin, read, taken = 0, 0, [-1] * BANKS  # `taken`: the last T of each of the last tiles
    for count in blocks:
        begin = max(begin, taken[-BANKS] + 1)
        end = begin + count * (params.tokens + params.turn_gap) - params.turn_gap - 1
        read = max(read, end + params.cols + params.latency) + beats
        taken.append(read)
        begin = end + 1 + params.turn_gap
    return taken[-1] + 1


def timing(params: CombineParams, blocks: Sequence[int], valid: Pattern = always, ready: Pattern = always) -> Timing:
    """Step the unit: the cycle in which each token and each output beat is taken.

    Parameters
    ----------
    blocks : blocks of each array tile, at least 1
    valid, ready : stall patterns of the input and the output side
    """
    opens = set((np.cumsum([0, *blocks[:-1]]) * params.tokens).tolist())
    ends = set((np.cumsum(blocks) * params.tokens - 1).tolist())
    tokens, size = sum(blocks) * params.tokens, params.tokens * params.chunks
    beats = len(blocks) * size
    complete: list[int] = []  # first cycle in which the T of each tile are read
    inputs: list[int] = []
    outputs: list[int] = []
    used, reads, cycle, rested = 0, 0, 0, 0
    offered = on_offer = False
    while len(outputs) < beats:
        offered = offered or (len(inputs) < tokens and valid(cycle))
        takes = offered and cycle >= rested and (len(inputs) not in opens or used < BANKS)
        sends = on_offer and ready(cycle)
        tile = reads // size
        moves = not on_offer or sends
        if takes:
            if len(inputs) in opens:
                used += 1
            if len(inputs) in ends:
                complete.append(cycle + params.cols + params.latency)
            if len(inputs) % params.tokens == params.tokens - 1:
                rested = cycle + 1 + params.turn_gap
            inputs.append(cycle)
            offered = False
        if sends:
            outputs.append(cycle)
            used -= len(outputs) % size == 0
        if moves:
            on_offer = tile < len(complete) and cycle >= complete[tile]
            reads += on_offer
        cycle += 1
    return Timing(inputs=np.array(inputs, np.int64), outputs=np.array(outputs, np.int64))
