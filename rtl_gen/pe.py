"""One processing element of the MAC array: one multiplier for an 8-bit token, or two 4-bit ones with one weight."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from stamp_hw.params import CODE_WIDTH, MacParams

LOW_WIDTH = 12  # bits of the low product, and so the place of a1 in the packed operand (docs/contract.md §3.5)
HIGH_WIDTH = 5  # bits of the packed operand above LOW_WIDTH: a1 of 4 bits less the borrow of a negative a0
PRODUCT_WIDTH = 24  # the packed operand is −32776 at least, times −128 or 127: within ±2^23

#: What travels along a row. `low` and `high` are the packed operand without its repeated sign bits.
OPERAND = data.StructLayout({"low": signed(CODE_WIDTH), "high": signed(HIGH_WIDTH), "mode4": 1, "valid": 1, "last": 1})


def multiplicand(low: Value, high: Value) -> Value:
    """The multiplier's 17-bit operand: a1·2^12 + a0, or a0 alone in 8-bit mode."""
    return Cat(low, low[-1].replicate(LOW_WIDTH - CODE_WIDTH), high).as_signed()


def low_product(product: Value, mode4: Value) -> Value:
    """What acc0 adds: p[11:0], signed, of a pair of tokens; the whole product of an 8-bit one, which 16 bits hold."""
    upper = product[LOW_WIDTH:2 * CODE_WIDTH]
    sign = product[LOW_WIDTH - 1]
    return Cat(product[:LOW_WIDTH], Mux(mode4, sign.replicate(len(upper)), upper)).as_signed()


def high_borrow(product: Value) -> Value:
    """What a negative low product took from the high one; given back as the adder's carry."""
    return product[LOW_WIDTH - 1]


def is_control(name: str) -> bool:
    """Whether a field of OPERAND needs a reset; the others mean nothing without it."""
    return name == "valid"


def finishes(valid: Value, last: Value) -> Value:
    """Whether the sums of this step are a tile's, which go to the hold registers."""
    return valid & last


def clears(finished: Value) -> Value:
    """Whether the accumulators go to zero, for the next tile."""
    return finished


class Pe(wiring.Component):
    """acc0 += a0·w and, in 4-bit mode, acc1 += a1·w; the step marked `last` puts both sums into the hold registers.

    One multiplier: p = (a1·2^12 + a0)·w, low product p[11:0] signed, high product (p >> 12) + p[11].

    Parameters
    ----------
    params : MacParams; only `acc_width` and `mul_stages` shape the element

    Members
    -------
    operand_i, operand_o : OPERAND from the left neighbour; to the right one, a cycle later
    wgt_i, wgt_o : signed(8) from the upper neighbour; to the lower one, a cycle later
    shift : take `hold` from `below`; never in the cycle in which a tile's sums arrive
    below, hold : hold registers {acc0, acc1} of the lower neighbour; of this element

    Latency: an operand's product is in `hold` `params.latency` = mul_stages + 2 cycles after the operand was offered.
    Throughput: a step a cycle; a step without `valid` changes no accumulator. In 8-bit mode acc1 rests, and what `hold`
    says of it means nothing.
    """

    def __init__(self, params: MacParams) -> None:
        self.params = params
        sums = data.StructLayout({"acc0": signed(params.acc_width), "acc1": signed(params.acc_width)})
        super().__init__({"operand_i": In(OPERAND), "operand_o": Out(OPERAND), "wgt_i": In(signed(CODE_WIDTH)),
                          "wgt_o": Out(signed(CODE_WIDTH)), "shift": In(1), "below": In(sums), "hold": Out(sums)})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        width = self.params.acc_width

        # Operand registers, which are also the systolic hop.
        flags = {name: Signal(name=f"operand_{name}", reset_less=not is_control(name))
                 for name in ("mode4", "valid", "last")}
        low = Signal(signed(CODE_WIDTH), name="operand_low", reset_less=True)
        high = Signal(signed(HIGH_WIDTH), name="operand_high", reset_less=True)
        wgt = Signal(signed(CODE_WIDTH), name="operand_wgt", reset_less=True)
        m.d.sync += [low.eq(self.operand_i.low), high.eq(self.operand_i.high), wgt.eq(self.wgt_i)]
        m.d.sync += [flag.eq(self.operand_i[name]) for name, flag in flags.items()]
        m.d.comb += [self.operand_o.low.eq(low), self.operand_o.high.eq(high), self.wgt_o.eq(wgt)]
        m.d.comb += [self.operand_o[name].eq(flag) for name, flag in flags.items()]

        # Product registers; synthesis may move them into the multiplier.
        product: Value = multiplicand(low, high) * wgt
        for stage in range(1, self.params.mul_stages + 1):
            behind = Signal(signed(PRODUCT_WIDTH), name=f"product{stage}", reset_less=True)
            flags_behind = {name: Signal(name=f"product{stage}_{name}", reset_less=not is_control(name))
                            for name in flags}
            m.d.sync += behind.eq(product)
            m.d.sync += [flags_behind[name].eq(flags[name]) for name in flags]
            product, flags = behind, flags_behind

        # Accumulators. Zero comes in by the registers' own reset, which costs no logic in front of the adder; the carry
        # input adds the borrow without a third operand.
        acc0 = Signal(signed(width))
        acc1 = Signal(signed(width))
        sum0 = Signal(signed(width))
        sum1 = Signal(signed(width + 1))
        finished = Signal()
        high_part = Cat(high_borrow(product), product[LOW_WIDTH:]).as_signed()
        m.d.comb += [
            sum0.eq(acc0 + low_product(product, flags["mode4"])),
            sum1.eq(Cat(Const(1, 1), acc1).as_signed() + high_part),
            finished.eq(finishes(flags["valid"], flags["last"])),
        ]
        with m.If(clears(finished)):
            m.d.sync += [acc0.eq(0), acc1.eq(0)]
        with m.Elif(flags["valid"]):
            m.d.sync += acc0.eq(sum0)
            with m.If(flags["mode4"]):
                m.d.sync += acc1.eq(sum1[1:])

        # Hold registers: a link of the column's drain chain.
        hold0 = Signal(signed(width), reset_less=True)
        hold1 = Signal(signed(width), reset_less=True)
        with m.If(finished):
            m.d.sync += [hold0.eq(sum0), hold1.eq(sum1[1:])]
        with m.Elif(self.shift):
            m.d.sync += [hold0.eq(self.below.acc0), hold1.eq(self.below.acc1)]
        m.d.comb += [self.hold.acc0.eq(hold0), self.hold.acc1.eq(hold1)]
        return m
