"""What the forward and the inverse lifting unit share: the frame of a unit, its registers and its line memories."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import C, Module, Mux, Signal, Value, signed
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.haar.layouts import job_layout, turn_layout
from rtl_gen.haar.slots import Slots, job_mask
from rtl_gen.lib.bits import following, up_to
from rtl_gen.lib.delay import Ranks
from rtl_gen.lib.handshake import can_move
from stamp_hw.params import HaarParams


def floor_half(d: Value) -> Value:
    """d >> 1, the arithmetic shift of the lifting step."""
    return d >> 1


def words(params: HaarParams, width: int) -> data.ArrayLayout:
    """`lanes` signed values of `width` bits."""
    return data.ArrayLayout(signed(width), params.lanes)


def plan_layout(params: HaarParams, more: dict[str, Any]) -> data.StructLayout:
    """What one slot does.

    `takes` an input token; `emits` an output token; it is `busy` with these or a line; `paired` its butterfly has both
    operands; `…_read`, `…_write` lines used; `read_base`, `write_base` their addresses; in 2-D `both`, the
    cross butterfly has both operands, and its line.
    """
    lines = up_to(params.max_levels * params.max_beats - 1)
    layout: dict[str, Any] = {name: 1 for name in (
        "takes", "emits", "busy", "paired", "wait_read", "wait_write", "even_read", "even_write", "odd_read",
        "odd_write")}
    layout |= {"read_base": lines, "write_base": lines}
    if params.axes == 2:
        layout |= {"both": 1, "cross_read": 1, "cross_write": 1,
                   "cross_base": up_to(params.max_levels // 2 * params.max_beats - 1)}
    return data.StructLayout(layout | more)


def line_bases(m: Module, lowest: Value, at: Value, below: Value, plan: data.View, params: HaarParams) -> None:
    """Addresses of the lines: `at` of the level l whose 2^(l − 1) is `lowest`, `below` of the level below it."""
    for level in range(1, params.max_levels + 2):
        with m.If(lowest[level - 1]):
            m.d.comb += below.eq(max(level - 2, 0) * params.max_beats)
            if level <= params.max_levels:
                m.d.comb += at.eq((level - 1) * params.max_beats)
            if params.axes == 2 and level <= params.max_levels // 2 * 2:
                m.d.comb += plan.cross_base.eq((level - 1) // 2 * params.max_beats)


def event_layout() -> data.StructLayout:
    """Increments of a cycle, in beats, counted at issue: `butterflies`, `line_reads`, `line_writes`;
    `cross_butterflies`, always 0 in 1-D builds. A node without a partner passes: no butterfly, but its line is read and
    written.
    """
    return data.StructLayout({"butterflies": 1, "cross_butterflies": 1, "line_reads": 2, "line_writes": 2})


def held_ruler(m: Module, slots: Slots, layout: data.StructLayout, turn: Callable[..., data.View],
               ruler: Callable[..., data.View]) -> data.View:
    """What a plan needs that follows from the walk's offset, mask and `two_d` alone, in registers beside these: the
    `ruler` of the slot's `turn`, which is there a slot earlier."""
    walk, job, params, idle = slots.walk, slots.job, slots.params, slots.idle
    held = Signal(layout, name="ruler", reset_less=True)
    behind = Signal(turn_layout(params), name="turn", reset_less=True)
    # Both of a job that may come and of the one at hand: which of them it is comes last.
    grid, mask = params.axes == 2, Signal.like(walk.mask, name="first_mask")
    m.d.comb += mask.eq(job_mask(job, params))
    turns = [turn(m, "second", C(1, len(mask)) & mask, mask, params),
             turn(m, "next", following(behind.offset) & walk.mask, walk.mask, params)]
    rulers = [ruler(m, "first", turn(m, "first", C(0, len(mask)), mask, params), mask, job.two_d if grid else C(0),
                    params),
              ruler(m, "next", behind, walk.mask, walk.two_d if grid else C(0), params)]
    with m.If(slots.loads):
        m.d.sync += [Value.cast(register).eq(Mux(idle, *map(Value.cast, values)))
                     for register, values in ((behind, turns), (held, rulers))]
    return held


@dataclass(frozen=True, slots=True)
class Line:
    """One read and one write port; `data` is what was read."""

    ranks: Ranks
    read_port: memory.ReadPort
    write_port: memory.WritePort
    data: data.View

    @classmethod
    def of(cls, ranks: Ranks, name: str, shape: data.ArrayLayout, depth: int, stages: int) -> Line:
        """A memory called `name` whose data come `stages` ranks after the address."""
        store = ranks.m.submodules[name] = memory.Memory(shape=shape, depth=max(depth, 2), init=[])
        read, write = store.read_port(), store.write_port()
        return cls(ranks, read, write, ranks.delay(f"{name}_data", read.data, stages - 1))

    def read(self, enable: Value, address: Value) -> None:
        self.ranks.m.d.comb += [self.read_port.en.eq(enable & self.ranks.advance), self.read_port.addr.eq(address)]

    def write(self, enable: Value, address: Value, values: list[Value]) -> None:
        self.ranks.m.d.comb += [self.write_port.en.eq(enable & self.ranks.advance), self.write_port.addr.eq(address)]
        self.ranks.m.d.comb += [self.write_port.data[lane].eq(value) for lane, value in enumerate(values)]


@dataclass(frozen=True, slots=True)
class Beat:
    """The beat in rank 0: its slot's plan, its `index` in its token, whether it is the `last`, whether there is one to
    issue, and the walk that issues it."""

    ranks: Ranks
    plan: data.View
    index: Value
    last: Value
    starts: Value
    slots: Slots

    def strobe(self, name: str, rank: int) -> Value:
        """That flag of the plan, if there is a beat, in `rank`: an access of a line, or an output."""
        return self.ranks.delay(name, self.plan[name] & self.starts, rank, control=True)

    def address(self, base: str) -> Signal:
        """Address of the beat's word in the line at that base."""
        address = Signal.like(self.plan[base], name=base.replace("base", "address"))
        self.ranks.m.d.comb += address.eq(self.plan[base] + self.index)
        return address


class LiftingUnit(wiring.Component):
    """The frame of both units: a job's slots, the plan of each, the events. A unit brings its plan and its data path.

    Parameters
    ----------
    params : HaarParams
    plan : plan_layout of the unit
    i, o : layouts of a beat
    more : members that it has inside the engine only
    """

    def __init__(self, params: HaarParams, plan: data.StructLayout, i: data.StructLayout, o: data.StructLayout,
                 more: dict[str, Any]) -> None:
        self.params, self._plan_layout = params, plan
        super().__init__(more | {
            "job": In(stream.Signature(job_layout(params))),
            "i": In(stream.Signature(i)),
            "o": Out(stream.Signature(o, always_ready=not params.elastic)),
            "events": Out(event_layout()),
        })

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        m.submodules.slots = slots = Slots(self.params)
        plan = Signal(self._plan_layout, reset_less=True)
        next_plan = Signal(self._plan_layout)
        job_begins = Signal()
        advance: Value = C(1)
        out = self.o
        if self.params.has_spare:
            out, advance = self._spare(m)
        elif self.params.elastic:
            advance = Signal(name="advance")
            m.d.comb += advance.eq(can_move(self.o.valid, self.o.ready))
        m.d.comb += [
            slots.job.eq(self.job.payload),
            self.job.ready.eq(advance & slots.idle),
            job_begins.eq(self.job.valid & self.job.ready),
            slots.begins.eq(job_begins),
            slots.advance.eq(advance),
            next_plan.busy.eq(next_plan.takes | next_plan.emits | next_plan.wait_read | next_plan.even_read
                              | next_plan.odd_read),
            slots.busy.eq(next_plan.busy),
            slots.takes.eq(next_plan.takes),
            slots.offered.eq(self.i.valid),
            self.i.ready.eq(slots.take & advance),
        ]
        with m.If(slots.plan):
            m.d.sync += plan.eq(next_plan)
        self.make_plan(m, next_plan, slots)
        self.count(m, plan, slots.starts & advance)
        ranks = Ranks(m, advance)
        self.data_path(m, ranks, Beat(ranks, plan, slots.index, slots.last, slots.starts, slots), out)
        return m

    def _spare(self, m: Module) -> tuple[stream.Interface, Signal]:
        """A register that takes the beat in front of the output which is not taken, so that whether the pipeline moves
        hangs on nothing else; returns what the pipeline offers, and whether it moves."""
        out = stream.Signature(self.o.signature.members["payload"].shape).create(path=("out",))
        spare = Signal.like(self.o.payload, name="spare", reset_less=True)
        # Whether there is a beat in it, twice: once for all that moves, once for what is behind it.
        moves, waits = Signal(name="moves_", init=1), Signal()
        m.d.comb += [self.o.valid.eq(out.valid | waits),
                     Value.cast(self.o.payload).eq(Mux(waits, Value.cast(spare), Value.cast(out.payload)))]
        m.d.sync += [moves.eq(~self.o.valid | self.o.ready), waits.eq(self.o.valid & ~self.o.ready)]
        with m.If(moves):
            m.d.sync += Value.cast(spare).eq(Value.cast(out.payload))
        return out, moves

    def make_plan(self, m: Module, plan: data.View, slots: Slots) -> None:
        """Drive the plan of the slot at which `slots.walk` stands."""
        raise NotImplementedError

    def data_path(self, m: Module, ranks: Ranks, beat: Beat, out: stream.Interface) -> None:
        """From the input and the lines to the lines and the output `out`, registers in the order of the ranks."""
        raise NotImplementedError

    def count(self, m: Module, plan: data.View, issue: Value) -> None:
        """The events of an issued beat."""
        reads = plan.wait_read + plan.even_read + plan.odd_read
        writes = plan.wait_write + plan.even_write + plan.odd_write
        with m.If(issue):
            m.d.comb += self.events.butterflies.eq(plan.paired)
            if self.params.axes == 2:
                reads, writes = reads + plan.cross_read, writes + plan.cross_write
                m.d.comb += self.events.cross_butterflies.eq(plan.both)
            m.d.comb += [self.events.line_reads.eq(reads), self.events.line_writes.eq(writes)]
