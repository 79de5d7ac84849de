"""The queues of the engine's front, around its lifting and its scale unit: none over- or underflows.

Each queue is proved to be as long as what it belongs to: sinks between the lifting's input and output, tokens between
the scale unit's. How many those are at most follows from the pace: a slot of the lifting unit outlasts its pipeline,
and in the scale unit nothing waits, so that tokens which come a slot apart leave it so.
"""

from __future__ import annotations

import dataclasses

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, ValueLike
from amaranth.lib import data

from rtl_gen.engine import layouts as engine_layouts
from rtl_gen.engine.front import SINKS_IN_LIFTING, State, tokens_in_scale
from rtl_gen.haar import forward as haar
from rtl_gen.haar.layouts import walk_layout
from rtl_gen.scale.codes import output_layout
from rtl_gen.scale.divider import group_layout, info_layout
from rtl_gen.scale.unit import job_layout
from tb.formal import Property, known
from tb.formal.engine import DEFAULT, SMALL, OfEngine, all_but
from tb.run.fault import Fault, replace


def _count(flags: list[Value]) -> Value:
    return sum(flags[1:], flags[0] + Const(0, 1))


class Sinks(OfEngine):
    """As many exponents are queued as sinks are in the lifting unit; it takes as many as it sends. Given a scale unit
    that takes each coefficient as it comes (`Tags`).
    """

    def check(self, m: Module) -> None:
        params, unit = self.params.haar, "front.haar"
        stage, cycle = known.of_slots(self, m, haar, params, f"{unit}."), self.internal(f"{unit}.slots.cycle")
        first, running, beats, last_cycle = stage.first, stage.running, stage.beats, stage.whole - 1
        walk = data.View(walk_layout(params), self.internal(f"{unit}.slots.walk"))
        plan = data.View(haar.unit_plan(params), self.internal(f"{unit}.plan"))
        active = first | running
        self.given(m, ~self.internal("front.haar.o__valid") | self.internal("front.scale.i__ready"))
        known.of_front(self, m, self.params)
        self.must(m, known.of_walk(self, m, haar, params, f"{unit}."))
        # a sink's job has no level: the token that comes in is the one that leaves
        self.must(m, ~active | (walk.offset <= walk.mask))
        self.must(m, ~(active & walk.sink) | ~walk.mask.any())
        self.must(m, ~(running & plan.sink) | (plan.takes == plan.emits))
        ranks = [self.internal(f"{unit}.emits_line")[rank] & self.internal(f"{unit}.last_line")[rank]
                 & self.internal(f"{unit}.sink_line")[rank] for rank in range(params.latency)]
        # the sinks' job is taken between SINKS and TOKENS, that of the other tokens behind TOKENS
        state, after = self.internal("front.state"), running & ~plan.sink
        self.must(m, ~running | (plan.sink == walk.sink))
        self.must(m, ~active | (state == Mux(walk.sink, State.TOKENS, State.RUN)))
        for rank, last in enumerate(ranks, 1):  # what may be at hand `rank` cycles after a sink's last beat was issued
            its_slot, later = plan.emits & (cycle == beats - 1 + rank), cycle + last_cycle + 2 <= beats + rank
            self.must(m, ~(last & running & plan.sink) | its_slot | later)
            self.must(m, ~(last & first) | ~walk.sink)
            for least, late in enumerate((first, after, (state == State.RUN) & ~active, state == State.IDLE,
                                          state == State.CHECK, state == State.SINKS), 2):
                if rank < least:
                    self.must(m, ~(last & late))
        count = known.queued(self, m, "front.sinks.")
        self.must(m, (count == _count(ranks)) & (count <= SINKS_IN_LIFTING))
        self.must(m, ~self.internal("front.sinks.broken"))
        self.reached(m, (count != 0) & ranks[-1])


class Tags(OfEngine):
    """Where the tokens in the scale unit stand, by their ages: as many places are queued. Given a lifting unit that
    sends whole tokens, and all of a job's and no others before the job is over.
    """

    def check(self, m: Module) -> None:
        params, unit = self.params.scale, "front.scale"
        job = data.View(job_layout(params), self.internal(f"{unit}.job"))
        accept, ends, running = (self.internal(f"{unit}.{name}") for name in ("accept", "token_end", "running"))
        state, waits = self.internal("front.state"), self.internal("front.scale_waits")
        registers = data.View(engine_layouts.job_layout(self.params), self.internal("front.registers_held"))
        coef = data.View(haar.output_layout(self.params.haar), self.internal("front.haar.o__payload"))
        self.given(m, ~accept | (coef.last == ends))
        self.given(m, ~self.internal("front.haar.o__valid") | running)
        enters = Signal()
        m.d.comb += enters.eq(accept & ends)
        tokens = self._tokens(m, enters, job.beats)
        there = Cat(inside for inside, _ in tokens)
        # one job after the other: a job's registers meet its own tokens
        known.of_front(self, m, self.params)
        self.must(m, ~waits | (state >= State.SINKS))
        self.must(m, ~(running | there.any()) | (state >= State.SINKS) & ~waits)
        self.must(m, (state < State.SINKS) | (registers.beats != 0) & (registers.beats <= params.max_beats))
        self.must(m, (state < State.SINKS) | waits | (job.beats == registers.beats))
        self.must(m, known.of_scale(self, params, f"{unit}."))
        # a token is a group
        self.must(m, ~running | (job.group_beats == job.beats))
        self.must(m, self.internal(f"{unit}.group_beat") == self.internal(f"{unit}.token_beat"))
        self._pace(m, registers, *tokens[0])
        self._places(m, tokens, job.beats)
        self._ring(m, tokens, job.beats)
        count = known.queued(self, m, "front.tags.")
        self.must(m, count == _count(list(there)))
        self.must(m, ~self.internal("front.tags.broken"))

    def _tokens(self, m: Module, enters: Value, beats: Value) -> list[tuple[Signal, Signal]]:
        """Whether there is a token in the scale unit, and the cycles since its last beat came in: the youngest first,
        each a slot at least behind the one before."""
        params = self.params.scale
        tokens: list[tuple[Signal, Signal]] = []
        for number in range(tokens_in_scale(self.params)):
            there = Signal(name=f"there{number}")
            age = Signal(range(params.latency + params.max_beats), name=f"age{number}")
            stays = there & (age < params.latency - 1 + beats)
            m.d.sync += [there.eq(stays), age.eq(Mux(stays, age + 1, 0))]
            with m.If(enters):
                before = tokens[-1] if tokens else None
                goes_on = before[0] & (before[1] < params.latency - 1 + beats) if before else Const(1)
                m.d.sync += [there.eq(goes_on), age.eq(Mux(goes_on, before[1] + 1 if before else 1, 0))]
            self.must(m, Mux(there, (age != 0) & (age <= params.latency - 1 + beats), age == 0))
            if tokens:
                self.must(m, ~there | tokens[-1][0] & (age >= tokens[-1][1] + self._slot(beats)))
            tokens.append((there, age))
        return tokens

    def _slot(self, beats: Value) -> Value:
        """Cycles of a slot of the lifting unit: coefficients leave it that far apart at least."""
        least = self.params.haar.min_slot_cycles
        return Mux(beats < least, least, beats)

    def _pace(self, m: Module, registers: data.View, there: Value, age: Value) -> None:
        """A token's last beat comes a slot behind the last beat of the one before, which is in the scale unit."""
        params, unit = self.params.haar, "front.haar"
        stage = known.of_slots(self, m, haar, params, f"{unit}.")
        first, running, beats, last_cycle = stage.first, stage.running, stage.beats, stage.whole - 1
        cycle, issue, last = (self.internal(f"{unit}.slots.{name}") for name in ("cycle", "starts", "last"))
        plan = data.View(haar.unit_plan(params), self.internal(f"{unit}.plan"))
        state, active = self.internal("front.state"), first | running
        ranks = [self.internal(f"{unit}.emits_line")[rank] & self.internal(f"{unit}.last_line")[rank]
                 for rank in range(params.latency)]
        self.given(m, (state != State.IDLE) | ~Cat(ranks).any())
        # cycles since the last beat of a coefficient was issued, and whether it was one of the job at hand
        limit = max(params.max_beats, params.min_slot_cycles)
        since, of_job = Signal(range(limit + 1), init=limit), Signal()
        m.d.sync += [since.eq(Mux(since == limit, limit, since + 1)), of_job.eq(of_job & (state != State.IDLE))]
        with m.If(issue & last & plan.emits):
            m.d.sync += [since.eq(1), of_job.eq(1)]
        slot = self._slot(beats)
        self.must(m, ~active | (state >= State.TOKENS))
        self.must(m, ~of_job | (state != State.CHECK))
        self.must(m, ~(active | of_job) | (beats == registers.beats) & (last_cycle == slot - 1))
        self.must(m, (since != 0) & (since <= limit) & (of_job | (since > params.latency)))
        its_slot, later = plan.emits & (cycle == beats - 1 + since), cycle + slot + 1 <= since + beats
        self.must(m, ~(of_job & running) | (since >= slot) | its_slot | later)
        self.must(m, ~(of_job & ~running) | (since > slot - beats))
        for rank, late in enumerate(ranks, 1):
            self.must(m, late == (since == rank))
        self.must(m, ~there | of_job)
        behind = Mux(since <= params.latency, slot, 0)  # another token is on its way
        self.must(m, ~there | (age + params.latency >= since + behind))

    def _places(self, m: Module, tokens: list[tuple[Signal, Signal]], beats: Value) -> None:
        """Nothing in the scale unit waits, so that a token's age says where it is."""
        params, unit = self.params.scale, "front.scale"

        def at(age: ValueLike) -> Value:
            return Cat(there & (since == age) for there, since in tokens).any()

        levels = [f"tree.level{level}" for level in range(1, params.tree_levels + 1)]
        for age, name in enumerate(("tree.input", *levels, "tree.run", "tree.bound"), 1):
            exists: Value = self.internal(f"{unit}.{name}_valid")
            if name not in ("tree.run", "tree.bound"):
                exists = exists & self.internal(f"{unit}.{name}_final")
            self._token(m, exists, data.View(info_layout(params), self.internal(f"{unit}.{name}_info")), at(age), beats)
        for age, name in enumerate(("range", "zeros"), params.range_cycles):
            group = data.View(group_layout(params), self.internal(f"{unit}.divider.{name}_group"))
            self._token(m, self.internal(f"{unit}.divider.{name}_valid"), group.info, at(age), beats)
        # a quotient bit a cycle; then the token's beats are read
        load = params.range_cycles + 1
        quotient = load + params.recip_width
        dividing, left, divided = (self.internal(f"{unit}.divider.{name}") for name in (
            "divide_valid", "divide_left", "o__valid"))
        group = data.View(group_layout(params), self.internal(f"{unit}.divider.divide_group"))
        within = [there & (since > load) & (since <= quotient) for there, since in tokens]
        self._token(m, dividing, group.info, Cat(within).any(), beats)
        for inside, (_, since) in zip(within, tokens, strict=True):
            self.must(m, ~inside | (since == quotient - left))
        result = self.internal(f"{unit}.divider.result")[:group_layout(params).size]
        read = self.internal(f"{unit}.read_beat")
        after = [there & (since > quotient) & (since <= quotient + beats) for there, since in tokens]
        info = data.View(group_layout(params), result).info
        self._token(m, divided, info, Cat(after).any(), beats)
        self.must(m, ~divided | known.of_group(self, params, f"{unit}."))
        self.must(m, divided | (read == 0))
        for inside, (_, since) in zip(after, tokens, strict=True):
            self.must(m, ~inside | (since == quotient + 1 + read))
        stages = ("read", "value", *("near",) * params.near_stages, "difference", "shift",
                  *(f"product{number}" for number in range(params.product_stages)))
        for age, name in enumerate(stages, 1):
            last = self.internal(f"{unit}.{name}_valid") & self.internal(f"{unit}.{name}_last")
            self.must(m, last == at(quotient + beats + age))
        code = data.View(output_layout(params), self.internal(f"{unit}.code"))
        leaves = self.internal(f"{unit}.o__valid") & code.last
        self.must(m, leaves == at(params.latency - 1 + beats))
        waiting = [there & (since <= quotient) for there, since in tokens]
        self.must(m, self.internal(f"{unit}.waiting") == _count(waiting))
        self.reached(m, Cat(waiting).any() & leaves)

    def _ring(self, m: Module, tokens: list[tuple[Signal, Signal]], beats: Value) -> None:
        """The ring buffer holds what was not read of these tokens and what came of the next one: it is never full, so
        that the scale unit takes each coefficient of its job as it comes."""
        unit = "front.scale"
        begun = self.internal(f"{unit}.token_beat")
        quotient = self.params.scale.range_cycles + 1 + self.params.scale.recip_width
        kept: Value = begun
        for there, age in tokens:
            read = Mux(age <= quotient, 0, age - quotient - 1)
            kept = kept + Mux(there & (read < beats), beats - read, 0)
        self.must(m, self.internal(f"{unit}.used") == kept)
        self.must(m, (begun == 0) | self.internal(f"{unit}.running") & (begun < beats))
        self.must(m, ~tokens[0][0] | (begun < tokens[0][1]))
        self.must(m, ~self.internal(f"{unit}.running") | self.internal(f"{unit}.i__ready"))

    def _token(self, m: Module, exists: Value, info: data.View, there: Value, beats: Value) -> None:
        """A place holds a token when there is one of that age, and that as a whole."""
        self.must(m, exists == there)
        self.must(m, ~exists | info.last & (info.beats == beats - 1) & known.is_single(info))


NARROW = dataclasses.replace(SMALL, max_k=16, acc_width=20)  # one lane; a long token outlasts the shortest slot
PROPERTIES = (
    Property(
        name="engine_sinks", block="engine_front", build=Sinks, params=DEFAULT, small=SMALL, free=all_but("front"),
        depth=1, cover=15, says="the queue of the sinks' exponents never over- or underflows",
        bug=Fault(name="forget_the_exponents", block="engine", why="a sink's exponent is not queued",
                  edit=replace(".push(taken & ", ".push(1'b0 & taken & ")), bug_depth=15, seconds=60),
    Property(
        name="engine_tags", block="engine_front", build=Tags, params=NARROW, small=SMALL, free=all_but("front"),
        depth=1, cover=35, says="the queue of places beside the scale unit never over- or underflows",
        bug=Fault(name="short_tag_queue", block="engine", why="places get lost beside the scale unit",
                  patch=("rtl_gen.engine.front.tokens_in_scale", lambda params: 1)), bug_depth=35, seconds=60),
)
