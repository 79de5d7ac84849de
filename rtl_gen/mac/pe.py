"""One processing element of the MAC array: one multiplier for an 8-bit token, or two 4-bit ones with one weight."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.mac.multiplier import OPERAND_WIDTH, PRODUCT_WIDTH, Multiplier
from stamp_hw.params import CODE_WIDTH, MacParams

LOW_WIDTH = 12  # bits of the low product, and so the place of a1 in the packed operand (docs/contract.md §3.5)

#: What a step says beside its operand: `valid`, it counts; `mode4`, it is one of a pair of tokens; `last`, it ends its
#: tile. A bubble says neither, so each of them is an enable by itself.
CONTROL = data.StructLayout({"mode4": 1, "valid": 1, "last": 1})
#: What a reset leaves in their place: the end of a tile without a step, which empties the accumulators.
RESET = {"mode4": 0, "valid": 0, "last": 1}


def low_of_pair(product: Value) -> Value:
    """What acc0 adds of a pair of tokens: p[11:0], signed. Of an 8-bit token it adds the whole product."""
    return product[:LOW_WIDTH].as_signed()


def high_borrow(product: Value) -> Value:
    """What a negative low product took from the high one; given back as the adder's carry."""
    return product[LOW_WIDTH - 1]


def control_register(name: str) -> Signal:
    """Register of a step's controls."""
    return Signal(CONTROL, name=name, init=RESET)


def clears(last: Value) -> Value:
    """Whether the accumulators go to zero, for the next tile."""
    return last


class Pe(wiring.Component):
    """acc0 += a0·w and, in 4-bit mode, acc1 += a1·w; the step marked `last` puts both sums into the hold registers.

    One multiplier: p = (a1·2^12 + a0)·w, low product p[11:0] signed, high product (p >> 12) + p[11].

    Parameters
    ----------
    params : MacParams; `acc_width`, `pair_width` and `mul_stages` shape the element

    Members
    -------
    operand_i, operand_o : signed(17), a1·2^12 + a0 or an 8-bit code, from the left neighbour; to the right one, a cycle
        later
    control_i, control_o : CONTROL, likewise
    wgt_i, wgt_o : signed(8) from the upper neighbour; to the lower one, a cycle later
    shift : take the sums from below; never in the cycle in which a tile's sums arrive
    below0, below1 : hold registers of the lower neighbour
    hold0, hold1 : hold registers, of acc0 and acc1

    Latency: an operand's product is in `hold0` `params.latency` = mul_stages + 2 cycles after the operand was offered.
    Throughput: a step a cycle; a step without `valid` changes no accumulator. In 8-bit mode acc1 rests, and `hold1`
    means nothing. The cycle after a reset empties the accumulators.
    """

    def __init__(self, params: MacParams) -> None:
        self.params = params
        operand, wgt = signed(OPERAND_WIDTH), signed(CODE_WIDTH)
        sum0, sum1 = signed(params.acc_width), signed(params.pair_width)
        super().__init__({"operand_i": In(operand), "operand_o": Out(operand), "control_i": In(CONTROL),
                          "control_o": Out(CONTROL), "wgt_i": In(wgt), "wgt_o": Out(wgt), "shift": In(1),
                          "below0": In(sum0), "below1": In(sum1), "hold0": Out(sum0), "hold1": Out(sum1)})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        params = self.params

        # Operand registers, which are also the systolic hop. Only controls are reset: data means nothing without them.
        operand = Signal.like(self.operand_i, name="operand", reset_less=True)
        wgt = Signal.like(self.wgt_i, name="wgt", reset_less=True)
        control = control_register("control")
        m.d.sync += [operand.eq(self.operand_i), wgt.eq(self.wgt_i), control.eq(self.control_i)]
        m.d.comb += [self.operand_o.eq(operand), self.wgt_o.eq(wgt), self.control_o.eq(control)]

        # Product registers; synthesis may move them into the multiplier.
        product: Value = operand * wgt if params.dsp is None else self._of_slice(m)
        for stage in range(1, params.mul_stages + 1):
            if params.dsp is None:
                behind = Signal(signed(PRODUCT_WIDTH), name=f"product{stage}", reset_less=True)
                m.d.sync += behind.eq(product)
                product = behind
            control_behind = control_register(f"control{stage}")
            m.d.sync += control_behind.eq(control)
            control = control_behind

        # Accumulators. Synthesis makes the zero a reset of the registers, which costs no logic behind the adder, whose
        # carry input gives the borrow back without a third operand.
        acc0 = Signal(signed(params.acc_width), reset_less=True)
        acc1 = Signal(signed(params.pair_width), reset_less=True)
        sum0 = Signal(signed(params.acc_width))
        sum1 = Signal(signed(params.pair_width + 1))
        low = Signal(signed(params.acc_width))
        high_part = Cat(high_borrow(product), product[LOW_WIDTH:]).as_signed()
        with m.If(control.mode4):
            m.d.comb += low.eq(low_of_pair(product))
        with m.Else():
            m.d.comb += low.eq(product[:2 * CODE_WIDTH].as_signed())
        m.d.comb += [
            sum0.eq(acc0 + low),
            sum1.eq(Cat(Const(1, 1), acc1).as_signed() + high_part),
        ]
        now1 = sum1[1:].as_signed()
        for acc, now, adds in ((acc0, sum0, control.valid), (acc1, now1, control.mode4)):
            with m.If(control.last | adds):
                m.d.sync += acc.eq(Mux(clears(control.last), 0, now))

        # Hold registers: a link of the column's drain chain.
        hold0 = Signal.like(acc0, reset_less=True)
        hold1 = Signal.like(acc1, reset_less=True)
        with m.If(control.last | self.shift):
            m.d.sync += [hold0.eq(Mux(control.last, sum0, self.below0)),
                         hold1.eq(Mux(control.last, now1, self.below1))]
        m.d.comb += [self.hold0.eq(hold0), self.hold1.eq(hold1)]
        return m

    def _of_slice(self, m: Module) -> Value:
        """The product behind a slice's registers, of what comes into the PE."""
        m.submodules.multiplier = multiplier = Multiplier(self.params)
        m.d.comb += [multiplier.operand_i.eq(self.operand_i), multiplier.wgt_i.eq(self.wgt_i)]
        return multiplier.product_o
