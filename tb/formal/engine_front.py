"""The queues of the engine's front, around its lifting and its scale unit: none over- or underflows.

Each queue is proved to be as long as what it belongs to: sinks between the lifting's input and output, tokens between
the scale unit's. How many those are at most follows from the pace: no two sinks are neighbours in the lifting's ranks,
and no two quotients come within the cycles that a token needs to leave the scale unit behind them.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib import data

from rtl_gen import engine_layouts, haar
from rtl_gen.divider import group_layout, info_layout
from rtl_gen.engine_front import SINKS, SINKS_IN_LIFTING, legal, tokens_in_scale
from rtl_gen.haar_slots import walk_layout
from rtl_gen.scale import job_layout, output_layout
from tb.faults import Fault, replace
from tb.formal import Property
from tb.formal.engine import DEFAULT, SMALL, OfEngine, all_but


def _count(flags: list[Value]) -> Value:
    return sum(flags[1:], flags[0] + Const(0, 1))


class Sinks(OfEngine):
    """As many exponents are queued as sinks are in the lifting unit; it takes as many as it sends."""

    def check(self, m: Module) -> None:
        params, unit = self.params.haar, "front.haar"
        first, running, cycle, beats, last_cycle = (self.internal(f"{unit}.slots.{name}") for name in (
            "first", "running", "cycle", "beats", "last_cycle"))
        walk = data.View(walk_layout(params), self.internal(f"{unit}.slots.walk"))
        plan = data.View(haar.unit_plan(params), self.internal(f"{unit}.plan"))
        active = first | running
        registers = data.View(engine_layouts.job_layout(self.params), self.internal("front.registers_held"))
        self.must(m, (self.internal("front.state") < SINKS) | legal(registers, Const(1), self.params))
        self.must(m, ~(first & running) & (running | (cycle == 0)))
        self.must(m, ~active | (beats - 1 <= last_cycle) & (cycle <= last_cycle))
        self.must(m, ~active | (last_cycle >= params.min_slot_cycles - 1))
        # a sink's job has no level: the token that comes in is the one that leaves
        self.must(m, ~active | (walk.offset <= walk.mask))
        self.must(m, ~(active & walk.sink) | ~walk.mask.any())
        self.must(m, ~(running & plan.sink) | (plan.takes == plan.emits))
        ranks = [self.internal(f"{unit}.emits_{rank}") & self.internal(f"{unit}.last_{rank}")
                 & self.internal(f"{unit}.sink_{rank}") for rank in range(1, params.latency + 1)]
        self.must(m, ~ranks[0] | ~first & (~running | (cycle >= beats) | (cycle == 0) & (beats != 1)))
        for one, other in zip(ranks, ranks[1:], strict=False):
            self.must(m, ~(one & other))
        count = self.internal("front.sinks.count")
        self.must(m, (count == _count(ranks)) & (count <= SINKS_IN_LIFTING))
        self.must(m, ~self.internal("front.sinks.broken"))
        self.reached(m, (count != 0) & ranks[-1])


class Tags(OfEngine):
    """As many places are queued as tokens are in the scale unit, given a lifting unit that sends whole tokens."""

    def check(self, m: Module) -> None:
        params, unit = self.params.scale, "front.scale"
        job = data.View(job_layout(params), self.internal(f"{unit}.job"))
        accept, ends, waiting = (self.internal(f"{unit}.{name}") for name in ("accept", "token_end", "waiting"))
        coef = data.View(haar.output_layout(self.params.haar), self.internal("front.haar.o__payload"))
        self.given(m, ~accept | (coef.last == ends))
        # a token is a group
        self.must(m, ~self.internal(f"{unit}.running") | (job.group_beats == job.beats))
        self.must(m, self.internal(f"{unit}.group_beat") == self.internal(f"{unit}.token_beat"))
        before = self._before_the_quotient(m)
        self.must(m, (waiting == _count(before)) & (waiting <= params.groups_in_flight))
        behind = self._behind_it(m)
        count, divided = self.internal("front.tags.count"), self.internal(f"{unit}.divider.o__valid")
        self.must(m, count == waiting + divided + _count(behind))
        self.must(m, count <= tokens_in_scale(self.params))
        self.must(m, ~self.internal("front.tags.broken"))
        self.reached(m, (waiting != 0) & behind[-1])

    def _before_the_quotient(self, m: Module) -> list[Value]:
        """Whether there is a token in each place up to its quotient; each place ends one."""
        params, unit = self.params.scale, "front.scale"
        levels = [f"tree.level{level}" for level in range(1, params.tree_levels + 1)]
        places: list[tuple[Value, data.View]] = []
        for name in ("tree.input", *levels, "tree.run", "tree.bound"):
            exists: Value = self.internal(f"{unit}.{name}_valid")
            if name not in ("tree.run", "tree.bound"):
                exists = exists & self.internal(f"{unit}.{name}_final")
            places.append((exists, data.View(info_layout(params), self.internal(f"{unit}.{name}_info"))))
        for name in ("range", "zeros", "divide"):
            group = data.View(group_layout(params), self.internal(f"{unit}.divider.{name}_group"))
            places.append((self.internal(f"{unit}.divider.{name}_valid"), group.info))
        result = self.internal(f"{unit}.divider.result")[:group_layout(params).size]
        for exists, info in (*places, (self.internal(f"{unit}.divider.o__valid"),
                                       data.View(group_layout(params), result).info)):
            self.must(m, ~exists | info.last)
        return [exists for exists, _ in places]

    def _behind_it(self, m: Module) -> list[Value]:
        """Whether a token's last beat is in each stage behind the ring buffer: in two of them at most."""
        params, unit = self.params.scale, "front.scale"
        lasts: list[Value] = []
        for name in ("read", "difference", "shift", *(f"product{n}" for n in range(params.mul_stages))):
            lasts.append(self.internal(f"{unit}.{name}_valid") & self.internal(f"{unit}.{name}_last"))
        code = data.View(output_layout(params), self.internal(f"{unit}.code"))
        lasts.append(self.internal(f"{unit}.o__valid") & code.last)
        # `taken[n]`: n + 1 cycles ago a quotient moved to the output register, when the token before had left it
        taken = Signal(len(lasts) + 1)
        divided, dividing, left = (self.internal(f"{unit}.divider.{name}") for name in (
            "o__valid", "divide_valid", "divide_left"))
        m.d.sync += taken.eq(Cat(self.internal(f"{unit}.divider.taken"), taken))
        for number, late in enumerate(taken):
            self.must(m, ~late | ~dividing | (left >= params.recip_width - 1 - number))
            self.must(m, ~late | ~taken[number + 1:].any())
        for older, last in enumerate(lasts):
            self.must(m, ~(divided & last) | taken[:older + 1].any())
            for younger in range(older):
                self.must(m, ~(lasts[younger] & last) | taken[younger + 1:older + 1].any())
        return lasts


PROPERTIES = (
    Property(
        name="engine_sinks", block="engine_front", build=Sinks, params=DEFAULT, small=SMALL, free=all_but("front"),
        depth=1, cover=15, says="the queue of the sinks' exponents never over- or underflows",
        bug=Fault(name="forget_the_exponents", block="engine", why="a sink's exponent is not queued",
                  edit=replace("assign push = ", "assign push = 1'h0 & ")), bug_depth=15, seconds=60),
    Property(
        name="engine_tags", block="engine_front", build=Tags, params=DEFAULT, small=SMALL, free=all_but("front"),
        depth=1, cover=35, says="the queue of places beside the scale unit never over- or underflows",
        bug=Fault(name="short_tag_queue", block="engine", why="places get lost beside the scale unit",
                  patch=("rtl_gen.engine_front.tokens_in_scale", lambda params: 1)), bug_depth=35, seconds=60),
)
