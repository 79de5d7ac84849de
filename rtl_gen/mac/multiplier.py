"""The multiplier of a PE with registers of its own, in a module of its own: the border at which a DSP slice of an FPGA
takes the place of the text."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from stamp_hw.params import CODE_WIDTH, MacParams

MODULE = "stamp_pe_multiplier"  # in Verilog
OPERAND_WIDTH = 17  # a1·2^12 + a0: 4 bits and the low product's, and one for a1 = -8 less the borrow of a negative a0
PRODUCT_WIDTH = 24  # the packed operand is −32776 at least, times −128 or 127: within ±2^23


class Multiplier(wiring.Component):
    """product = operand · wgt, registered in front and `mul_stages` times behind.

    A PE's own operand registers stay beside it, for its neighbours: what a slice registers leaves it as a product.

    Parameters
    ----------
    params : MacParams

    Members
    -------
    operand_i : In, signed(17)
    wgt_i : In, signed(8)
    product_o : Out, signed(24), mul_stages + 1 cycles later
    """

    def __init__(self, params: MacParams) -> None:
        self.params = params
        super().__init__({"operand_i": In(signed(OPERAND_WIDTH)), "wgt_i": In(signed(CODE_WIDTH)),
                          "product_o": Out(signed(PRODUCT_WIDTH))})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        operand = Signal.like(self.operand_i, name="operand_register", reset_less=True)
        wgt = Signal.like(self.wgt_i, name="wgt_register", reset_less=True)
        m.d.sync += [operand.eq(self.operand_i), wgt.eq(self.wgt_i)]
        product: Value = operand * wgt
        for stage in range(1, self.params.mul_stages + 1):
            behind = Signal(signed(PRODUCT_WIDTH), name=f"product{stage}", reset_less=True)
            m.d.sync += behind.eq(product)
            product = behind
        m.d.comb += self.product_o.eq(product)
        return m
