"""The quantizer's codes stay in 0…qmax, and its reciprocal is the quotient of the equation (docs/contract.md §3.4).

Why q ≤ qmax, in three steps, each proved for every input at the widths of the default hardware:

1. lo ≤ c ≤ lo + span for every coefficient c of a group (`tb.formal.range_tree`).
2. So (c − lo) << lz ≤ m, and no bit of it is lost, m = span << lz (`Multiplicands`).
3. recip is the quotient, and (x·recip + 2^(F−1)) >> F ≤ qmax for every x ≤ m (`Quotient`).

Multipliers of these widths are beyond the solver, so step 3 makes both products, x·recip and m·recip, as the divider
makes recip: from the highest bit down, twice what there is and x or m more where the quotient's bit is 1 (Horner).
What it shows of x and m − x is what an integer zero needs (`tb.formal.zeros`).
`Codes` proves steps 2 and 3 once more at a width of 4 bits, where the real multipliers can be looked at.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data

from rtl_gen.scale.divider import Divider, dividend, group_layout, leading_zeros, qmax, result_layout
from rtl_gen.scale.unit import FINE, Scale, half_up, shifted_coarsely
from stamp_hw.config import HwConfig
from stamp_hw.params import ScaleParams
from tb.faults.scale import _whole_range, _zeros_above_bit_0
from tb.formal import Property, known
from tb.formal.checker import Checker
from tb.run.fault import Fault


class Quotient(Checker):
    """recip·m ≤ (qmax << F) + (m >> 1) < recip·m + m, and no x ≤ m gives a code beyond qmax; any x for each group. The
    codes of x and of m − x, so of anything up to that, add up to qmax + 1 at most.
    """

    def __init__(self, params: ScaleParams) -> None:
        self.params = params
        super().__init__(Divider(params), {"x": params.width})

    def check(self, m: Module) -> None:
        params, layout = self.params, group_layout(self.params)
        bits, frac, width = params.recip_width, params.frac, params.width
        divisor, remainder, quotient, left, bit, taken, step, valid = (self.internal(name) for name in (
            "divisor", "remainder", "quotient", "divide_left", "bit", "taken", "step", "divide_valid"))
        zeros, group = (data.View(layout, self.internal(f"{name}_group")) for name in ("zeros", "divide"))
        zeros_lz, zeros_valid = self.internal("zeros_lz"), self.internal("zeros_valid")
        loads = self.internal("divide_free") & zeros_valid

        # m is the span without its leading zeros
        normal = Signal(width)
        m.d.comb += normal.eq(zeros.span << zeros_lz)
        self.must(m, ~zeros_valid | (zeros_lz == leading_zeros(zeros.span)))
        self.must(m, ~valid | (divisor == (group.span << self.internal("divide_lz"))[:width]))
        self.must(m, ~valid | divisor[-1] | (group.span == 0))

        # `whole` divided by m: of its upper bits `head` the quotient `done` is made, with products of x and m beside it
        top = qmax(group.info.hi, group.info.symmetric)
        whole, head = Signal(frac + 8), Signal(frac + 8)
        steps, done, x = Signal(range(bits)), Signal(bits), Signal(width)
        of_x, of_m = Signal(frac + 9), Signal(frac + 9)
        next_done, next_x, next_m = Signal(bits), Signal(frac + 9), Signal(frac + 9)
        m.d.comb += [
            whole.eq(dividend(top, divisor, frac)), head.eq(whole >> (left + 1)), steps.eq(bits - 1 - left),
            next_done.eq(Cat(bit, done)), next_x.eq((of_x << 1) + Mux(bit, x, 0)),
            next_m.eq((of_m << 1) + Mux(bit, divisor, 0)),
        ]
        self.given(m, self.x <= normal)
        with m.If(loads):
            m.d.sync += [x.eq(self.x), done.eq(0), of_x.eq(0), of_m.eq(0)]
        with m.Elif(step):
            m.d.sync += [done.eq(next_done), of_x.eq(next_x), of_m.eq(next_m)]
        self.must(m, (~valid | (left < bits)) & known.of_divider(self, ""))
        self.must(m, ~valid | (quotient == ((whole[:bits] << steps)[:bits] | done)) & ((done >> steps) == 0))
        self.must(m, ~valid | (divisor == 0) | (of_m + remainder == head) & (remainder < divisor))
        self.must(m, ~valid | (x <= divisor) & (of_x <= of_m) & ((divisor != 0) | (of_m == 0)))

        # what leaves
        out_x, out_m, out_done, out_top = Signal(frac + 9), Signal(frac + 9), Signal(bits), Signal(8)
        out_whole, out_divisor = Signal(frac + 8), Signal(width)
        with m.If(taken):
            m.d.sync += [out_x.eq(next_x), out_m.eq(next_m), out_done.eq(next_done), out_top.eq(top),
                         out_whole.eq(whole), out_divisor.eq(divisor)]
        o, code, rest = self.unit.o, Signal(9), Signal(9)
        exact = (out_m <= out_whole) & (out_whole < out_m + out_divisor)
        m.d.comb += [code.eq((out_x + (1 << frac - 1)) >> frac),
                     rest.eq(((out_m - out_x)[:frac + 9] + (1 << frac - 1)) >> frac)]
        self.must(m, ~o.valid | (o.payload.recip == out_done) & (exact | (out_divisor == 0)))
        self.must(m, ~o.valid | (out_x <= out_m) & (code <= out_top) & (code + rest <= out_top + 1))
        self.reached(m, o.valid & (code == out_top) & (out_top == 254))
        self.reached(m, o.valid & (code + rest == out_top + 1) & (out_top == 15))


def dividers(params: ScaleParams) -> list[str]:
    """Names of the unit's dividers."""
    return [f"dividers.divider{n}" for n in range(params.dividers)] if params.block_beats else ["divider"]


class _Shifted(Checker):
    """The scale unit, given differences that are at most span before the first step of their shift."""

    def __init__(self, params: ScaleParams) -> None:
        self.params = params
        super().__init__(Scale(params))

    def _difference(self, m: Module, lane: int) -> Signal:
        """c − lo of the register `difference`."""
        value, span = self.internal(f"difference{lane}"), self.internal("difference_span")
        lz = leading_zeros(span)
        difference = Signal(self.params.width, name=f"distance{lane}")
        m.d.comb += difference.eq(value >> Cat(Const(0, FINE), lz[FINE:]))
        self.given(m, (shifted_coarsely(difference, lz) == value) & (difference <= span))
        return difference


class Multiplicands(_Shifted):
    """(c − lo) << lz ≤ m for every coefficient in its group's range: no bit of it is lost. With blocks |c| may take the
    place of c − lo, on one lane more that of lo."""

    def check(self, m: Module) -> None:
        params, layout = self.params, group_layout(self.params)
        places = []
        for divider in dividers(params):
            for name in ("zeros", "divide"):
                group, lz = (self.internal(f"{divider}.{name}_{part}") for part in ("group", "lz"))
                places.append((self.internal(f"{divider}.{name}_valid"), data.View(layout, group).span, lz))
            result = data.View(result_layout(params), self.internal(f"{divider}.result"))
            places.append((self.internal(f"{divider}.o__valid"), result.group.span, result.lz))
        places += [(self.internal(f"{name}_valid"), self.internal(f"{name}_span"), self.internal(f"{name}_lz"))
                   for name in ("read", "value", "difference")]
        for valid, span, lz in places:
            self.must(m, ~valid | (lz == leading_zeros(span)[:len(lz)]))
        span, shifted = self.internal("shift_span"), self.internal("shift_valid")
        normal = Signal(params.width)
        m.d.comb += normal.eq(span << leading_zeros(span))
        for lane in range(params.lanes + (params.block_beats > 0)):
            difference = self._difference(m, lane)
            before = Signal(params.width, name=f"difference{lane}_before")
            with m.If(self.internal("move")):
                m.d.sync += before.eq(difference)
            multiplicand = self.internal(f"multiplicand{lane}")
            self.must(m, ~shifted | (before <= span))
            self.must(m, ~shifted | (multiplicand == before << leading_zeros(span)) & (multiplicand <= normal))
        if params.block_beats:
            self._beside_zero(m, normal)
        self.reached(m, shifted & (multiplicand == normal) & (span == 1))


    def _beside_zero(self, m: Module, normal: Signal) -> None:
        """Where 0 is in the range, |c| ≤ |lo| below it and |c| + |lo| ≤ span above it; so it is with multiplicands."""
        span = self.internal("difference_span")
        coarse_most = shifted_coarsely(span, leading_zeros(span))
        for stage, kind, most in (("difference", "difference", coarse_most), ("shift", "multiplicand", normal)):
            valid, zeros, below = (self.internal(f"{stage}_{name}") for name in ("valid", "zeros", "below"))
            low = self.internal(f"{kind}{self.params.lanes}")
            for lane in range(self.params.lanes):
                value = self.internal(f"{kind}{lane}")
                holds = ~zeros | Mux(below[lane], value <= low, value + low <= most)
                (self.given if kind == stage else self.must)(m, ~valid | holds)
                self.must(m, ~valid | zeros | ((low == 0) & ~below[lane]))


class Codes(_Shifted):
    """Steps 2 and 3 with the real multipliers: recip is exact in every register that holds it, the code in range."""

    def check(self, m: Module) -> None:
        params = self.params
        normal = self._reciprocals(m)
        last = f"product{params.product_stages - 1}"
        valid = self.internal(f"{last}_valid")
        top = qmax(self.internal(f"{last}_hi"), self.internal(f"{last}_symmetric"))
        for lane in range(params.lanes):
            self._difference(m, lane)
            self.must(m, ~self.internal("shift_valid") | (self.internal(f"multiplicand{lane}") <= normal))
            code = half_up(self.internal(f"{last}_{lane}"))
            self.must(m, ~valid | (code <= top))
            self.reached(m, valid & (code == top) & self.internal(f"{last}_symmetric"))

    def _reciprocals(self, m: Module) -> Signal:
        """recip and lz are exact from the dividers to the multipliers; returns m of the register `shift`."""
        params = self.params
        for divider in dividers(params):
            self._division(m, divider)
            there = self.internal(f"{divider}.o__valid")
            result = data.View(result_layout(params), self.internal(f"{divider}.result"))
            self._exact(m, "result", there, result.group.span, result.group.info, result.recip)
            self.must(m, ~there | (result.lz == leading_zeros(result.group.span)))
        for name in ("read", "value", "difference", "shift"):
            valid, span, recip, hi, symmetric = (self.internal(f"{name}_{part}") for part in (
                "valid", "span", "recip", "hi", "symmetric"))
            normal = self._exact(m, name, valid, span, _Mode(hi, symmetric), recip)
            if name != "shift":
                lz = self.internal(f"{name}_lz")
                self.must(m, ~valid | (lz == leading_zeros(span)[:len(lz)]))
        return normal

    def _division(self, m: Module, divider: str) -> None:
        """The quotient's bits so far times m, and the remainder, are the dividend's bits so far."""
        params, layout = self.params, group_layout(self.params)
        valid, left, quotient, divisor, remainder = (self.internal(f"{divider}.{name}") for name in (
            "divide_valid", "divide_left", "quotient", "divisor", "remainder"))
        bits = params.recip_width
        self.must(m, known.of_divider(self, f"{divider}."))
        for name in ("zeros", "divide"):
            group = data.View(layout, self.internal(f"{divider}.{name}_group"))
            self.must(m, ~self.internal(f"{divider}.{name}_valid") | (
                self.internal(f"{divider}.{name}_lz") == leading_zeros(group.span)))
        whole, steps, done = Signal(params.frac + 8), Signal(range(bits)), Signal(bits)
        m.d.comb += [whole.eq(dividend(qmax(group.info.hi, group.info.symmetric), divisor, params.frac)),
                     steps.eq(bits - 1 - left), done.eq(quotient & ((1 << steps) - 1))]
        self.must(m, ~valid | (left < bits) & (divisor == (group.span << leading_zeros(group.span))[:params.width]))
        self.must(m, ~valid | (quotient == ((whole[:bits] << steps)[:bits] | done)))
        self.must(m, ~valid | (divisor == 0) | (done * divisor + remainder == whole >> (left + 1))
                  & (remainder < divisor))

    def _exact(self, m: Module, name: str, valid: Value, span: Value, mode: Any, recip: Value) -> Signal:
        """The register `recip` holds the quotient for its `span`; returns m."""
        normal, whole = Signal(self.params.width, name=f"{name}_m"), Signal(self.params.frac + 8, name=f"{name}_whole")
        m.d.comb += [normal.eq(span << leading_zeros(span)),
                     whole.eq(dividend(qmax(mode.hi, mode.symmetric), normal, self.params.frac))]
        product = recip * normal
        self.must(m, ~valid | (span == 0) | (product <= whole) & (whole < product + normal))
        return normal


class _Mode(NamedTuple):
    """How a group is coded."""

    hi: Value
    symmetric: Value


DEFAULT = ScaleParams.of(HwConfig())
ONE_LANE = replace(DEFAULT, lanes=1)
LANE = ScaleParams(lanes=1, width=4, recip_frac=0, max_beats=2, mul_stages=1)
PROPERTIES = (
    Property(
        name="quantizer_quotient", block="divider", build=Quotient, params=DEFAULT, small=LANE, depth=1, cover=20,
        says="recip is the quotient of the equation, with it no multiplicand up to m gives a code beyond qmax, and two "
             "that add up to m give qmax + 1 at most",
        bug=Fault(name="symmetric_has_255", block="scale", why="symmetric mode divides by the min-max qmax",
                  patch=("rtl_gen.scale.divider.qmax", _whole_range)), bug_depth=20, seconds=60),
    Property(
        name="quantizer_multiplicand", block="scale", build=Multiplicands, params=ONE_LANE, small=LANE, depth=1,
        cover=25, says="(c − lo) << lz is at most m, without losing a bit, for every coefficient in its group's range",
        bug=Fault(name="leading_zeros_miss_one", block="scale", why="a span of 1 is not normalised",
                  patch=("rtl_gen.scale.divider.leading_zeros", _zeros_above_bit_0)), bug_depth=25, seconds=60),
    Property(
        name="quantizer_distance", block="scale", build=Multiplicands, params=replace(ONE_LANE, block_beats=4),
        small=replace(LANE, block_beats=8), depth=1, cover=25,
        says="with blocks the same of |c| and of |lo| on the further lane",
        bug=Fault(name="leading_zeros_miss_one", block="scale", why="a span of 1 is not normalised",
                  patch=("rtl_gen.scale.divider.leading_zeros", _zeros_above_bit_0)), bug_depth=25, seconds=60),
    Property(
        name="quantizer_codes", block="scale", build=Codes, params=LANE, depth=1, cover=25,
        says="every code is 0…qmax with the unit's real multipliers, at a width of 4 bits",
        bug=Fault(name="symmetric_has_255", block="scale", why="symmetric mode divides by the min-max qmax",
                  patch=("rtl_gen.scale.divider.qmax", _whole_range)), bug_depth=25, seconds=30),
)
