"""Cycles and events of the MAC array (`rtl_gen.mac.array.Mac`), from the same MacParams and the same steps.

With blocks (`rtl_gen.mac.block_stream.BlockMacStream`) a last step waits until the one before it is `min_tile_cycles`
ago and fewer than `tiles_queued` tiles are on their way out; its tile's beats reach the queue one a cycle, from
`drain_latency` + cols − 1 cycles on. In hardware without:

A step is taken in the cycle in which it is offered, unless it is a tile's last one: that waits while the tile before it
is still on its way to the hold registers (`flight_cycles`), and then until what is left in them is certain to leave in
time: at most `latency` beats, which together with those in the output queue fit `queue_beats`. The drain moves a beat a
cycle into the queue while that is not full; the queue sends a beat a cycle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sim.pipeline import Pattern, Timing, always
from stamp_hw.params import MacParams


@dataclass(frozen=True, slots=True, kw_only=True)
class MacEvents:
    """Event counts of a run of tiles.

    `multiplies8`, `multiplies4`: multiplications in rows of either mode (one of 4 bits makes two products; a row
    without a token multiplies as well); `steps` taken; `drained` output beats, empty ones included.
    """

    multiplies8: int
    multiplies4: int
    steps: int
    drained: int


def tile_cycles(params: MacParams, k: int) -> int:
    """Cycles from one tile's last step to the next one's, `k` steps later: max(k, min_tile_cycles)."""
    return max(k, params.min_tile_cycles)


def cycles(params: MacParams, steps: Sequence[int]) -> int:
    """Cycles from the first step to the last output beat, both included: tiles of `steps[n]` steps without stalls."""
    if not len(steps):
        return 0
    drain = params.drain_latency + params.drain_beats - 1
    if params.blocks:
        drain += params.cols  # until all columns are in line, and through the queue
    return steps[0] + sum(tile_cycles(params, k) for k in steps[1:]) + drain


def events(params: MacParams, steps: Sequence[int], rows4: Sequence[int]) -> MacEvents:
    """Events of tiles of `steps[n]` steps of which `rows4[n]` rows are in 4-bit mode."""
    tiles = list(zip(steps, rows4, strict=True))
    return MacEvents(multiplies8=sum(k * (params.rows - four) for k, four in tiles) * params.cols,
                     multiplies4=sum(k * four for k, four in tiles) * params.cols,
                     steps=sum(steps), drained=len(steps) * params.drain_beats)


def timing(params: MacParams, steps: Sequence[int], valid: Pattern = always, ready: Pattern = always) -> Timing:
    """Step the array: the cycle in which each step and each output beat is taken.

    Parameters
    ----------
    steps : k-steps of each tile, at least 1
    valid, ready : stall patterns of the input and the output side
    """
    if params.blocks:
        return _block_timing(params, steps, valid, ready)
    latency, queue_beats = params.latency, params.queue_beats
    last_steps = set((np.cumsum(steps) - 1).tolist())
    total, beats = sum(steps), len(steps) * params.drain_beats
    inputs: list[int] = []
    outputs: list[int] = []
    taken, sent, left, queued, cycle, begin = 0, 0, 0, 0, 0, -1
    offered = False
    while sent < beats:
        if cycle == begin:
            left = params.drain_beats
        offered = offered or (taken < total and valid(cycle))
        pop = queued > 0 and ready(cycle)
        move = left > 0 and queued < queue_beats
        if offered and (taken not in last_steps
                        or (cycle >= begin and left <= latency and left + queued <= queue_beats)):
            if taken in last_steps:
                begin = cycle + params.flight_cycles + 1
            inputs.append(cycle)
            taken += 1
            offered = False
        if pop:
            outputs.append(cycle)
            sent += 1
            queued -= 1
        if move:
            left -= 1
            queued += 1
        cycle += 1
    return Timing(inputs=np.array(inputs, np.int64), outputs=np.array(outputs, np.int64))


def _block_timing(params: MacParams, steps: Sequence[int], valid: Pattern, ready: Pattern) -> Timing:
    """`timing` of an array with blocks: no beat waits in front of the queue, so a tile's beats are in it at once."""
    last_steps = set((np.cumsum(steps) - 1).tolist())
    total, beats = sum(steps), len(steps) * params.drain_beats
    inputs: list[int] = []
    outputs: list[int] = []
    heads: list[int] = []  # cycle from which each beat may be taken
    tiles, free, cycle, offered = 0, 0, 0, False
    while len(outputs) < beats:
        offered = offered or (len(inputs) < total and valid(cycle))
        ends = len(inputs) in last_steps
        takes = offered and not (ends and (cycle < free or tiles == params.tiles_queued))
        if len(outputs) < len(heads) and heads[len(outputs)] <= cycle and ready(cycle):
            outputs.append(cycle)
            tiles -= len(outputs) % params.drain_beats == 0
        if takes:
            if ends:
                first = cycle + params.drain_latency + params.cols
                heads += range(first, first + params.drain_beats)
                tiles, free = tiles + 1, cycle + params.min_tile_cycles
            inputs.append(cycle)
            offered = False
        cycle += 1
    return Timing(inputs=np.array(inputs, np.int64), outputs=np.array(outputs, np.int64))
