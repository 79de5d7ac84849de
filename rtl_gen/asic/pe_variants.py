"""PEs that are not delivered: what the split one was made of step by step, and those of an array of one precision.

They have the ports of `rtl_gen.mac.split.SplitPe`, one sum a factor, and are there to be priced beside it
(`rtl_gen.asic.steps`, `rtl_gen.asic.silicon`).
"""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.asic import pe
from rtl_gen.asic.bench import Bench
from rtl_gen.mac import split
from stamp_hw.params import CODE_WIDTH, MacParams


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """`factors`, bits of each signed factor of the operand, the low one first; `products`, bits of each one's product,
    and `sums`, of its sum; `stages` product registers; `rows`: products are rows of single bits, not `*`; `enables`: a
    bubble moves neither operand nor product."""

    factors: tuple[int, ...]
    products: tuple[int, ...]
    sums: tuple[int, ...]
    stages: int = 1
    rows: bool = True
    enables: bool = True

    @property
    def latency(self) -> int:
        """Cycles from a step to its sums."""
        return self.stages + 2

    def ports(self) -> pe.Ports:
        """As a bench sees it."""
        return pe.Ports(operand=sum(self.factors), control=2, sums=self.sums, latency=self.latency, holds=self.enables,
                        packed=self._packed, told=lambda valid, mode4, last: valid | last << 1)

    def _packed(self, code: pe.Factors) -> int:
        word, place = 0, 0
        for bits, value in zip(self.factors, code, strict=True):
            word |= (value & ((1 << bits) - 1)) << place
            place += bits
        return word


def of_split(params: MacParams) -> Form:
    """The form of `SplitPe` itself."""
    high = split.operand_shape(params).width - split.LOW_WIDTH
    return Form(factors=(split.LOW_WIDTH, high), products=(split.LOW_PRODUCT_WIDTH, high + CODE_WIDTH),
                sums=params.sum_widths)


def of_bits(bits: int, max_k: int) -> Form:
    """A PE for codes of 8 bits alone, or for pairs of 4, with sums that hold `max_k` products and no more."""
    width = (max_k << bits - 1 + CODE_WIDTH - 1).bit_length() + 1
    count = CODE_WIDTH // bits
    return Form(factors=(bits,) * count, products=(bits + CODE_WIDTH,) * count, sums=(width,) * count)


class VariantPe(wiring.Component):
    """acc_n += factor_n·w; the step marked `last` puts the sums into the hold registers. Members and behaviour are
    those of `SplitPe`, latency `form.latency`."""

    def __init__(self, form: Form) -> None:
        self.form = form
        operand, wgt = unsigned(sum(form.factors)), signed(CODE_WIDTH)
        sums = [signed(width) for width in form.sums]
        super().__init__({"operand_i": In(operand), "operand_o": Out(operand), "control_i": In(split.CONTROL),
                          "control_o": Out(split.CONTROL), "wgt_i": In(wgt), "wgt_o": Out(wgt), "shift": In(1),
                          **{f"below{number}": In(shape) for number, shape in enumerate(sums)},
                          **{f"hold{number}": Out(shape) for number, shape in enumerate(sums)}})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        form = self.form
        operand = Signal.like(self.operand_i, name="operand", reset_less=True)
        wgt = Signal.like(self.wgt_i, name="wgt", reset_less=True)
        control = split.control_register("control")
        with m.If(self.control_i.valid | (not form.enables)):
            m.d.sync += [operand.eq(self.operand_i), wgt.eq(self.wgt_i)]
        m.d.sync += control.eq(self.control_i)
        m.d.comb += [self.operand_o.eq(operand), self.wgt_o.eq(wgt), self.control_o.eq(control)]

        products: list[Value] = []
        place = 0
        for bits in form.factors:
            factor = operand[place:place + bits].as_signed()
            products.append(split.product(factor, wgt) if form.rows else factor * wgt)
            place += bits
        for stage in range(1, form.stages + 1):
            behind = [Signal(signed(width), name=f"product{number}_{stage}", reset_less=True)
                      for number, width in enumerate(form.products)]
            with m.If(control.valid | (not form.enables)):
                m.d.sync += [after.eq(before) for after, before in zip(behind, products, strict=True)]
            later = split.control_register(f"control{stage}")
            m.d.sync += later.eq(control)
            products, control = [*behind], later

        for number, product in enumerate(products):
            held, below = getattr(self, f"hold{number}"), getattr(self, f"below{number}")
            acc = Signal.like(held, name=f"acc{number}", reset_less=True)
            now = Signal.like(held, name=f"sum{number}")
            hold = Signal.like(held, name=f"register{number}", reset_less=True)
            m.d.comb += [now.eq(acc + product), held.eq(hold)]
            with m.If(control.last | control.valid):
                m.d.sync += acc.eq(Mux(control.last, 0, now))
            with m.If(control.last | self.shift):
                m.d.sync += hold.eq(Mux(control.last, now, below))
        return m


def bench(form: Form, phases: tuple[int, ...], operands: pe.Operands, idle: int = 512) -> Bench:
    """The phases of `pe.STEPS` that it has: an 8-bit code whole where there is one factor, else its nibbles."""
    found: dict[int, list[pe.Factors]] = {
        pe.EIGHT: [(code,) if len(form.factors) == 1 else (code & 15, code >> 4) for code in operands.codes8.tolist()],
        pe.FOUR: [(low, high) for low, high in operands.codes4.tolist()]}
    return pe.of_phases(form.ports(), {phase: (found[phase], operands.weights) for phase in phases}, idle)
