"""Codes of groups with an integer zero stay in 0…qmax as well, and padding is zero (docs/contract.md §3.4).

In the range of a group (`tb.formal.range_tree`) are 0 and every coefficient c of it: so |c| ≤ |lo| below 0, and above
|c| + |lo| ≤ span. So it is with their multiplicands (`quantizer_distance`); their rounded products are ordered as they
are and add up to qmax + 1 at most (`quantizer_quotient`). That is why z − n(c) ≥ 0, and why one bit tells that
z + n(c) is beyond qmax. What becomes of the products, of 9 bits whatever the width, is shown on narrow hardware.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value

from rtl_gen.scale.divider import qmax
from rtl_gen.scale.range_tree import is_padding
from rtl_gen.scale.unit import Scale, half_up
from stamp_hw.params import CODE_WIDTH, ScaleParams
from tb.faults.scale import _one_too_low
from tb.formal import Property
from tb.formal.checker import Checker
from tb.run.fault import Fault


class ZeroedCodes(Checker):
    """From products to the output, given of products what `tb.formal.quantizer` shows of them."""

    def __init__(self, params: ScaleParams) -> None:
        self.params = params
        super().__init__(Scale(params))

    def check(self, m: Module) -> None:
        last, lanes = f"product{self.params.product_stages - 1}", self.params.lanes
        for stage, holds, values in (
                (last, self.given, [half_up(self.internal(f"{last}_{lane}")) for lane in range(lanes + 1)]),
                ("round", self.must, [self.internal(f"steps{lane}") for lane in range(lanes + 1)])):
            valid, zeros, below, hi, symmetric = self._beat(stage, "valid", "zeros", "below", "hi", "symmetric")
            top, (*steps, z) = qmax(hi, symmetric), values
            holds(m, ~(valid & zeros & symmetric))
            holds(m, ~valid | (z <= top) & (zeros | (z == 0) & (below == 0)))
            for lane, value in enumerate(steps):
                holds(m, ~valid | (value <= top))
                holds(m, ~(valid & zeros) | Mux(below[lane], value <= z, value + z <= top + 1))
        self.reached(m, valid & zeros & ~below[0] & (steps[0] + z == top + 1) & ~hi)
        self._padding(m, last)
        self._codes(m)

    def _padding(self, m: Module, last: str) -> None:
        """Which lanes are padding is told with the products, and goes along."""
        stages = ("shift", *(f"product{number}" for number in range(self.params.product_stages)))
        ends, tail = self._beat(stages[-2], "last", "tail")
        before: Value = Cat(is_padding(lane, ends, tail) for lane in range(self.params.lanes))
        for stage in (last, "round"):
            padded = Signal(self.params.lanes, name=f"{stage}_is_padded")
            with m.If(self.internal("move")):
                m.d.sync += padded.eq(before)
            valid, said = self._beat(stage, "valid", "padded")
            self.must(m, ~valid | (said == padded))
            before = padded

    def _beat(self, stage: str, *names: str) -> tuple[Signal, ...]:
        return tuple(self.internal(f"{stage}_{name}") for name in names)

    def _codes(self, m: Module) -> None:
        """The output: q = z + n(c) as the contract has it, and what makes a = q − zero of it."""
        params, code = self.params, self.unit.o.payload
        zeros, below, hi, symmetric, padded = self._beat("round", "zeros", "below", "hi", "symmetric", "padded")
        z, top, top_was = self.internal(f"steps{params.lanes}"), Signal(CODE_WIDTH), Signal(CODE_WIDTH)
        zero, mid = Signal(CODE_WIDTH), Signal(CODE_WIDTH)
        m.d.comb += [top.eq(qmax(hi, symmetric)), mid.eq((top + 1) >> 1)]
        move = self.internal("move")
        with m.If(move):
            m.d.sync += [zero.eq(Mux(zeros, z, mid)), top_was.eq(top)]
        self.must(m, ~self.unit.o.valid | (code.zero == zero) & (code.zero <= top_was))
        for lane in range(params.lanes):
            steps, q = self.internal(f"steps{lane}"), Signal(CODE_WIDTH, name=f"q{lane}")
            sum_ = z + steps
            with m.If(move):
                m.d.sync += q.eq(Mux(padded[lane], Mux(zeros, z, mid),
                                     Mux(below[lane], z - steps, Mux(sum_ > top, top, sum_))))
            self.must(m, ~self.unit.o.valid | (code.codes[lane] == q) & (code.codes[lane] <= top_was))


TWO_LANES = ScaleParams(lanes=2, width=4, recip_frac=0, max_beats=2, mul_stages=1, block_beats=8)
PROPERTIES = (
    Property(
        name="quantizer_zeroed_codes", block="scale", build=ZeroedCodes, params=TWO_LANES, depth=1, cover=10,
        free=("formal_unit_tree", "formal_unit_dividers"),
        says="with blocks every code is 0…qmax, what z and the steps from it make, and that of padding is zero",
        bug=Fault(name="one_too_low", block="scale", why="a code below zero is its steps' ones' complement",
                  patch=("rtl_gen.scale.unit.from_zero", _one_too_low)), bug_depth=10, seconds=30),
)
