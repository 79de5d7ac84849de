"""One row of the MAC array: operands and their controls from the left, weights from above, sums upwards."""

from __future__ import annotations

from amaranth.hdl import Module, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.lib.delay import late
from rtl_gen.mac.element import control_layout, element, operand_shape
from rtl_gen.verilog.emit import Shared
from stamp_hw.params import CODE_WIDTH, MacParams


class Row(wiring.Component):
    """`cols` PEs side by side: PE c sees an operand c cycles after PE 0.

    Parameters
    ----------
    params : MacParams

    Members
    -------
    operand, control : In, what PE 0 takes; each PE hands it to its right neighbour
    wgt_i : In, a weight for each column, from the row above; wgt_o : Out, a cycle later, to the row below
    shift : In, take the sums of the row below; with blocks PE c does c cycles later
    below0, below1 : In, hold registers of the row below; hold0, hold1 : Out, of this row
    """

    def __init__(self, params: MacParams) -> None:
        self.params = params
        wgts = data.ArrayLayout(signed(CODE_WIDTH), params.cols)
        sums0, sums1 = (data.ArrayLayout(signed(width), params.cols) for width in params.sum_widths)
        super().__init__({"operand": In(operand_shape(params)), "control": In(control_layout(params)),
                          "wgt_i": In(wgts), "wgt_o": Out(wgts), "shift": In(1), "below0": In(sums0),
                          "below1": In(sums1), "hold0": Out(sums0), "hold1": Out(sums1)})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        operand, control, shift = self.operand, self.control, self.shift
        for c in range(self.params.cols):
            if c and self.params.blocks:
                shift = late(m, f"shift_c{c}", shift, control=True)
            pe = m.submodules[f"pe{c}"] = Shared(lambda: element(self.params), "stamp_pe")
            m.d.comb += [
                pe.operand_i.eq(operand), pe.control_i.eq(control), pe.wgt_i.eq(self.wgt_i[c]), pe.shift.eq(shift),
                pe.below0.eq(self.below0[c]), pe.below1.eq(self.below1[c]), self.wgt_o[c].eq(pe.wgt_o),
                self.hold0[c].eq(pe.hold0), self.hold1[c].eq(pe.hold1),
            ]
            operand, control = pe.operand_o, pe.control_o
        return m
