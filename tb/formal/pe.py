"""The products and the accumulators of a PE: exact, and never too large for their registers."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

from rtl_gen.mac import packed_high, packed_low
from rtl_gen.pe import LOW_WIDTH, Pe, high_borrow, low_product
from stamp_hw.config import HwConfig
from stamp_hw.params import CODE_WIDTH, MacParams
from tb.faults import Fault
from tb.formal import Property
from tb.formal.checker import Checker

LARGEST = 128 * 128  # of a product of two 8-bit codes, in magnitude


class _Packed(Checker):
    """A PE whose operands are packed as the array packs them, of any `act`, `mode4` and weight."""

    def __init__(self, params: MacParams) -> None:
        self.params = params
        super().__init__(Pe(params), {"act": CODE_WIDTH})

    def stage(self, m: Module, name: str, **values: Value) -> dict[str, Signal]:
        """Registers beside those of the PE's stage `name`; the flags are the same in both."""
        held = {key: Signal(value.shape(), name=f"{name}_{key}", reset_less=key not in ("valid", "counted"))
                for key, value in values.items()}
        m.d.sync += [held[key].eq(value) for key, value in values.items()]
        self.must(m, self.internal(f"{name}_valid") == held["valid"])
        for flag in ("last", "mode4"):
            self.must(m, ~held["valid"] | (self.internal(f"{name}_{flag}") == held[flag]))
        return held

    def operand(self, m: Module, **more: Value) -> dict[str, Signal]:
        """The operand stage: flags, `act`, `wgt` and `more`."""
        operand, act = self.unit.operand_i, self.act
        self.given(m, operand.low == packed_low(act, operand.mode4))
        self.given(m, operand.high == packed_high(act, operand.mode4))
        at = self.stage(m, "operand", valid=operand.valid, last=operand.last, mode4=operand.mode4, act=act,
                        wgt=self.unit.wgt_i, **more)
        self.must(m, ~at["valid"] | ((self.internal("operand_low") == packed_low(at["act"], at["mode4"]))
                                     & (self.internal("operand_high") == packed_high(at["act"], at["mode4"]))
                                     & (self.internal("operand_wgt") == at["wgt"])))
        return at


class Products(_Packed):
    """One multiplier makes both products of a pair, and the one of an 8-bit code, as plain multipliers would."""

    def check(self, m: Module) -> None:
        at = self.operand(m)
        act, wgt = at.pop("act"), at.pop("wgt")
        products = {"p0": Mux(at["mode4"], act[:4].as_signed(), act.as_signed()) * wgt,
                    "p1": Mux(at["mode4"], act[4:].as_signed() * wgt, 0)}
        for number in range(1, self.params.mul_stages + 1):
            at = self.stage(m, f"product{number}", **at, **products)
            products = {name: at.pop(name) for name in products}
            self.must(m, ~at["valid"] | (self.internal(f"product{number}")
                                         == products["p0"] + (products["p1"] << LOW_WIDTH)))
        self.reached(m, at["valid"] & at["mode4"] & (products["p0"] < 0) & (products["p1"] > 0))


class Sums(_Packed):
    """Tiles of up to `max_k` steps: `counted` of them are in the accumulators, each of which is at most `counted` times
    the largest product, and takes in the next product as if its register had no end.
    """

    def check(self, m: Module) -> None:
        operand, limit = self.unit.operand_i, self.params.max_k
        count: Signal = Signal(range(limit + 1))
        with m.If(operand.valid):
            m.d.sync += count.eq(Mux(operand.last, 0, count + 1))
        self.given(m, ~operand.valid | (count < limit))
        at = self.operand(m, counted=count)
        self._counts(m, count, at)
        del at["act"], at["wgt"]
        for number in range(1, self.params.mul_stages + 1):
            before = at["counted"]
            at = self.stage(m, f"product{number}", **at)
            self._counts(m, before, at)
            product = self.internal(f"product{number}")
            self.must(m, ~at["valid"] | at["mode4"] | (product <= LARGEST) & (product >= -LARGEST))
        low = low_product(product, at["mode4"])
        high = product[LOW_WIDTH:].as_signed() + high_borrow(product)
        for acc, added, now in ((self.internal("acc0"), low, self.internal("sum0")),
                                (self.internal("acc1"), high, self.internal("sum1")[1:].as_signed())):
            adds = at["valid"] & (at["mode4"] | (added is low))
            self.must(m, (acc <= at["counted"] * LARGEST) & (acc >= -(at["counted"] * LARGEST)))
            self.must(m, ~adds | (now == acc + added))
        self.reached(m, at["valid"] & at["last"] & (self.internal("acc0") == LARGEST * (limit - 1)))

    def _counts(self, m: Module, before: Value, at: dict[str, Signal]) -> None:
        """A step counts once it has left a stage, and there is room for it."""
        after = Mux(at["valid"], Mux(at["last"], 0, at["counted"] + 1), at["counted"])
        self.must(m, (before == after) & (before <= self.params.max_k))
        self.must(m, ~at["valid"] | (at["counted"] < self.params.max_k))


DEFAULT = MacParams.of(HwConfig())
TIGHT = MacParams(rows=1, cols=1, lanes=1, acc_width=18, max_k=7, mul_stages=1)  # an eighth step could overflow
PROPERTIES = (
    Property(
        name="pe_products", block="pe", build=Products, params=DEFAULT, depth=1, cover=5,
        says="one multiplier makes the exact products of every pair of 4-bit codes, every 8-bit code and every weight",
        bug=Fault(name="low_operand_without_sign", block="mac", why="a negative a0 reaches the multiplier as positive",
                  patch=("rtl_gen.pe.multiplicand", lambda low, high: Cat(low, Const(0, 4), high).as_signed())),
        bug_depth=5, seconds=10),
    Property(
        name="pe_sums", block="pe", build=Sums, params=DEFAULT, small=TIGHT, depth=2, cover=12,
        says="no accumulator overflows in max_k steps, for every operand",
        bug=Fault(name="never_restart", block="mac", why="a tile begins with the sums of the one before",
                  patch=("rtl_gen.pe.clears", lambda finished: Const(0))), bug_depth=12, seconds=10),
    Property(
        name="pe_sums_tight", block="pe", build=Sums, params=TIGHT, depth=2, cover=12,
        says="the same where one step more than max_k could overflow",
        bug=Fault(name="low_product_without_sign", block="mac", why="the bits of a1·w reach token 0's sum",
                  patch=("rtl_gen.pe.low_product", lambda product, mode4: product[:16].as_signed())), bug_depth=12,
        seconds=10),
)
