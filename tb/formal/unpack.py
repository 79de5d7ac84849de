"""4-bit weights become INT8: exact or saturated, and what may saturate is said, for every pair (u, z)."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value, signed

from rtl_gen.engine import unpack
from rtl_gen.engine.unpack import Expand
from stamp_hw.weight_groups import HIGHEST, LOWEST, QMAX
from tb.formal import Property
from tb.formal.checker import Checker
from tb.run.fault import Fault

_WIDE = signed(12)  # far more than u·(q − z) needs


class Expands(Checker):
    """Against a product added up bit by bit, and the limits of q instead of a table."""

    def __init__(self, _params: object) -> None:
        super().__init__(Expand())

    def check(self, m: Module) -> None:
        unit = self.unit
        pair, wgt = unit.pair, unit.wgt
        exact, lowest, highest = (Signal(_WIDE, name=name) for name in ("exact", "lowest", "highest"))
        m.d.comb += [
            exact.eq(_times(pair.less, unit.q - pair.zero)),
            lowest.eq(_times(pair.less, -pair.zero)),
            highest.eq(_times(pair.less, QMAX - pair.zero)),
        ]
        self.must(m, wgt == Mux(exact < LOWEST, LOWEST, Mux(exact > HIGHEST, HIGHEST, exact)))
        self.must(m, unit.illegal == ((lowest < LOWEST) | (highest > HIGHEST)))
        self.must(m, unit.illegal | (wgt == exact))
        for reached in (unit.illegal & (wgt == exact), ~unit.illegal & (wgt == LOWEST), wgt != exact):
            self.reached(m, reached)


def _times(less: Value, value: Value) -> Value:
    """(less + 1)·value."""
    total: Value = value
    for place, bit in enumerate(less):
        total = total + Mux(bit, value << place, 0)
    return total


def _one_more(zero: Value) -> Value:
    """16 is taken for legal beside z = 7."""
    return Mux(zero == 7, 15, most_less(zero))


most_less = unpack.most_less  # as it is without the bug
PROPERTIES = (
    Property(
        name="unpack_expand", block="engine_loader", build=Expands, params=None, depth=1, cover=2,
        says="a 4-bit weight is u·(q − z), saturated, and a pair is called illegal exactly if some q leaves INT8",
        bug=Fault(name="sixteen_beside_seven", block="engine", why="u = 16 counts as legal beside z = 7",
                  patch=("rtl_gen.engine.unpack.most_less", _one_more)), bug_depth=2, seconds=5),
)
