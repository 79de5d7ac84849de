"""What the memory has for a job of the closed form, alone or behind another one: tokens, weights and parameters, and
the cycles that its bytes take.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from sim import dram, memory
from sim.dram import Memory, Rate
from sim.engine.array import LOAD_SETUP
from sim.engine.early import Early
from sim.engine.handover import ENOUGH, READY, REGISTERS, Handover, early_passes
from sim.engine.loads import Left, Loads, PortLoads, RateLoads
from sim.engine.port_flow import LONG_AGO, PortTokens
from sim.port import TICKS, Plan, Port
from sim.task import Task
from stamp_hw.config import HwConfig
from stamp_hw.engine import super_tile
from stamp_hw.engine.params import EngineParams
from stamp_hw.engine.super_tile import Size, SuperTile
from stamp_hw.engine.wire import beat_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Supply:
    """`tokens`, of one use; `loads` weights and parameters; `early` passes of these that are there before the tokens
    may come, and whether all is `settled` by then (`sim.engine.handover.early_passes`)."""

    tokens: Rate | PortTokens
    loads: Loads
    early: int
    settled: bool

    @classmethod
    def of(cls, task: Task, hw: HwConfig, parts: Sequence[SuperTile], before: Handover | None,
           known: tuple[int, bool] | None = None) -> Supply:
        """Of a layer that is cut into `parts`; `known` are (`early`, `settled`), None: not yet."""
        tokens, loads = _streams(task, hw, parts, before)
        if before is None:
            return cls(tokens=tokens, loads=loads, early=0, settled=False)
        early, settled = known or early_passes(loads, before, task, hw)
        if early and hw.memory is not None:
            # Whether a pass is loaded does not hang on what that changes, which comes later.
            tokens, loads = _streams(task, hw, parts, before, loaded=True)
        return cls(tokens=tokens, loads=loads, early=early, settled=settled)


def _streams(task: Task, hw: HwConfig, parts: Sequence[SuperTile], before: Handover | None, loaded: bool = False
             ) -> tuple[Rate | PortTokens, Loads]:
    """Tokens, and weights and parameters; `loaded` as in `Plan.of`."""
    if hw.memory is None:
        rates = Memory.of(hw)
        loads = RateLoads(memory=rates, weights=task.weights, steps=task.k, words=hw.cols)
        if before is not None and before.early is Early.WEIGHTS:
            loads = replace(loads, taken=(LONG_AGO, LONG_AGO) if before.left is None else before.left.ends)
        return rates.i, loads
    plan = Plan.of(task, hw, parts, loaded)
    if before is None:
        tokens = PortTokens(plan)
        return tokens, PortLoads.of(plan, tokens.timeline, task.weights, task.k)
    left = _long_ago(plan) if before.left is None else before.left
    tokens = PortTokens(plan, dict(zip(("w", "p"), left.spacing, strict=True)))
    begin = before.accept + 1 if before.early is Early.WEIGHTS else 0
    return tokens, PortLoads.of(plan, tokens.timeline, task.weights, task.k, begin, left)


def least(task: Task, hw: HwConfig, parts: Sequence[SuperTile], early: int) -> int:
    """Cycles that the bytes of a layer take, but for those of so many passes that came early."""
    if hw.memory is None:
        return dram.cycles(memory.dram_bytes(task, hw, len(parts)).total - early * _load_bytes(task, hw), hw)
    plan = Plan.of(task, hw, parts)
    return Port.of(hw).cycles(plan.moved - early * (plan.units["w"].moved + plan.units["p"].moved))


def _load_bytes(task: Task, hw: HwConfig) -> int:
    """Of a pass's weights and parameters."""
    sizes = beat_bytes(hw)
    return task.weights.beats(task.k) * sizes["w"] + hw.cols * sizes["p"]


def _long_ago(plan: Plan) -> Left:
    """Streams that rest."""
    end = LONG_AGO * TICKS
    free_w, free_p = (np.full(plan.depth[name], end).tobytes() for name in ("w", "p"))
    return Left(ends=(end, end), free=(free_w, free_p), spacing=(plan.spacing[-1]["w"], plan.spacing[-1]["p"]))


@lru_cache(maxsize=2048)  # layers of several schemes are alike
def simplest(task: Task, hw: HwConfig, size: Size, before: Handover) -> Handover:
    """The same for a layer in super-tiles of that size, without what makes no cycle of it differ; and its registers
    alone where the job before left the memory no time for weights (a port's streams have theirs)."""
    if before in (READY, REGISTERS):
        return before
    params = EngineParams.of(hw)
    now = replace(before.without_past(task, params), slack=ENOUGH)
    if before.early is Early.WEIGHTS:
        _, loads = _streams(task, hw, super_tile.divide(task.job, *size, hw.rows), before)
        now = replace(now, left=loads.for_load(before.begin(task, params) + LOAD_SETUP))
    elif hw.memory is None:
        now = replace(now, left=None)  # its rates count from the results on
    early, settled = early_of(task, hw, size, now)
    if (before.early is Early.WEIGHTS and hw.memory is None
            and dram.cycles(early * _load_bytes(task, hw), hw) > before.slack):
        return simplest(task, hw, size, replace(before, early=Early.REGISTERS))
    if settled:
        return READY if before.early is Early.WEIGHTS else REGISTERS
    return now


@lru_cache(maxsize=2048)  # asked for when a job's past is looked at, and when it is followed
def early_of(task: Task, hw: HwConfig, size: Size, before: Handover) -> tuple[int, bool]:
    """`Supply.early` and `Supply.settled`."""
    supply = Supply.of(task, hw, super_tile.divide(task.job, *size, hw.rows), before)
    return supply.early, supply.settled
