"""Front of the engine: a job's registers are checked, its tokens are lifted and quantized (docs/contract.md §4).

The lifting unit is paced so that the scale unit never stops it, and nothing stops the scale unit. So the only wait is
at the input: the token that opens a super-tile is taken once its half of the activation buffer is free.

Sinks are a lifting job of their own, with 0 levels. What belongs to a token and not to its values goes around the units
in two queues: a sink's exponent from the input to the lifting's output, and place, half and ends around the scale unit.
"""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.engine.layouts import code_layout, input_layout, job_layout
from rtl_gen.engine.rules import legal, takes_8_bits, tests
from rtl_gen.haar import common as haar_common
from rtl_gen.haar.forward import Haar
from rtl_gen.hadamard import unit as hadamard
from rtl_gen.hadamard.unit import Hadamard
from rtl_gen.lib.delay import late
from rtl_gen.lib.queue import Queue
from rtl_gen.scale import unit as scale
from rtl_gen.scale.unit import Scale
from stamp_hw.engine.params import SINK_WIDTH, EngineParams
from stamp_hw.params import SCALE_TOKEN_WIDTH

SINKS_IN_LIFTING = 1  # sinks between the lifting's input and its output: a slot outlasts the unit's latency


class State(enum.Enum, shape=unsigned(3)):  # type: ignore[call-arg]  # which Amaranth's metaclass takes
    """What a job waits for: to come; to be found legal; for the lifting unit to take its sinks, then its other tokens;
    for its last token to be quantized."""

    IDLE = 0
    CHECK = 1
    SINKS = 2
    TOKENS = 3
    RUN = 4


def is_accepted(state: enum.EnumView) -> Value:
    """Whether there is a job whose registers were found legal."""
    return (state != State.IDLE) & (state != State.CHECK)


def tokens_in_scale(params: EngineParams) -> int:
    """Tokens between the lifting's last output and the scale unit's, at most: a token's stay there is always the
    latency and its beats, as they come at least a slot apart; it is worst where the beats just fill the shortest slot.
    Blocks are no worse: a last one stays as long as a whole one at most, and that is no longer than a whole token.
    """
    slot = params.haar.min_slot_cycles
    return -(-(params.scale.latency + min(params.max_beats, slot) - 1) // slot)


def may_enter(intake: data.View, free: Value) -> Value:
    """Whether the token that is wanted may come: one that opens a super-tile needs a free half."""
    return ~intake.opens | free.bit_select(intake.half, 1)


def is_over(lifted: Value, quantizes: Value, quantized: Value, on_their_way: Value) -> Value:
    """Whether a job's tokens are through: the lifting unit takes another job, the scale unit has begun with this one's
    and takes another, and no token is left in it."""
    return lifted & quantizes & quantized & ~on_their_way


def sinks_inside(params: EngineParams) -> int:
    """Sinks between the input and the lifting's output, at most."""
    return SINKS_IN_LIFTING + (0 if params.rotation is None else params.rotation.tokens_inside)


@dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """The units of the front; `tags` goes around the scale unit, `sinks` around the lifting unit and what is in front
    of it, a Hadamard unit or nothing. With blocks, whose codes may be there before their token's last coefficients,
    `tags` come with a token's first ones, and `exponents`, which are known with the last alone, go by themselves."""

    haar: Haar
    scale: Scale
    tags: Queue
    sinks: Queue
    exponents: Queue | None


class Front(wiring.Component):
    """Jobs and tokens in, codes out.

    Parameters
    ----------
    params : EngineParams

    Members
    -------
    job : In(stream of job_layout)
    i : In(stream of input_layout)
    room : In, the stages behind can take another job's registers
    refuse : In, no job is taken
    start, registers : Out, they shall take `registers` now
    free : In(2), halves of the activation buffer that are free
    claim : Out(2), a super-tile's first token has been taken for this half
    code, valid : Out(code_layout), a beat of codes; `written` : In, one is on its way into the buffers
    illegal, framing, internal : Out, an error in this cycle
    idle : Out, no job
    haar_events, scale_events : Out, of the two units

    Latency: from a job's acceptance to the lifting unit's, 1 + the bits of `height` cycles in 2-D builds and 1 in
    others, plus one. Throughput: as the lifting unit, a token in max(beats, `recip_width`) cycles.
    """

    def __init__(self, params: EngineParams) -> None:
        self.params = params
        # A Hadamard unit has events as well; the head of a module is the same text whether there is one or not.
        more = {} if params.rotation is None else {"hadamard_events": Out(hadamard.event_layout(params.rotation))}
        super().__init__(more | {
            "job": In(stream.Signature(job_layout(params))), "i": In(stream.Signature(input_layout(params))),
            "room": In(1), "refuse": In(1), "start": Out(1), "registers": Out(job_layout(params)), "free": In(2),
            "claim": Out(2), "code": Out(code_layout(params)), "valid": Out(1), "written": In(1),
            "illegal": Out(1), "framing": Out(1), "internal": Out(1), "idle": Out(1, init=1),
            "haar_events": Out(haar_common.event_layout()), "scale_events": Out(scale.event_layout(params.scale)),
        })

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        m.submodules.haar = haar = Haar(self.params.haar)
        m.submodules.scale = scale_unit = Scale(self.params.scale)
        deep = tokens_in_scale(self.params)
        m.submodules.tags = tags = Queue(code_tags(self.params), deep + (self.params.block is not None))
        m.submodules.sinks = sinks = Queue(SINK_WIDTH, sinks_inside(self.params))
        exponents = Queue(SINK_WIDTH, deep) if self.params.block else None
        if exponents is not None:
            m.submodules.exponents = exponents
        units = Units(haar=haar, scale=scale_unit, tags=tags, sinks=sinks, exponents=exponents)
        state, tokens = self._jobs(m)
        if self.params.rotation is None:
            self._launch(m, units, state, tokens)
            self._intake(m, units)
        else:
            m.submodules.hadamard = rotation = Hadamard(self.params.rotation)
            self._launch(m, units, state, tokens)
            self._rotate(m, rotation, state, tokens)
            self._mixed_intake(m, units, rotation)
        self._codes(m, units)
        m.d.comb += [self.haar_events.eq(haar.events), self.scale_events.eq(scale_unit.events)]
        return m

    def _jobs(self, m: Module) -> tuple[enum.EnumView, Signal]:
        """A job until it is found legal; returns its state and the number of its tokens, sinks included."""
        params, job = self.params, Signal(job_layout(self.params), name="registers_held", reset_less=True)
        wide = 2 * params.max_tokens.bit_length()
        tokens = Signal(max(wide, SCALE_TOKEN_WIDTH), reset_less=True)
        summed = Signal()
        state = Signal(State)
        # Tested as they come: whether all tests are passed is asked a cycle later.
        fits = late(m, "fits", tests(self.job.payload, params), enable=self.idle)
        m.d.comb += self.registers.eq(job)
        if params.axes == 2:
            width = Signal(wide, reset_less=True)
            height = Signal.like(self.job.payload.height, reset_less=True)
            m.d.comb += summed.eq(height == 0)
        else:
            m.d.comb += summed.eq(1)
        with m.If(self.idle):  # what is offered is held, taken or not
            m.d.comb += self.job.ready.eq(self.room & ~self.refuse)
            m.d.sync += job.eq(self.job.payload)
            if params.axes == 2:
                m.d.sync += [tokens.eq(0), width.eq(self.job.payload.width), height.eq(self.job.payload.height)]
            else:
                m.d.sync += tokens.eq(self.job.payload.width)
            with m.If(self.job.valid & self.job.ready):
                m.d.sync += [state.eq(State.CHECK), self.idle.eq(0)]
        with m.Elif(state == State.CHECK):
            with m.If(summed):
                m.d.sync += tokens.eq(tokens + job.n_sink)
                with m.If(legal(fits, tokens, params)):
                    m.d.comb += self.start.eq(1)
                    m.d.sync += state.eq(Mux(job.n_sink.any(), State.SINKS, State.TOKENS))
                with m.Else():
                    m.d.comb += self.illegal.eq(1)
                    m.d.sync += [state.eq(State.IDLE), self.idle.eq(1)]
            if params.axes == 2:
                with m.Else():  # width · height, a bit of the height a cycle
                    m.d.sync += [height.eq(height >> 1), width.eq(width << 1)]
                    with m.If(height[0]):
                        m.d.sync += tokens.eq(tokens + width)
        return state, tokens

    def _launch(self, m: Module, units: Units, state: enum.EnumView, tokens: Value) -> None:
        """The units' own jobs: one of the scale unit; of the lifting unit the sinks and then the transformed tokens."""
        params, job = self.params, self.registers
        lifting, quantizer = units.haar.job, units.scale.job
        latest = Signal(init=1)
        first = Signal(reset_less=True)
        scale_waits = Signal()  # the scale unit has not taken its job yet
        sinks = Signal(name="lifts_sinks")  # the state SINKS
        with m.If(self.claim.any()):
            m.d.sync += latest.eq(units.haar.intake.half)
        with m.If(self.start):
            m.d.sync += [first.eq(~latest), scale_waits.eq(1), sinks.eq(job.n_sink.any())]
        with m.If(quantizer.valid & quantizer.ready):
            m.d.sync += scale_waits.eq(0)
        m.d.comb += [
            quantizer.valid.eq(scale_waits),
            quantizer.payload.tokens.eq(tokens),
            quantizer.payload.beats.eq(job.beats),
            quantizer.payload.group_beats.eq(Mux(job.blocks, params.block_beats, job.beats) if params.block
                                             else job.beats),
            quantizer.payload.tail.eq(job.tail),
            quantizer.payload.symmetric.eq(job.symmetric),
            lifting.valid.eq((state == State.SINKS) | (state == State.TOKENS)),
            lifting.payload.beats.eq(job.beats),
            lifting.payload.levels.eq(Mux(sinks, 0, job.levels)),
            lifting.payload.width.eq(Mux(sinks, job.n_sink, job.width)),
            lifting.payload.base.eq(Mux(sinks, 0, job.n_sink)),
            lifting.payload.sink.eq(sinks),
            lifting.payload.begins.eq(sinks | ~job.n_sink.any()),
            lifting.payload.half.eq(first),
            lifting.payload.tile_width.eq(Mux(sinks, job.n_sink, job.tile_width)),
        ]
        if params.block:
            m.d.comb += quantizer.payload.zeros.eq(job.blocks & ~job.symmetric)
        if params.axes == 2:
            m.d.comb += [lifting.payload.two_d.eq(job.two_d & ~sinks), lifting.payload.height.eq(job.height),
                         lifting.payload.tile_height.eq(job.tile_height)]
        with m.If(lifting.valid & lifting.ready):
            m.d.sync += [state.eq(Mux(sinks, State.TOKENS, State.RUN)), sinks.eq(0)]
        # Every coefficient has met the registers of its job, and no long token of it is still on its way out of the
        # scale unit: the short ones of the next job would catch up with it.
        with m.Elif((state == State.RUN) & is_over(lifting.ready, ~scale_waits, quantizer.ready,
                                                   units.tags.valid | self.written)):
            m.d.sync += [state.eq(State.IDLE), self.idle.eq(1)]

    def _intake(self, m: Module, units: Units) -> None:
        """The gate in front of the lifting unit, and what a token's last beat decides."""
        haar, intake, i = units.haar, units.haar.intake, self.i
        gate = self._gate(m, haar)
        taken = Signal()
        m.d.comb += [
            haar.i.valid.eq(i.valid & gate),
            i.ready.eq(haar.i.ready & gate),
            haar.i.payload.x.eq(i.payload.x),
            taken.eq(i.valid & i.ready),
            self.framing.eq(taken & (i.payload.last != intake.last)),
            units.sinks.push.eq(taken & intake.sink & intake.last),
            units.sinks.value.eq(i.payload.sink_shift),
        ]
        with m.If(taken & intake.opens & intake.last):
            m.d.comb += self.claim.eq(Cat(~intake.half, intake.half))

    def _gate(self, m: Module, haar: Haar) -> Signal:
        """Whether the token that is wanted may come, known a cycle before: of its slot or, where that is planned now,
        of the next one."""
        may = Mux(haar.plans, may_enter(haar.coming, self.free), may_enter(haar.intake, self.free))
        return late(m, "gate", may, control=True)

    def _rotate(self, m: Module, rotation: Hadamard, state: enum.EnumView, tokens: Value) -> None:
        """The Hadamard unit's own job."""
        job, registers = rotation.job, self.registers
        runs = Signal(name="hadamard_runs")
        with m.If(self.start):
            m.d.sync += runs.eq(0)
        with m.If(job.valid & job.ready):
            m.d.sync += runs.eq(1)
        m.d.comb += [
            job.valid.eq(is_accepted(state) & ~runs),
            job.payload.tokens.eq(tokens),
            job.payload.beats.eq(registers.beats),
            job.payload.in_beats.eq(Mux(registers.hadamard, registers.in_beats, registers.beats)),
            job.payload.in_tail.eq(registers.in_tail),
            job.payload.on.eq(registers.hadamard),
            job.payload.shift.eq(registers.hadamard_shift),
            self.hadamard_events.eq(rotation.events),
        ]

    def _mixed_intake(self, m: Module, units: Units, rotation: Hadamard) -> None:
        """As `_intake`, with the Hadamard unit in between: what a token's last beat brings is looked at in front of it,
        the gate stands behind it."""
        haar, intake, i, mixed = units.haar, units.haar.intake, self.i, rotation.o
        gate, taken, lifted = self._gate(m, haar), Signal(), Signal()
        left = Signal.like(self.registers.n_sink, name="sinks_left", reset_less=True)  # sinks still to come in
        m.d.comb += [
            rotation.i.valid.eq(i.valid),
            i.ready.eq(rotation.i.ready),
            rotation.i.payload.x.eq(i.payload.x),
            taken.eq(i.valid & i.ready),
            self.framing.eq(taken & (i.payload.last != rotation.last)),
            units.sinks.push.eq(taken & rotation.last & left.any()),
            units.sinks.value.eq(i.payload.sink_shift),
            haar.i.valid.eq(mixed.valid & gate),
            mixed.ready.eq(haar.i.ready & gate),
            haar.i.payload.x.eq(mixed.payload.y),
            lifted.eq(haar.i.valid & haar.i.ready),
        ]
        with m.If(self.start):
            m.d.sync += left.eq(self.registers.n_sink)
        with m.Elif(units.sinks.push):
            m.d.sync += left.eq(left - 1)
        with m.If(lifted & intake.opens & intake.last):
            m.d.comb += self.claim.eq(Cat(~intake.half, intake.half))

    def _codes(self, m: Module, units: Units) -> None:
        """From the lifting unit's output through the scale unit; the precision is decided in between."""
        coef, quantizer, tags, sinks = units.haar.o, units.scale, units.tags, units.sinks
        taken = coef.valid  # as it comes: the scale unit never stops it
        exponent = Mux(coef.payload.sink, sinks.head, 0)
        leaves = quantizer.o.valid & quantizer.o.payload.last
        if units.exponents is None:
            tagged = coef.payload.last
            broken = tags.broken
            m.d.comb += [tags.value.sink_shift.eq(exponent), self.code.sink_shift.eq(tags.head.sink_shift)]
        else:
            tagged = Signal(name="token_begins", init=1)
            broken = tags.broken | units.exponents.broken
            with m.If(taken):
                m.d.sync += tagged.eq(coef.payload.last)
            m.d.comb += [units.exponents.push.eq(taken & coef.payload.last), units.exponents.value.eq(exponent),
                         units.exponents.pop.eq(leaves), self.code.sink_shift.eq(units.exponents.head)]
        m.d.comb += [
            quantizer.i.valid.eq(coef.valid),
            quantizer.i.payload.values.eq(coef.payload.c),
            quantizer.i.payload.hi.eq(coef.payload.sink | takes_8_bits(m, coef.payload, self.registers, self.params)),
            sinks.pop.eq(taken & coef.payload.last & coef.payload.sink),
            tags.push.eq(taken & tagged),
            quantizer.o.ready.eq(1),
            tags.pop.eq(leaves),
            self.valid.eq(quantizer.o.valid),
            self.internal.eq(broken | sinks.broken | (coef.valid & ~quantizer.i.ready)),
        ]
        m.d.comb += [tags.value[name].eq(coef.payload[name]) for name in ("place", "half", "closes", "ends")]
        m.d.comb += [self.code[name].eq(tags.head[name]) for name in ("place", "half", "closes", "ends")]
        m.d.comb += [self.code[name].eq(quantizer.o.payload[name]) for name in quantizer.o.payload.shape().members]


def code_tags(params: EngineParams) -> data.StructLayout:
    """What goes around the scale unit; see `Units`."""
    members = code_layout(params).members
    names = ("place", "half", "closes", "ends", *(() if params.block else ("sink_shift",)))
    return data.StructLayout({name: members[name] for name in names})
