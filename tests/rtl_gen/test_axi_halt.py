"""What stands around the engine behind AXI, against models of a few lines of Python: every bit of every register."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pytest
from amaranth.lib import data, wiring
from amaranth.sim import Simulator

from rtl_gen.axi.event_counters import EVENT_WIDTH, EventCounters, select_width
from rtl_gen.axi.halt import TIMEOUT_WIDTH, Halt, Watchdog

CYCLES = 3_000


def played(unit: wiring.Component, inputs: Iterable[Mapping[str, int]], outputs: tuple[str, ...]) -> list[list[int]]:
    """Values of `outputs` in each cycle of `inputs`, before the edge that ends it."""
    seen: list[list[int]] = []

    async def bench(ctx: Any) -> None:
        for given in inputs:
            for name, value in given.items():
                ctx.set(getattr(unit, name), value)
            seen.append([int(ctx.get(getattr(unit, name))) for name in outputs])
            await ctx.tick()

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return seen


def test_the_watchdog_counts_the_cycles_in_which_a_wait_brings_nothing(rng: np.random.Generator) -> None:
    given, wanted, left, limit = [], [], 0, 0
    for cycle in range(CYCLES):
        if cycle % 40 == 0:
            limit = int(rng.choice([0, 1, 2, int(rng.integers(20)), 1 << int(rng.integers(TIMEOUT_WIDTH)),
                                    int(rng.integers(1 << TIMEOUT_WIDTH))]))
        waits, moves = bool(rng.random() < 0.95), bool(rng.random() < 0.03)
        given.append({"limit": limit, "waits": waits, "moves": moves})
        counts = waits and not moves
        wanted.append([left, int(counts and left == 1)])
        left = left - 1 if counts and left else limit
    assert played(Watchdog(), given, ("left", "starved")) == wanted
    assert sum(starved for _, starved in wanted) > 20
    assert np.bitwise_or.reduce([left for left, _ in wanted]) == (1 << TIMEOUT_WIDTH) - 1


def test_the_engine_halts_until_every_reason_is_gone_and_the_results_are_out(rng: np.random.Generator) -> None:
    names, given, wanted, halted = ("flush", "refused", "stands", "starved", "drained"), [], [], 0
    for _ in range(CYCLES):
        now = {name: int(rng.random() < 0.3) for name in names}
        given.append(now)
        wanted.append([halted])
        if halted:
            halted = int(now["flush"] or now["stands"] or not now["drained"])
        else:
            halted = int(now["flush"] or now["starved"] or now["refused"])
    assert played(Halt(), given, ("halted",)) == wanted


LAYOUTS = {"one": data.StructLayout({"only": 1}), "like the engine's": data.StructLayout(
    {"a": 1, "b": 7, "c": 2, "d": 1, "e": 4}), "wide": data.StructLayout({"a": 44, "b": 1, "c": 40})}


@pytest.mark.parametrize("name", LAYOUTS)
def test_totals_of_events_are_exact_once_they_are_settled(name: str, rng: np.random.Generator) -> None:
    """Bursts of increments, each followed by quiet; the totals are sometimes cleared, also within a burst, where what
    waits for its turn is forgotten."""
    layout, seen = LAYOUTS[name], {member: 0 for member in LAYOUTS[name].members}
    unit, total = EventCounters(layout), dict(seen)
    turns = 1 << select_width(layout)
    compared = [0]
    waited_for = 0

    async def bench(ctx: Any) -> None:
        nonlocal waited_for
        for burst in range(60):
            often = rng.choice([0, 0.1]) if name != "wide" else 0
            for cycle in range(int(rng.integers(1, 4 * turns))):
                clear = bool(rng.random() < (often if cycle else 0.3))
                ctx.set(unit.clear, clear)
                if clear:
                    waited_for += not ctx.get(unit.settled)
                    total.update(dict.fromkeys(total, 0))
                for member, field in layout:
                    high = (1 << field.width) - 1
                    value = int(rng.choice([0, high, int(rng.integers(high + 1))]))
                    ctx.set(unit.events[member], value)
                    total[member] = (total[member] + value) % (1 << EVENT_WIDTH)
                await ctx.tick()
            ctx.set(unit.clear, 0)
            for member, _ in layout:
                ctx.set(unit.events[member], 0)
            waited = 0
            while not ctx.get(unit.settled):
                await ctx.tick()
                waited += 1
                assert waited <= turns + 3, f"burst {burst}: not settled after {waited} cycles"
            for number, member in enumerate([*total, *(turns - len(total)) * [None]]):
                ctx.set(unit.select, number)
                await ctx.tick().repeat(2)
                wanted = total.get(member, 0) if member else 0
                assert ctx.get(unit.total) == wanted, f"burst {burst}, event {number}"
                compared[0] += 1
                if member:
                    seen[member] |= wanted

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert compared[0] == 60 * turns
    assert name != "like the engine's" or waited_for > 20, "totals were cleared while events waited"
    if name == "wide":
        assert seen["a"] == (1 << EVENT_WIDTH) - 1, "every bit of a total was reached"
