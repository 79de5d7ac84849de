"""What the memory has for a job of the closed form, alone or behind another one: tokens, weights and parameters, and
the cycles that its bytes take.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sim import dram, memory
from sim.dram import Memory, Rate
from sim.engine.early import Early
from sim.engine.handover import ENOUGH, LONG_AGO, READY, REGISTERS, Handover, early_passes
from sim.engine.loads import Left, Loads, PortLoads, RateLoads
from sim.engine.port_flow import PortTokens
from sim.port import TICKS, Plan, Port
from sim.task import Task
from stamp_hw.config import HwConfig
from stamp_hw.engine import super_tile
from stamp_hw.engine.super_tile import Size, SuperTile
from stamp_hw.engine.wire import beat_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Supply:
    """`tokens`, of one use; `loads` weights and parameters; `early` passes of these that are there before the tokens
    may come, and whether all is `settled` by then (`sim.engine.handover.early_passes`); `least` cycles that the other
    bytes take, `fetched` those of the early ones, where that is time of the job before (a port's streams have theirs).
    """

    tokens: Rate | PortTokens
    loads: Loads
    early: int
    settled: bool
    least: int
    fetched: int

    @classmethod
    def of(cls, task: Task, hw: HwConfig, parts: Sequence[SuperTile], before: Handover | None) -> Supply:
        """Of a layer that is cut into `parts`."""
        if hw.memory is not None:
            return cls._at_the_port(task, hw, parts, before)
        rates, sizes = Memory.of(hw), beat_bytes(hw)
        loads = RateLoads(memory=rates, weights=task.weights, steps=task.k, words=hw.cols)
        if before is not None and before.early is Early.WEIGHTS:
            loads = replace(loads, taken=(LONG_AGO, LONG_AGO) if before.left is None else before.left.ends)
        early, settled = (0, False) if before is None else early_passes(loads, before, task, hw)
        fetched = early * (task.weights.beats(task.k) * sizes["w"] + hw.cols * sizes["p"])
        moved = memory.dram_bytes(task, hw, len(parts)).total
        return cls(tokens=rates.i, loads=loads, early=early, settled=settled, fetched=dram.cycles(fetched, hw),
                   least=dram.cycles(moved - fetched, hw))

    @classmethod
    def _at_the_port(cls, task: Task, hw: HwConfig, parts: Sequence[SuperTile], before: Handover | None,
                     loaded: bool = False) -> Supply:
        """`loaded` as in `Plan.of`; whether it is so does not hang on what it changes, which comes later."""
        plan, early, settled = Plan.of(task, hw, parts, loaded), 0, False
        if before is None:
            tokens = PortTokens(plan)
            loads = PortLoads.of(plan, tokens.timeline, task.weights, task.k)
        else:
            left = _long_ago(plan) if before.left is None else before.left
            tokens = PortTokens(plan, dict(zip(("w", "p"), left.spacing, strict=True)))
            begin = before.accept + 1 if before.early is Early.WEIGHTS else 0
            loads = PortLoads.of(plan, tokens.timeline, task.weights, task.k, begin, left)
            early, settled = early_passes(loads, before, task, hw)
            if early and not loaded:
                return cls._at_the_port(task, hw, parts, before, loaded=True)
        fetched = early * (plan.units["w"].moved + plan.units["p"].moved)
        return cls(tokens=tokens, loads=loads, early=early, settled=settled, fetched=0,
                   least=Port.of(hw).cycles(plan.moved - fetched))


def _long_ago(plan: Plan) -> Left:
    """Streams that rest."""
    end = LONG_AGO * TICKS
    free_w, free_p = (np.full(plan.depth[name], LONG_AGO, np.int64).tobytes() for name in ("w", "p"))
    return Left(ends=(end, end), free=(free_w, free_p), spacing=(plan.spacing[-1]["w"], plan.spacing[-1]["p"]))


def simplest(task: Task, hw: HwConfig, size: int | Size, before: Handover) -> Handover:
    """The same for a layer in super-tiles of that size, without what makes no cycle of it differ; and its registers
    alone where the job before left the memory no time for weights (a port's streams have theirs)."""
    if before in (READY, REGISTERS):
        return before
    supply = Supply.of(task, hw, super_tile.split(task.job, hw, size), before)
    if before.early is Early.WEIGHTS and supply.fetched > before.slack:
        return simplest(task, hw, size, replace(before, early=Early.REGISTERS))
    if supply.settled:
        return READY if before.early is Early.WEIGHTS else REGISTERS
    return replace(before, slack=ENOUGH)
