"""A product with registers behind it, in a module of its own: the border at which a DSP slice of an FPGA takes the
place of the text (`rtl_gen/mac/ecp5.py`). Without a slice products are written where they are needed."""

from __future__ import annotations

import re
from dataclasses import dataclass

from amaranth.hdl import Module, Shape, Signal, Value, ValueLike
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.verilog.emit import Shared

_NAME = re.compile(r"stamp_product_([su])(\d+)x(\d+)_(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductParams:
    """Factors of `a_bits` and `b_bits`, both `signed` or neither, and `stages` registers behind their product."""

    a_bits: int
    b_bits: int
    signed: bool
    stages: int

    @property
    def module(self) -> str:
        """Name in Verilog, which says everything."""
        return f"stamp_product_{'s' if self.signed else 'u'}{self.a_bits}x{self.b_bits}_{self.stages}"

    @classmethod
    def named(cls, module: str) -> ProductParams | None:
        """Those of a module, None if it is no product."""
        found = _NAME.fullmatch(module)
        return found and cls(signed=found[1] == "s", a_bits=int(found[2]), b_bits=int(found[3]), stages=int(found[4]))


class Product(wiring.Component):
    """product = a · b.

    Parameters
    ----------
    params : ProductParams

    Members
    -------
    enable : In, of every register
    a_i, b_i : In, the factors
    product_o : Out, a_bits + b_bits bits, `stages` enabled cycles later
    """

    def __init__(self, params: ProductParams) -> None:
        self.params = params
        a, b, product = (Shape(bits, params.signed) for bits in (params.a_bits, params.b_bits,
                                                                 params.a_bits + params.b_bits))
        super().__init__({"enable": In(1), "a_i": In(a), "b_i": In(b), "product_o": Out(product)})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        product: Value = self.a_i * self.b_i
        for stage in range(1, self.params.stages + 1):
            behind = Signal.like(self.product_o, name=f"product{stage}", reset_less=True)
            with m.If(self.enable):
                m.d.sync += behind.eq(product)
            product = behind
        m.d.comb += self.product_o.eq(product)
        return m


def of_slice(m: Module, name: str, a: Value, b: Value, stages: int, enable: ValueLike) -> Value:
    """a · b behind the registers of a slice, the submodule `name`; the factors are both signed or both not."""
    params = ProductParams(a_bits=len(a), b_bits=len(b), signed=a.shape().signed, stages=stages)
    m.submodules[name] = product = Shared(lambda: Product(params), params.module)
    m.d.comb += [product.enable.eq(enable), product.a_i.eq(a), product.b_i.eq(b)]
    return product.product_o
