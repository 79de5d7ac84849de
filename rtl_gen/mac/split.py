"""A PE of two small multipliers, for standard cells: one for the low nibble of an 8-bit code or token 0's code of a
pair, the other for the high nibble or token 1's. Each has a sum of its own in both modes, and an 8-bit token's two are
put together where they leave the array (docs/adr/0026-split-multiplier.md).
"""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.mac.pe import clears
from stamp_hw.params import CODE_WIDTH, MacParams

NIBBLE = CODE_WIDTH // 2
LOW_WIDTH = NIBBLE + 1  # bits of the low factor: a nibble 0…15, or a code of a pair, −15…15
LOW_PRODUCT_WIDTH = LOW_WIDTH + CODE_WIDTH - 1  # ±15 · 128

#: What a step says beside its operand: `valid`, it counts; `last`, it ends its tile.
CONTROL = data.StructLayout({"valid": 1, "last": 1})
#: What a reset leaves in their place: the end of a tile without a step, which empties the accumulators.
RESET = {"valid": 0, "last": 1}


def operand_shape(params: MacParams) -> Shape:
    """The low factor and above it the high one, which has a bit more with blocks."""
    return unsigned(LOW_WIDTH + NIBBLE + params.blocks)


def operand(act: Value, mode4: Value) -> Value:
    """The factors of an 8-bit code a1·16 + a0, 0 ≤ a0 ≤ 15, or of a pair a1:a0: they differ in the sign of a0 alone."""
    return Cat(act[:NIBBLE], act[NIBBLE - 1] & mode4, act[NIBBLE:])


def block_operand(codes: Value, mode4: Value) -> Value:
    """The same of codes less their zero: of 9 bits, or a pair of 5."""
    return Mux(mode4, codes, Cat(codes[:NIBBLE], Const(0, 1), codes[NIBBLE:-1]))


def product(code: Value, wgt: Value) -> Value:
    """code · wgt, both signed: rows of single bits, in which those of a negative weight are inverted, so that no row
    has a sign to extend; a constant puts that right (Baugh and Wooley, IEEE Trans. Computers C-22, 1973)."""
    high, top, bits = len(code) - 1, len(wgt) - 1, wgt.as_unsigned()
    total: Value = Const((1 << high) + (1 << top) + (1 << high + top + 1))
    for place in range(high + 1):
        inverted = (1 << top) - 1 if place == high else 1 << top
        total = total + (((bits & code[place].replicate(top + 1)) ^ inverted) << place)
    return total[:high + top + 2].as_signed()


def whole(low: Value, high: Value) -> Value:
    """The sum of an 8-bit token, of those of its codes' nibbles."""
    return low + (high << NIBBLE)


def token_sum(sum0: Value, sum1: Value, slot: Value, mode4: Value) -> Value:
    """The sum of a row's token: of a pair the one in `slot`, or the 8-bit one's, in either slot."""
    return Mux(mode4, Mux(slot, sum1, sum0), whole(sum0, sum1))


def beat_layout(params: MacParams, layout: data.StructLayout) -> data.StructLayout:
    """A beat of the drain in the output queue, of the output's `layout`: a token has both sums until it leaves, so that
    no way through the array chooses a column and adds as well."""
    sums = {f"sum{n}": data.ArrayLayout(signed(width), params.lanes) for n, width in enumerate(params.sum_widths)}
    return data.StructLayout({**sums, **{name: field for name, field in layout.members.items() if name != "acc"},
                              "mode4": 1})


def control_register(name: str) -> Signal:
    """Register of a step's controls."""
    return Signal(CONTROL, name=name, init=RESET)


class SplitPe(wiring.Component):
    """acc0 += a0·w and acc1 += a1·w; the step marked `last` puts both sums into the hold registers.

    Parameters
    ----------
    params : MacParams; `blocks` and `sum_widths` shape the element

    Members
    -------
    operand_i, operand_o : `operand_shape`, from the left neighbour; to the right one, a cycle later
    control_i, control_o : CONTROL, likewise
    wgt_i, wgt_o : signed(8) from the upper neighbour; to the lower one, a cycle later
    shift : take the sums from below; never in the cycle in which a tile's sums arrive
    below0, below1 : hold registers of the lower neighbour
    hold0, hold1 : hold registers, of acc0 and acc1

    Latency: an operand's products are in `hold0` and `hold1` 3 cycles after the operand was offered. Throughput: a step
    a cycle. In a cycle without a step no register of data moves, which is a gated clock where synthesis makes one of an
    enable. The cycle after a reset empties the accumulators.
    """

    def __init__(self, params: MacParams) -> None:
        self.params = params
        shape, wgt = operand_shape(params), signed(CODE_WIDTH)
        sum0, sum1 = (signed(width) for width in params.sum_widths)
        super().__init__({"operand_i": In(shape), "operand_o": Out(shape), "control_i": In(CONTROL),
                          "control_o": Out(CONTROL), "wgt_i": In(wgt), "wgt_o": Out(wgt), "shift": In(1),
                          "below0": In(sum0), "below1": In(sum1), "hold0": Out(sum0), "hold1": Out(sum1)})

    def elaborate(self, _platform: object) -> Module:
        m = Module()

        # Operand registers, which are also the systolic hop. Only controls are reset: data means nothing without them.
        operand = Signal.like(self.operand_i, name="operand", reset_less=True)
        wgt = Signal.like(self.wgt_i, name="wgt", reset_less=True)
        control = control_register("control")
        with m.If(self.control_i.valid):
            m.d.sync += [operand.eq(self.operand_i), wgt.eq(self.wgt_i)]
        m.d.sync += control.eq(self.control_i)
        m.d.comb += [self.operand_o.eq(operand), self.wgt_o.eq(wgt), self.control_o.eq(control)]

        # Product registers, behind which no glitch of a multiplier reaches an adder.
        high_width = len(operand) - LOW_WIDTH
        product0 = Signal(signed(LOW_PRODUCT_WIDTH), reset_less=True)
        product1 = Signal(signed(high_width + CODE_WIDTH), reset_less=True)
        control1 = control_register("control1")
        with m.If(control.valid):
            m.d.sync += [product0.eq(product(operand[:LOW_WIDTH], wgt)), product1.eq(product(operand[LOW_WIDTH:], wgt))]
        m.d.sync += control1.eq(control)

        # Accumulators and hold registers; these are a link of the column's drain chain.
        for number, (factor, below, held) in enumerate((
                (product0, self.below0, self.hold0), (product1, self.below1, self.hold1))):
            acc = Signal.like(held, name=f"acc{number}", reset_less=True)
            now = Signal.like(held, name=f"sum{number}")
            hold = Signal.like(held, name=f"hold{number}", reset_less=True)
            m.d.comb += [now.eq(acc + factor), held.eq(hold)]
            with m.If(control1.last | control1.valid):
                m.d.sync += acc.eq(Mux(clears(control1.last), 0, now))
            with m.If(control1.last | self.shift):
                m.d.sync += hold.eq(Mux(control1.last, now, below))
        return m
