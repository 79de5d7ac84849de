"""Lifting and its inverse give back every input.

`Pair`: one butterfly and its inverse in the widths of the default hardware. s lies between a and b, so every further
level, and in 2-D the height after the width, begins as the first one did; the d of a quad's two pairs are a pair one
bit wider. `Loop`: the units themselves back to back, schedule, line memories and all; bounded, because a schedule ends.
"""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.haar import forward as haar
from rtl_gen.haar import inverse as haar_inverse
from rtl_gen.haar.common import words
from rtl_gen.haar.forward import Haar
from rtl_gen.haar.inverse import HaarInverse
from stamp_hw.config import HwConfig
from stamp_hw.params import INVERSE_WIDTH, HaarParams
from tb.faults.haar import _towards_zero, _whole
from tb.formal import BOUND, Property
from tb.formal.checker import Checker
from tb.run.fault import Fault


class Butterflies(wiring.Component):
    """The equations of both units on a pair (a, b), without their schedule, each value in its register's width.

    `paired`: there is a b. Out: s and d, and both tokens again as they leave the inverse unit.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        super().__init__({"a": In(signed(width)), "b": In(signed(width)), "paired": In(1),
                          "s": Out(signed(width)), "d": Out(signed(width + 1)),
                          "a_back": Out(signed(INVERSE_WIDTH)), "b_back": Out(signed(INVERSE_WIDTH))})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        m.d.comb += [self.d.eq(haar.lift_d(self.a, self.b, self.paired)), self.s.eq(haar.lift_s(self.a, self.d)),
                     self.a_back.eq(haar_inverse.lift_a(self.s, self.d, self.paired)),
                     self.b_back.eq(self.a_back + self.d)]
        return m


class Pair(Checker):
    """What exists comes back; s is between a and b."""

    def __init__(self, width: int) -> None:
        self.width = width
        super().__init__(Butterflies(width))

    def check(self, m: Module) -> None:
        unit = self.unit
        a, b, s = unit.a, unit.b, unit.s
        self.must(m, (unit.a_back == a) & (~unit.paired | (unit.b_back == b)))
        self.must(m, Mux(unit.paired, Mux(a < b, (a <= s) & (s <= b), (b <= s) & (s <= a)), s == a))
        self.reached(m, unit.paired & (unit.d == -(1 << self.width) + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopParams:
    """A job of `levels` on a sequence of `tokens`, values of `width` bits; `places` of the memory between the units."""

    tokens: int
    levels: int
    width: int
    places: int

    def unit(self, direction: str) -> HaarParams:
        """One lane, one beat; a coefficient is a bit wider."""
        return HaarParams(lanes=1, width=self.width + (direction == "inverse"), axes=1, max_levels=self.levels,
                          max_beats=1, max_tokens=self.tokens, direction=direction, places=self.places)


class Units(wiring.Component):
    """Both units and a memory of coefficients between them, addressed by place as in the engine: one job forward, then
    the same one back.
    """

    def __init__(self, params: LoopParams) -> None:
        self.params = params
        forward, inverse = params.unit("forward"), params.unit("inverse")
        super().__init__({
            "i": In(stream.Signature(haar.input_layout(forward))),
            "o": Out(stream.Signature(haar_inverse.output_layout(inverse))),
        })

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        forward, inverse = self.params.unit("forward"), self.params.unit("inverse")
        m.submodules.lift = lift = Haar(forward)
        m.submodules.unlift = unlift = HaarInverse(inverse)
        m.submodules.coefs = coefs = memory.Memory(shape=words(inverse, inverse.width),
                                                   depth=1 << inverse.place_width, init=[])
        write, read = coefs.write_port(), coefs.read_port()
        taken, done, back = Signal(), Signal(), Signal()
        there, here = lift.job.payload, unlift.job.payload
        side = 1 << self.params.levels
        for name, value in {"width": self.params.tokens, "levels": self.params.levels, "beats": 1}.items():
            m.d.comb += [there[name].eq(value), here[name].eq(value)]
        m.d.comb += [there.begins.eq(1), there.tile_width.eq(-(-self.params.tokens // side) * side)]
        last = lift.o.valid & lift.o.payload.last & lift.o.payload.ends
        m.d.comb += [
            lift.job.valid.eq(~taken), unlift.job.valid.eq(done & ~back),
            lift.i.valid.eq(self.i.valid), lift.i.payload.x.eq(self.i.payload.x), self.i.ready.eq(lift.i.ready),
            write.en.eq(lift.o.valid), write.addr.eq(lift.o.payload.place), read.addr.eq(unlift.fetch.place),
            read.en.eq(unlift.fetch.en), unlift.i.valid.eq(1), unlift.i.payload.c.eq(read.data),
            self.o.valid.eq(unlift.o.valid), self.o.payload.eq(unlift.o.payload), unlift.o.ready.eq(self.o.ready),
        ]
        m.d.comb += write.data[0].eq(lift.o.payload.c[0])
        m.d.sync += [taken.eq(taken | lift.job.ready), done.eq(done | last), back.eq(back | (done & unlift.job.ready))]
        return m


class Loop(Checker):
    """The token that `pick` names comes out as it went in, and as many come out as went in; the input never stalls."""

    def __init__(self, params: LoopParams) -> None:
        self.params = params
        super().__init__(Units(params), {"pick": range(max(2, params.tokens))})

    def check(self, m: Module) -> None:
        unit, tokens = self.unit, self.params.tokens
        self.constant(m, "pick")
        self.given(m, unit.i.valid & unit.o.ready)
        came, went = Signal(range(tokens + 1)), Signal(range(tokens + 1))
        value = Signal(signed(self.params.width))
        with m.If(unit.i.valid & unit.i.ready):
            m.d.sync += came.eq(came + 1)
            with m.If(came == self.pick):
                m.d.sync += value.eq(unit.i.payload.x[0])
        with m.If(unit.o.valid & unit.o.ready):
            m.d.sync += went.eq(went + 1)
        self.must(m, ~unit.o.valid | (came == tokens) & (went < tokens))
        self.must(m, ~unit.o.valid | (went != self.pick) | (unit.o.payload.x[0] == value))
        self.must(m, ~unit.o.valid | (unit.o.payload.final == (went == tokens - 1)))
        self.reached(m, unit.o.valid & (went == tokens - 1) & (self.pick == went) & (value == -3))


PAIR = LoopParams(tokens=2, levels=1, width=3, places=4)
PROPERTIES = (
    Property(
        name="lifting_tokens", block="haar", build=Pair, params=HwConfig().in_width, depth=1, cover=2,
        says="a pair of tokens, whole or not, comes back; s lies between them, so no level is wider than the first",
        bug=Fault(name="drop_floor_shift", block="haar", why="s = a + d",
                  patch=("rtl_gen.haar.forward.floor_half", _whole)),
        bug_depth=2, seconds=3),
    Property(
        name="lifting_differences", block="haar", build=Pair, params=HwConfig().in_width + 1, depth=1, cover=2,
        says="the same of the two d of a quad, one bit wider",
        bug=Fault(name="inverse_halves_towards_zero", block="haar", why="a negative odd d is halved upwards",
                  patch=("rtl_gen.haar.inverse.floor_half", _towards_zero)), bug_depth=2, seconds=3),
    Property(
        name="lifting_units", block="haar_inverse", build=Loop, params=PAIR, mode=BOUND, depth=45, cover=32,
        says="both units back to back give back every pair of tokens of 3 bits: a job forward and a job back",
        bug=Fault(name="drop_floor_shift", block="haar", why="s = a + d",
                  patch=("rtl_gen.haar.forward.floor_half", _whole)),
        bug_depth=32, seconds=30),
)
