"""Lifting and its inverse give back every input.

`Quad`: four tokens, a 2-D level (or two pairs of a 1-D one) at the widths of the default hardware, whatever of them
exists: undone exactly, in the registers' widths, and the low pass is as wide as the tokens were. So every further level
begins as the first one did, and by induction over the levels any number of them is undone.

`Loop`: the units themselves, schedule, line memories and all, for every value and every small shape; bounded, because
a schedule ends.
"""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen import haar, haar_inverse
from rtl_gen.haar import Haar
from rtl_gen.haar_common import words
from rtl_gen.haar_inverse import HaarInverse
from stamp_hw.config import HwConfig
from stamp_hw.params import INVERSE_WIDTH, HaarParams
from tb.faults import Fault
from tb.faults.haar import _never_passes, _towards_zero, _whole
from tb.formal import BOUND, Property
from tb.formal.checker import Checker


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
        m.d.comb += [self.d.eq(self.b - self.a), self.s.eq(haar.lift_s(self.a, self.d, self.paired)),
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


@dataclass(frozen=True, slots=True)
class Shape:
    """A job: `levels` on `height` × `width` tokens, a sequence where `two_d` is false."""

    width: int
    levels: int
    height: int = 1
    two_d: bool = False

    @property
    def tokens(self) -> int:
        return self.width * self.height


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopParams:
    """Shapes that a run may take, values of `width` bits; `stalls`: input and output may stall, else they never do."""

    shapes: tuple[Shape, ...]
    width: int
    max_levels: int
    places: int
    stalls: bool = False

    @property
    def axes(self) -> int:
        return 1 + any(shape.two_d for shape in self.shapes)

    def unit(self, direction: str) -> HaarParams:
        """One lane, one beat."""
        size = max(max(shape.width, shape.height) for shape in self.shapes)
        wider = self.axes if direction == "inverse" else 0
        return HaarParams(lanes=1, width=self.width + wider, axes=self.axes, max_levels=self.max_levels, max_beats=1,
                          max_tokens=size, direction=direction, places=self.places)


class Units(wiring.Component):
    """Both units and a memory of coefficients between them, addressed by place as in the engine: one job forward, then
    the same one back. `shape` chooses it.
    """

    def __init__(self, params: LoopParams) -> None:
        self.params = params
        forward, inverse = params.unit("forward"), params.unit("inverse")
        super().__init__({
            "shape": In(range(max(2, len(params.shapes)))),
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
        with m.Switch(self.shape):
            for number, shape in enumerate(self.params.shapes):
                with m.Case(number):
                    side = 1 << shape.levels
                    fields: dict[str, int] = {"width": shape.width, "levels": shape.levels, "beats": 1}
                    more = {"begins": 1, "tile_width": -(-shape.width // side) * side}
                    if forward.axes == 2:
                        fields |= {"height": shape.height, "two_d": shape.two_d}
                        more |= {"tile_height": -(-shape.height // side) * side if shape.two_d else 1}
                    m.d.comb += [there[name].eq(value) for name, value in (fields | more).items()]
                    m.d.comb += [here[name].eq(value) for name, value in fields.items()]
        last = lift.o.valid & lift.o.payload.last & lift.o.payload.ends
        m.d.comb += [
            lift.job.valid.eq(~taken), unlift.job.valid.eq(done & ~back), lift.o.ready.eq(1),
            lift.i.valid.eq(self.i.valid), lift.i.payload.x.eq(self.i.payload.x), self.i.ready.eq(lift.i.ready),
            write.en.eq(lift.o.valid), write.addr.eq(lift.o.payload.place), read.addr.eq(unlift.fetch.place),
            read.en.eq(unlift.fetch.en), unlift.i.valid.eq(1), unlift.i.payload.c.eq(read.data),
            self.o.valid.eq(unlift.o.valid), self.o.payload.eq(unlift.o.payload), unlift.o.ready.eq(self.o.ready),
        ]
        m.d.comb += write.data[0].eq(lift.o.payload.c[0])
        m.d.sync += [taken.eq(taken | lift.job.ready), done.eq(done | last), back.eq(back | (done & unlift.job.ready))]
        return m


class Loop(Checker):
    """The token that `pick` names comes out as it went in, and as many come out as went in."""

    def __init__(self, params: LoopParams) -> None:
        self.params = params
        super().__init__(Units(params), {"pick": range(max(2, max(shape.tokens for shape in params.shapes)))})

    def check(self, m: Module) -> None:
        unit, shapes = self.unit, self.params.shapes
        self.constant(m, "pick")
        before, known = Signal.like(unit.shape), Signal()
        m.d.sync += [before.eq(unit.shape), known.eq(1)]
        self.given(m, (unit.shape < len(shapes)) & (~known | (unit.shape == before)))
        if not self.params.stalls:
            self.given(m, unit.i.valid & unit.o.ready)
        tokens = Signal(range(max(shape.tokens for shape in shapes) + 1))
        with m.Switch(unit.shape):
            for number, shape in enumerate(shapes):
                with m.Case(number):
                    m.d.comb += tokens.eq(shape.tokens)
        came, went = Signal.like(tokens), Signal.like(tokens)
        value = Signal(signed(self.params.width))
        with m.If(unit.i.valid & unit.i.ready):
            m.d.sync += came.eq(came + 1)
            with m.If(came == self.pick):
                m.d.sync += value.eq(unit.i.payload.x[0])
        with m.If(unit.o.valid & unit.o.ready):
            m.d.sync += went.eq(went + 1)
        self.must(m, ~unit.o.valid | ((came == tokens) & (went < tokens)))
        self.must(m, ~unit.o.valid | (went != self.pick) | (unit.o.payload.x[0] == value))
        self.must(m, ~unit.o.valid | (unit.o.payload.final == (went == tokens - 1)))
        self.reached(m, unit.o.valid & (went == max(shape.tokens for shape in shapes) - 1) & (value == -3))


LINE = LoopParams(shapes=(Shape(3, 2),), width=3, max_levels=2, places=8)
GRID = LoopParams(shapes=(Shape(2, 1, 2, True),), width=3, max_levels=2, places=8)
PROPERTIES = (
    Property(
        name="lifting_tokens", block="haar", build=Pair, params=HwConfig().in_width, depth=1, cover=2,
        says="a pair of tokens, whole or not, comes back; s lies between them, so no level is wider than the first",
        bug=Fault(name="drop_floor_shift", block="haar", why="s = a + d", patch=("rtl_gen.haar.floor_half", _whole)),
        bug_depth=2, seconds=20),
    Property(
        name="lifting_differences", block="haar", build=Pair, params=HwConfig().in_width + 1, depth=1, cover=2,
        says="the same of the two d of a quad, one bit wider",
        bug=Fault(name="inverse_halves_towards_zero", block="haar", why="a negative odd d is halved upwards",
                  patch=("rtl_gen.haar_inverse.floor_half", _towards_zero)), bug_depth=2, seconds=20),
    Property(
        name="lifting_line", block="haar_inverse", build=Loop, params=LINE, mode=BOUND, depth=40, cover=45,
        says="both units back to back give back every three tokens of 3 bits, on two levels",
        bug=Fault(name="alone_does_not_pass", block="haar", why="a last token without a partner takes in a stale d",
                  patch=("rtl_gen.haar.lift_s", _never_passes)), bug_depth=45, seconds=100),
    Property(
        name="lifting_grid", block="haar_inverse", build=Loop, params=GRID, mode=BOUND, depth=40, cover=45,
        says="both units back to back give back every quad of tokens of 3 bits",
        bug=Fault(name="alone_does_not_pass", block="haar", why="a last token without a partner takes in a stale d",
                  patch=("rtl_gen.haar.lift_s", _never_passes)), bug_depth=45, seconds=100),
)
