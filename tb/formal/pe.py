"""The products and the accumulators of a PE: exact, and never too large for their registers."""

from __future__ import annotations

from dataclasses import replace

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

from rtl_gen.mac import blocks
from rtl_gen.mac.array import packed
from rtl_gen.mac.pe import LOW_WIDTH, RESET, Pe, high_borrow, low_of_pair
from stamp_hw.config import HwConfig
from stamp_hw.params import CODE_WIDTH, MacParams
from tb.faults.mac import _without_borrow
from tb.formal import Property
from tb.formal.pe_stages import PeChecker
from tb.run.fault import Fault
from tb.run.fault import replace as edit

LARGEST = 128 * 128  # of a product of two 8-bit codes, in magnitude
LARGEST_OF_PAIR = 8 * 128  # of a product of a 4-bit code
LARGEST_WITH_ZERO = 255 * 128  # of a code less an integer zero
LARGEST_OF_PAIR_WITH_ZERO = 15 * 128


class _Packed(PeChecker):
    """A PE whose operands are packed as the array packs them, of any `act`, `mode4` and weight; with blocks of any
    code `act` and any `zero`."""

    flags = RESET

    def __init__(self, params: MacParams) -> None:
        self.params = params
        ghost = {"act": CODE_WIDTH, "zero": CODE_WIDTH} if params.blocks else {"act": CODE_WIDTH}
        super().__init__(Pe(params), ghost)

    def packed(self, act: Value, zero: Value, mode4: Value) -> Value:
        """The operand, as the array makes it."""
        return blocks.operand(blocks.entry(act, zero, mode4), mode4) if self.params.blocks else packed(act, mode4)

    def stage(self, m: Module, name: str, control: str, **values: Value) -> dict[str, Signal]:
        """Of a bubble no stage says that it is a pair."""
        held = super().stage(m, name, control, **values)
        self.must(m, held["valid"] | ~held["mode4"])
        return held

    def operand(self, m: Module, **more: Value) -> dict[str, Signal]:
        """The operand stage: flags, `act`, `zero`, `wgt` and `more`."""
        control, act = self.unit.control_i, self.act
        zero = self.zero if self.params.blocks else Const(0)
        self.given(m, self.unit.operand_i == self.packed(act, zero, control.mode4))
        self.given(m, control.valid | ~control.mode4)
        at = self.stage(m, "operand", "control", mode4=control.mode4, valid=control.valid, last=control.last, act=act,
                        zero=zero, wgt=self.unit.wgt_i, **more)
        copies = ("operand", "wgt"), *((("multiplier.operand_register", "multiplier.wgt_register"),) if self.params.dsp
                                       else ())
        for operand, wgt in copies:
            self.must(m, ~at["valid"] | ((self.internal(operand) == self.packed(at["act"], at["zero"], at["mode4"]))
                                         & (self.internal(wgt) == at["wgt"])))
        return at

    def product(self, number: int) -> Signal:
        """The register of a product stage, a slice's where the PE has one."""
        return self.internal(f"product{number}" if self.params.dsp is None else f"multiplier.product{number}")

    def codes(self, at: dict[str, Signal]) -> tuple[Value, Value, Value]:
        """(the 8-bit code, token 0's and token 1's of a pair), each less its zero."""
        act, zero = at["act"], at["zero"]
        if self.params.blocks:
            return act - zero, act[:4] - zero[:4], act[4:] - zero[4:]
        return act.as_signed(), act[:4].as_signed(), act[4:].as_signed()


class Products(_Packed):
    """One multiplier makes both products of a pair, and the one of an 8-bit code, as plain multipliers would."""

    def check(self, m: Module) -> None:
        at = self.operand(m)
        whole, low, high = self.codes(at)
        wgt = at["wgt"]
        products = {"p0": Mux(at["mode4"], low, whole) * wgt, "p1": Mux(at["mode4"], high * wgt, 0)}
        for name in ("act", "zero", "wgt"):
            del at[name]
        for number in range(1, self.params.mul_stages + 1):
            at = self.stage(m, f"product{number}", f"control{number}", **at, **products)
            products = {name: at.pop(name) for name in products}
            self.must(m, ~at["valid"] | (self.product(number) == products["p0"] + (products["p1"] << LOW_WIDTH)))
        self.reached(m, at["valid"] & at["mode4"] & (products["p0"] < 0) & (products["p1"] > 0))


class Sums(_Packed):
    """Tiles of up to `max_k` steps: `counted` of them are in the accumulators, each of which is at most `counted` times
    the largest product, and takes in the next product as if its register had no end. Only the end that a reset leaves
    in the controls finds them with anything else.
    """

    def check(self, m: Module) -> None:
        count = self.steps(m)
        at = self.operand(m, counted=count)
        self.counts(m, count, at)
        for name in ("act", "zero", "wgt"):
            del at[name]
        whole, of_pair = ((LARGEST_WITH_ZERO, LARGEST_OF_PAIR_WITH_ZERO) if self.params.blocks
                          else (LARGEST, LARGEST_OF_PAIR))
        for number in range(1, self.params.mul_stages + 1):
            before = at["counted"]
            at = self.stage(m, f"product{number}", f"control{number}", **at)
            self.counts(m, before, at)
            product = self.product(number)
            high = product[LOW_WIDTH:].as_signed() + high_borrow(product)
            largest = Mux(at["mode4"], of_pair, whole)
            within = Mux(at["mode4"], high, product)
            self.must(m, ~at["valid"] | (within <= largest) & (within >= -largest))
        low = Mux(at["mode4"], low_of_pair(product), product)
        emptied = at["last"] & ~at["valid"]
        for name, added, adds, largest in (("0", low, at["valid"], whole), ("1", high, at["mode4"], of_pair)):
            acc, now = self.internal(f"acc{name}"), self.internal(f"sum{name}")
            now = now[1:].as_signed() if name == "1" else now
            self.must(m, emptied | (acc <= at["counted"] * largest) & (acc >= -(at["counted"] * largest)))
            self.must(m, ~adds | (now == acc + added))
            self.reached(m, at["valid"] & at["last"] & (acc == largest * (self.params.max_k - 1)))


DEFAULT = MacParams.of(HwConfig())
BLOCKS = MacParams.of(HwConfig(block=64))
TIGHT = MacParams(rows=1, cols=1, lanes=1, acc_width=18, max_k=7, mul_stages=1)  # an eighth step could overflow
TIGHT_BLOCKS = MacParams(rows=1, cols=1, lanes=1, acc_width=18, max_k=4, mul_stages=1, blocks=True)  # nor a fifth
PROPERTIES = (
    Property(
        name="pe_products", block="pe", build=Products, params=DEFAULT, depth=1, cover=5,
        says="one multiplier makes the exact products of every pair of 4-bit codes, every 8-bit code and every weight",
        bug=Fault(name="keep_the_borrow_of_a0", block="mac", why="a pair's upper part is a1 although a0 is negative",
                  patch=("rtl_gen.mac.array.upper_of_pair", lambda act: Cat(act[4:], act[7]))),
        bug_depth=5, seconds=10),
    Property(
        name="pe_slice_products", block="pe", build=Products, params=replace(DEFAULT, dsp="ecp5"), depth=1, cover=5,
        says="the same with the registers of a DSP slice",
        bug=Fault(name="unsigned_slice", block="mac", why="the slice takes the operand as unsigned",
                  edit=edit("$signed(operand_register)", "$signed({1'b0, operand_register})")), bug_depth=5,
        seconds=13),
    Property(
        name="pe_sums", block="pe", build=Sums, params=DEFAULT, small=TIGHT, depth=2, cover=12,
        says="no accumulator overflows in max_k steps, for every operand",
        bug=Fault(name="never_restart", block="mac", why="a tile begins with the sums of the one before",
                  patch=("rtl_gen.mac.pe.clears", lambda last: Const(0))), bug_depth=12, seconds=10),
    Property(
        name="pe_sums_tight", block="pe", build=Sums, params=TIGHT, depth=2, cover=12,
        says="the same where one step more than max_k could overflow",
        bug=Fault(name="low_product_without_sign", block="mac", why="the bits of a1·w reach token 0's sum",
                  patch=("rtl_gen.mac.pe.low_of_pair", lambda product: product[:16].as_signed())), bug_depth=12,
        seconds=10),
    Property(
        name="pe_block_products", block="pe", build=Products, params=BLOCKS, depth=1, cover=5,
        says="the same of every code less every integer zero: −15…15 in a pair, else −255…255",
        bug=Fault(name="keep_the_borrow_of_a0", block="mac", why="a pair's upper part is a1 although a0 is negative",
                  patch=("rtl_gen.mac.blocks.operand", _without_borrow)), bug_depth=5, seconds=35),
    Property(
        name="pe_block_sums", block="pe", build=Sums, params=BLOCKS, small=TIGHT_BLOCKS, depth=2, cover=12,
        says="no accumulator overflows in the steps of a block, for every operand",
        bug=Fault(name="never_restart", block="mac", why="a tile begins with the sums of the one before",
                  patch=("rtl_gen.mac.pe.clears", lambda last: Const(0))), bug_depth=12, seconds=10),
    Property(
        name="pe_block_sums_tight", block="pe", build=Sums, params=TIGHT_BLOCKS, depth=2, cover=12,
        says="the same where one step more than a block has could overflow",
        bug=Fault(name="low_product_without_sign", block="mac", why="the bits of a1·w reach token 0's sum",
                  patch=("rtl_gen.mac.pe.low_of_pair", lambda product: product[:16].as_signed())), bug_depth=12,
        seconds=10),
)
