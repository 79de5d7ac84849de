"""The engine's gates around the MAC array: it never refuses a step, and what follows its tiles is never short of room.

`min_tile_cycles` between two last steps is all that the engine knows of the array. So everything about a tile follows
from the cycles since its last step was issued: `age`, with those of the tiles before it in `ages`.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data

from rtl_gen.engine.drain import tiles_in_array
from rtl_gen.engine.issue import step_layout
from rtl_gen.mac.array import output_layout
from tb.faults.engine import _forget_the_gap
from tb.formal import Property, known
from tb.formal.engine import DEFAULT, SMALL, OfEngine, all_but
from tb.run.fault import Fault


class Gaps(OfEngine):
    """Where the tiles in the array stand, by their ages: a last step finds it ready, and the drain its tile."""

    def check(self, m: Module) -> None:
        params = self.params.mac
        flies = self.params.feed_cycles + 1  # age of a tile whose last step has just been taken by the array
        drains = flies + params.flight_cycles  # and of one whose drain begins
        gone = drains + params.drain_beats  # and of one whose last beat leaves the queue
        ages = self._ages(m, gone + 1)
        age = ages[0]
        gap, flight, left, queued = (self.internal(name) for name in (
            "issue.gap", "mac.flight", "mac.left", "mac.queued"))
        tiles = known.queued(self, m, "drain.tiles.")
        _, may_go = known.of_step(self, m)
        may_end = self.internal("issue.last_") & may_go
        self.must(m, ~may_end | (gap.as_signed() == -1))
        self.must(m, gap.as_signed() == Mux(age < params.min_tile_cycles, params.min_tile_cycles - age - 1, -1))
        layout = step_layout(self.params)
        for number in range(self.params.feed_cycles):
            step = data.View(layout, self.internal("issue.steps").word_select(number, layout.size))
            self.must(m, (step.valid & step.last) == Cat(each == number + 1 for each in ages).any())
        flying: Value = Mux(age < flies, 0, _left(age - flies, params.flight_cycles))
        draining: Value = Mux(age < drains, 0, _left(age - drains, params.drain_beats))
        for older in ages[1:]:
            flying = flying | Mux(older < flies, 0, _left(older - flies, params.flight_cycles))
            draining = draining | Mux(older < drains, 0, _left(older - drains, params.drain_beats))
        self.must(m, (flight == flying) & (left == draining) & known.of_array(self, params, "mac."))
        behind = [(older > drains) & (older <= gone) for older in ages]
        self.must(m, queued == sum(behind[1:], behind[0]))
        beat = data.View(output_layout(params), self.internal("mac.queue0"))
        last = [older == gone for older in ages]
        self.must(m, (queued == 0) | (beat.last == Cat(last).any()))
        self.must(m, self.internal("drain.tile_issued") == (age == 1))
        inside = [(older > 1) & (older <= gone) for older in ages]
        self.must(m, (tiles == sum(inside[1:], inside[0])) & (tiles <= tiles_in_array(self.params)))
        step = self.internal("issue.step")
        self.must(m, ~data.View(step_layout(self.params), step).valid | self.internal("mac.i__ready"))
        self.must(m, ~self.internal("drain.internal"))
        self.reached(m, (tiles == 2) & (left != 0))

    def _ages(self, m: Module, limit: int) -> list[Signal]:
        """Cycles since the last step of a tile was issued, and of the ones before it, each up to `limit`."""
        ends = self.internal("issue.tile_en")
        ages: list[Signal] = []
        for number in range(3):
            age = Signal(range(limit + 1), init=limit, name=f"age{number}")
            m.d.sync += age.eq(Mux(age == limit, limit, age + 1))
            with m.If(ends):
                m.d.sync += age.eq(Mux(ages[-1] == limit, limit, ages[-1] + 1) if ages else 1)
            if ages:
                apart = ages[-1] + self.params.mac.min_tile_cycles
                self.must(m, (age == limit) | (age >= apart))
            ages.append(age)
            self.must(m, (age != 0) & (age <= limit))
        return ages


def _left(since: Value, cycles: int) -> Value:
    """What is left of `cycles` after `since` of them, 0 at least."""
    return Mux(since < cycles, cycles - since, 0)


DATA = ("stamp_pe", "stamp_rescale_lane")
PROPERTIES = (
    Property(
        name="engine_gaps", block="engine_issue", build=Gaps, params=DEFAULT, small=SMALL,
        free=(*all_but("issue", "mac", "drain"), *DATA), depth=1, cover=15,
        says="the MAC array never refuses a step of the engine, and the drain's queue of tiles never breaks",
        bug=Fault(name="forget_the_gap", block="engine", why="last steps follow each other too closely",
                  patch=("rtl_gen.engine.issue.may_end", _forget_the_gap)), bug_depth=15, seconds=30),
)
