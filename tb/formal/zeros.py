"""Codes of groups with an integer zero stay in 0…qmax as well, and padding is zero (docs/contract.md §3.4).

In the range of a group (`tb.formal.range_tree`) are 0 and every coefficient c of it: so |c| ≤ |lo| below 0, and above
|c| + |lo| ≤ span. Products keep that, rounded products up to half a step for each: that is why z − n(c) ≥ 0, and why
z + n(c) is beyond qmax by one at most.
"""

from __future__ import annotations

from dataclasses import replace

from amaranth.hdl import Module, Mux, Signal

from rtl_gen.scale.divider import qmax
from rtl_gen.scale.range_tree import is_padding
from rtl_gen.scale.unit import half_up
from stamp_hw.params import CODE_WIDTH
from tb.faults.scale import _as_of_8_bits
from tb.formal import Property
from tb.formal.quantizer import LANE, Codes
from tb.run.fault import Fault


class ZeroedCodes(Codes):
    """Step 3 of `tb.formal.quantizer` with the real multipliers, in hardware with blocks."""

    def check(self, m: Module) -> None:
        normal = self._reciprocals(m)
        for number, stage in enumerate(("read", "difference", "shift", "product0", "round")):
            valid, zeros, symmetric = self._beat(stage, "valid", "zeros", "symmetric")
            (self.must if number else self.given)(m, ~(valid & zeros & symmetric))  # so no job has both
        for lane in range(self.params.lanes):
            self._differences(m, lane)
            self._multiplicands(m, lane, normal)
            self._steps(m, lane)
        self._codes(m)

    def _beat(self, stage: str, *names: str) -> tuple[Signal, ...]:
        return tuple(self.internal(f"{stage}_{name}") for name in names)

    def _differences(self, m: Module, lane: int) -> None:
        """What the range of a group promises of a beat of it: given."""
        span, zeros, below = self._beat("difference", "span", "zeros", "below")
        value, low = self.internal(f"difference{lane}"), self.internal(f"difference{self.params.lanes}")
        self.given(m, (value <= span) & (low <= span))
        self.given(m, ~zeros | Mux(below[lane], value <= low, value + low <= span))
        self.must(m, ~self.internal("difference_valid") | zeros | ((low == 0) & ~below[lane]))

    def _multiplicands(self, m: Module, lane: int, normal: Signal) -> None:
        valid, zeros, below = self._beat("shift", "valid", "zeros", "below")
        value, low = self.internal(f"multiplicand{lane}"), self.internal(f"multiplicand{self.params.lanes}")
        self.must(m, ~valid | (value <= normal) & (low <= normal))
        self.must(m, ~(valid & zeros) | Mux(below[lane], value <= low, value + low <= normal))
        self.must(m, ~valid | zeros | ((low == 0) & ~below[lane]))

    def _steps(self, m: Module, lane: int) -> None:
        """Behind the multiplier, and rounded."""
        last, low = f"product{self.params.mul_stages - 1}", self.params.lanes
        products = [half_up(self.internal(f"{last}_{n}")) for n in (lane, low)]
        for stage, steps, z in ((last, *products), ("round", *(self.internal(f"steps{n}") for n in (lane, low)))):
            valid, zeros, below, hi, symmetric = self._beat(stage, "valid", "zeros", "below", "hi", "symmetric")
            top = qmax(hi, symmetric)
            self.must(m, ~valid | (steps <= top) & (z <= top))
            self.must(m, ~(valid & zeros) | Mux(below[lane], steps <= z, steps + z <= top + 1))
            self.must(m, ~valid | zeros | ((z == 0) & ~below[lane]))
            self.reached(m, valid & zeros & ~below[lane] & (steps + z == top + 1) & ~hi)

    def _codes(self, m: Module) -> None:
        """The output: q = z + n(c) as the contract has it, and what makes a = q − zero of it."""
        params, code = self.params, self.unit.o.payload
        zeros, below, hi, symmetric, tail, last = self._beat(
            "round", "zeros", "below", "hi", "symmetric", "tail", "last")
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
                m.d.sync += q.eq(Mux(is_padding(lane, last, tail), Mux(zeros, z, mid),
                                     Mux(below[lane], z - steps, Mux(sum_ > top, top, sum_))))
            self.must(m, ~self.unit.o.valid | (code.codes[lane] == q) & (code.codes[lane] <= top_was))


ONE_LANE = replace(LANE, block_beats=8)
PROPERTIES = (
    Property(
        name="quantizer_zeroed_codes", block="scale", build=ZeroedCodes, params=ONE_LANE, depth=1, cover=25,
        says="with blocks every code is 0…qmax and what z and the steps from it make, and that of padding is zero, "
             "with the unit's real multipliers, at a width of 4 bits",
        bug=Fault(name="four_bits_beyond_qmax", block="scale", why="a 4-bit code may be 16",
                  patch=("rtl_gen.scale.unit.from_zero", _as_of_8_bits)), bug_depth=25, seconds=60),
)
