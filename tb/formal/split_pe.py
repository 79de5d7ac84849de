"""The products and the accumulators of a split PE: those of the packed one, and never too large for their registers."""

from __future__ import annotations

from dataclasses import replace

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

from rtl_gen.mac import blocks, split
from rtl_gen.mac.array import packed
from rtl_gen.mac.pe import LOW_WIDTH, high_borrow, low_of_pair
from rtl_gen.mac.split import RESET, SplitPe
from stamp_hw.config import HwConfig
from stamp_hw.hw_config import SPLIT
from stamp_hw.params import CODE_WIDTH, MacParams
from tb.formal import Property
from tb.formal.pe import TIGHT, TIGHT_BLOCKS
from tb.formal.pe_stages import PeChecker
from tb.run.fault import Fault

LARGEST_LOW = 15 * 128  # of a product of a low factor, in magnitude
LARGEST_HIGH = 8 * 128
LARGEST_HIGH_WITH_ZERO = 16 * 128


class _Split(PeChecker):
    """A split PE whose operands are those of the array, of any `act`, `mode4` and weight; with blocks of any code `act`
    and any `zero`."""

    flags = RESET

    def __init__(self, params: MacParams) -> None:
        self.params = params
        ghost = {"act": CODE_WIDTH, "mode4": 1}
        super().__init__(SplitPe(params), ghost | {"zero": CODE_WIDTH} if params.blocks else ghost)

    def factors(self, act: Value, zero: Value, mode4: Value) -> Value:
        """The operand, as the array makes it."""
        return (split.block_operand(blocks.entry(act, zero, mode4), mode4) if self.params.blocks
                else split.operand(act, mode4))

    def products(self, act: Value, zero: Value, mode4: Value, wgt: Value) -> tuple[Value, Value, Value]:
        """(token 0's, token 1's of a pair, the one of an 8-bit code), as the packed PE makes them."""
        both = (blocks.operand(blocks.entry(act, zero, mode4), mode4) if self.params.blocks
                else packed(act, mode4)) * wgt
        return low_of_pair(both), both[LOW_WIDTH:].as_signed() + high_borrow(both), both

    def operand(self, m: Module, **more: Value) -> dict[str, Signal]:
        """The operand stage: flags, `act`, `zero`, `mode4`, `wgt` and `more`."""
        control, act, mode4 = self.unit.control_i, self.act, self.mode4
        zero = self.zero if self.params.blocks else Const(0)
        self.given(m, self.unit.operand_i == self.factors(act, zero, mode4))
        at = self.stage(m, "operand", "control", valid=control.valid, last=control.last, act=act, zero=zero,
                        mode4=mode4, wgt=self.unit.wgt_i, **more)
        self.must(m, ~at["valid"] | ((self.internal("operand") == self.factors(at["act"], at["zero"], at["mode4"]))
                                     & (self.internal("wgt") == at["wgt"])))
        return at


class Products(_Split):
    """Two small multipliers make what the packed one makes of the same operands."""

    def check(self, m: Module) -> None:
        at = self.operand(m)
        low, high, both = self.products(*(at[name] for name in ("act", "zero", "mode4", "wgt")))
        now = self.stage(m, "product", "control1", valid=at["valid"], last=at["last"], mode4=at["mode4"], low=low,
                         high=high, both=both)
        product0, product1 = self.internal("product0"), self.internal("product1")
        pair = (product0 == now["low"]) & (product1 == now["high"])
        self.must(m, ~now["valid"] | Mux(now["mode4"], pair, split.whole(product0, product1) == now["both"]))
        self.reached(m, now["valid"] & now["mode4"] & (product0 < 0) & (product1 > 0))
        self.reached(m, now["valid"] & ~now["mode4"] & (product0 < 0) & (product1 > 0))


class Sums(_Split):
    """As `tb.formal.pe.Sums`: no accumulator is ever beyond what its steps can add up to."""

    def check(self, m: Module) -> None:
        count = self.steps(m)
        at = self.operand(m, counted=count)
        self.counts(m, count, at)
        now = self.stage(m, "product", "control1", valid=at["valid"], last=at["last"], counted=at["counted"])
        self.counts(m, at["counted"], now)
        emptied = now["last"] & ~now["valid"]
        of_high = LARGEST_HIGH_WITH_ZERO if self.params.blocks else LARGEST_HIGH
        for number, (largest, sign) in enumerate(((LARGEST_LOW, -1), (of_high, 1))):
            product, acc, total = (self.internal(f"{name}{number}") for name in ("product", "acc", "sum"))
            self.must(m, ~now["valid"] | (product <= largest) & (product >= -largest))
            self.must(m, emptied | (acc <= now["counted"] * largest) & (acc >= -(now["counted"] * largest)))
            self.must(m, ~now["valid"] | (total == acc + product))
            self.reached(m, now["valid"] & now["last"] & (acc == sign * largest * (self.params.max_k - 1)))


_NEVER = Fault(name="never_restart", block="mac", why="a tile begins with the sums of the one before",
               patch=("rtl_gen.mac.split.clears", lambda last: Const(0)))
DEFAULT = MacParams.of(HwConfig(multiplier=SPLIT))
BLOCKS = MacParams.of(HwConfig(block=64, multiplier=SPLIT))
PROPERTIES = (
    Property(
        name="pe_split_products", block="pe", build=Products, params=DEFAULT, depth=1, cover=5,
        says="two small multipliers make what the packed one makes of every pair, every 8-bit code and every weight",
        bug=Fault(name="low_nibble_with_sign", block="mac", why="the low nibble of an 8-bit code is negative above 7",
                  patch=("rtl_gen.mac.split.operand", lambda act, mode4: Cat(act[:4], act[3], act[4:]))),
        bug_depth=5, seconds=16),
    Property(
        name="pe_split_block_products", block="pe", build=Products, params=BLOCKS, depth=1, cover=5,
        says="the same of every code less every integer zero",
        bug=Fault(name="pair_where_a_code_is", block="mac", why="an 8-bit code's fifth bit counts as its nibble's sign",
                  patch=("rtl_gen.mac.split.block_operand", lambda codes, mode4: codes)), bug_depth=5, seconds=40),
    Property(
        name="pe_split_sums", block="pe", build=Sums, params=DEFAULT, small=replace(TIGHT, multiplier=SPLIT), depth=2,
        cover=12, says="no accumulator of a split PE overflows in max_k steps, for every operand", bug=_NEVER,
        bug_depth=12, seconds=10),
    Property(
        name="pe_split_block_sums", block="pe", build=Sums, params=BLOCKS,
        small=replace(TIGHT_BLOCKS, multiplier=SPLIT), depth=2, cover=12,
        says="nor in the steps of a block", bug=_NEVER, bug_depth=12, seconds=10),
)
