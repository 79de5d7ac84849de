"""The Hadamard unit: a beat on offer stays; equal channels are spread flat; a sum is rounded and clipped as the
contract says; what waits between beats is there when its partner comes."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data

from rtl_gen.hadamard.beats import BeatButterflies
from rtl_gen.hadamard.unit import Hadamard, job_layout
from stamp_hw import hadamard
from stamp_hw.config import HwConfig
from stamp_hw.hadamard_params import HadamardParams
from tb.faults.hadamard import _always_moves, _first_pair_alone, _wrapping
from tb.formal import BOUND, Property
from tb.formal.checker import Checker
from tb.run.fault import Fault


class Held(Checker):
    """A waiting beat of `o` stays as it is, as long as one of `i` does: of a job that is off it is that one."""

    def __init__(self, params: HadamardParams) -> None:
        super().__init__(Hadamard(params))

    def check(self, m: Module) -> None:
        self.given(m, self.stalls(m, self.unit.i, "i"))
        self.must(m, self.stalls(m, self.unit.o, "o"))


class Rounded(Checker):
    """y is (h + 2^(r−1)) >> r, clipped to `width` bits, for every h and r, in every lane; and `saturated` tells."""

    def __init__(self, params: HadamardParams) -> None:
        self.params = params
        super().__init__(Hadamard(params))

    def check(self, m: Module) -> None:
        params, advance = self.params, self.internal("moves")
        job = data.View(job_layout(params), self.internal("job_held"))
        top, last = 1 << params.width - 1, params.levels - params.beat_levels - 1
        shift = Signal.like(job.shift)
        with m.If(advance):
            m.d.sync += shift.eq(job.shift)
        # The registers are moved by one enable, so that those of the ranks before go beside them by it as well.
        for lane in range(params.lanes):
            h = self.internal(f"level{last}_{lane}")
            one, two = (Signal(signed(params.sum_width), name=f"h{lane}_{rank}") for rank in range(2))
            used = Signal.like(job.shift, name=f"shift{lane}")
            known = Signal(2, name=f"known{lane}")
            with m.If(advance):
                m.d.sync += [one.eq(h), two.eq(one), used.eq(shift), known.eq(Cat(Const(1, 1), known[0]))]
            half = self.internal(f"half{lane}")
            self.must(m, ~known[0] | (half == (Cat(Const(0, 1), one).as_signed() >> shift)))
            exact = Signal(signed(params.sum_width + 1), name=f"exact{lane}")
            unit = Signal(params.levels + 8, name=f"unit{lane}")
            m.d.comb += [unit.eq((Const(1, 1) << used) >> 1), exact.eq((two + unit) >> used)]
            clipped = Mux(exact >= top, top - 1, Mux(exact < -top, -top, exact))
            y, told = self.internal(f"y{lane}"), self.internal("saturated")[lane]
            self.must(m, ~known[1] | (y == clipped) & (told == ((exact >= top) | (exact < -top))))
            if lane == 0:
                self.reached(m, known[1] & (used == 1) & (exact == -top - 1))
                self.reached(m, known[1] & (used == params.levels) & two[0] & (y == top - 1))


class Flat(Checker):
    """Channels of one value x: every h is ±√B·x, by all ranks of a block that is one beat."""

    def __init__(self, params: HadamardParams) -> None:
        self.params = params
        super().__init__(Hadamard(params))

    def check(self, m: Module) -> None:
        params, unit, advance = self.params, self.unit, self.internal("moves")
        x = unit.i.payload.x
        self.given(m, Cat(x[lane] == x[0] for lane in range(params.lanes)).all())
        beat, job = self.internal("beat"), data.View(job_layout(params), self.internal("job_held"))
        self.given(m, job.in_tail == params.lanes)
        assert params.block_beats == 1
        now: Value = x[0]
        words = [[int(one) for one in hadamard.signs(params.block)] * (params.lanes // params.block)]
        for level in range(params.levels):
            last = words[-1]
            words.append([last[lane ^ 1 << level] - last[lane] if lane >> level & 1 else last[lane] +
                          last[lane ^ 1 << level] for lane in range(params.lanes)])
        known: Value = Const(1, 1)
        for rank, factors in enumerate(words):
            held, there = Signal(signed(params.width), name=f"x{rank}"), Signal(name=f"there{rank}")
            with m.If(advance):
                m.d.sync += [held.eq(now), there.eq(known)]
            now, known = held, there
            for lane, factor in enumerate(factors):
                name = f"level{rank - 1}_{lane}" if rank else f"signed{lane}"
                self.must(m, ~there | (self.internal(name) == factor * held))
        assert {abs(factor) for factor in words[-1]} == {int(params.block**0.5)}
        self.reached(m, known & (now == -(1 << params.width - 1)) & (beat == 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class BeatParams:
    """A level of butterflies between beats, one lane of `width` bits, `distance` apart."""

    width: int
    distance: int


class Partners(Checker):
    """Of the beats of a run any one in its first half, `place`, is followed: its sum leaves with its partner, its
    difference so many cycles behind the last sum, and neither anything else at their turn."""

    def __init__(self, params: BeatParams) -> None:
        self.params = params
        super().__init__(BeatButterflies(1, params.width, params.distance), {"place": range(max(params.distance, 2))})

    def check(self, m: Module) -> None:
        params, unit, advance = self.params, self.unit, self.unit.advance
        self.constant(m, "place")
        self.given(m, self.place < params.distance)
        second, drains, write_at, read_at = (self.internal(name) for name in (
            "second", "drains", "write_at", "read_at"))
        taken = unit.valid & advance
        a, first = Signal(signed(params.width)), Signal()  # `first`: a has come and b has not
        want, due = Signal(signed(params.width + 1)), Signal()  # the difference that is still to leave
        turn = (write_at == self.place) if params.distance > 1 else Const(1, 1)
        leaving = drains & ((read_at == self.place) if params.distance > 1 else Const(1, 1))
        with m.If(advance & leaving):
            m.d.sync += due.eq(0)
        with m.If(taken & turn & ~second):
            m.d.sync += [a.eq(unit.i[0]), first.eq(1)]
        with m.If(taken & turn & second):
            m.d.sync += [want.eq(a - unit.i[0]), due.eq(1), first.eq(0)]
        sum_left, sum_value = Signal(), Signal(signed(params.width + 1))
        gone, difference = Signal(), Signal(signed(params.width + 1))
        with m.If(advance):
            m.d.sync += [sum_left.eq(unit.valid & turn & second), sum_value.eq(a + unit.i[0]), gone.eq(leaving),
                         difference.eq(want)]
        self.must(m, ~sum_left | unit.o_valid & (unit.o[0] == sum_value))
        self.must(m, ~gone | unit.o_valid & (unit.o[0] == difference))
        self.must(m, ~(second & drains))  # no beat meets another while differences leave
        self.must(m, ~leaving | due)
        self.reached(m, gone & (difference == -(1 << params.width) + 1))
        self.reached(m, leaving & taken & ~second)


UNIT = HadamardParams.of(HwConfig(hadamard=64))
SMALL = HadamardParams(lanes=2, width=4, block=16, max_beats=16)
BEAT = HadamardParams(lanes=16, width=16, block=16, max_beats=256)
FEW = HadamardParams(lanes=16, width=4, block=16, max_beats=2)
PROPERTIES = (
    Property(
        name="hadamard_holds", block="hadamard", build=Held, params=UNIT, small=SMALL, depth=2, cover=30,
        says="a beat on offer stays, unchanged, until it is taken",
        bug=Fault(name="ignore_ready", block="hadamard", why="the output moves on while its beat waits",
                  patch=("rtl_gen.hadamard.unit.can_move", _always_moves)), bug_depth=30, seconds=20),
    Property(
        name="hadamard_rounded", block="hadamard", build=Rounded, params=UNIT, small=SMALL, depth=2, cover=30,
        says="every h is divided by 2^r, a half rounded up, and clipped to the input's width, which is told",
        bug=Fault(name="wrap_instead_of_saturating", block="hadamard", why="a value beyond the range wraps",
                  patch=("rtl_gen.hadamard.unit.saturate", _wrapping)), bug_depth=30, seconds=60),
    Property(
        name="hadamard_flat", block="hadamard", build=Flat, params=BEAT, small=FEW, depth=1, cover=20,
        says="channels of one value are spread flat: each h is plus or minus the block's root times it",
        bug=Fault(name="signs_of_the_first_pair", block="hadamard", why="σ knows the lowest two bits of a place alone",
                  patch=("rtl_gen.hadamard.unit.odd_pairs", _first_pair_alone)), bug_depth=20, seconds=30),
    Property(
        name="hadamard_partners", block="hadamard_beats", build=Partners, params=BeatParams(width=4, distance=4),
        mode=BOUND, depth=28, cover=20,
        says="a beat's sum leaves with its partner and their difference in its turn, whatever the gaps between beats",
        bug=Fault(name="difference_turned", block="hadamard", why="differences between beats are b − a",
                  patch=("rtl_gen.hadamard.beats.difference", lambda a, b: b - a)), bug_depth=20, seconds=60),
)
