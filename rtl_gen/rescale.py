"""Rescale unit: accumulators to output coefficients (docs/contract.md §3.6).

    Q  = acc + mid·wsum                       Σ q·w, the sum over the unsigned codes
    T  = span·Q + qmax·lo·wsum                qmax = 255, 15 (symmetric: 254, 14), mid = (qmax + 1) >> 1
    T' = 17·T for a 4-bit token in min-max mode, else T
    z  = sat((T'·2^e·mant + 2^(shift−1)) >> shift),  e = sink_shift

Why the widths suffice
----------------------
- Symmetric mode has lo = −absmax, span = 2·absmax and mid = qmax / 2, so span·mid + qmax·lo = 0 and T = span·acc
  without a path of its own.
- T = Σ w·(span·q + qmax·lo), and lo ≤ lo + span·q / qmax ≤ hi, so |T'| ≤ 255·2^(width−1)·128·max_k: `total_width` ≤ 47
  bits. The two parts of T may exceed that; they are kept modulo 2^total_width, which leaves their sum exact.
- mant < 2^16, so T'·mant has `product_width` ≤ 63 bits. The rounding constant is never added at that width: a right
  shift by r = shift − e > 0 with 2^(r−1) added before equals the floor shift plus bit r − 1 of the product.
- e ≤ shift turns 2^e into a smaller right shift, exactly. e > shift is a left shift by e − shift ≤ 14 without rounding.
  It works on the already saturated value: a value outside z_width bits stays outside when it is doubled.
- The floor is clamped to z_width + 1 bits before the rounding bit is added: a value that the clamp changes is at least
  2^(z_width−1) away from the legal range, so it saturates either way.

Behind blocks (docs/contract.md §4, "Blocks") Σ span·acc comes in place of acc: what is left of T is its part without
acc, and nothing at all, with wsum = 0, where blocks have an integer zero.

Multipliers: `span` enters as its offset from 2^(width−1), a signed number of `width` ≤ 18 bits, so that span·Q is two
18 × 18 multipliers and not four; the rest of the product is Q << (width − 1). lo·wsum takes two and T'·mant three
(`rtl_gen/lib/product.py`).
"""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value, ValueLike, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.lib.delay import Ranks
from rtl_gen.lib.handshake import can_move
from rtl_gen.lib.product import multiply
from rtl_gen.verilog.emit import Shared
from stamp_hw.params import RescaleParams

MANT_WIDTH = 16
SHIFT_WIDTH = 6
SINK_WIDTH = 4


def sum_shape(params: RescaleParams) -> Shape:
    """What is rescaled: a sum of the array, or with blocks the sum of span·acc over all of them."""
    return signed(params.total_width if params.blocks else params.acc_width)


def input_layout(params: RescaleParams) -> data.StructLayout:
    """One beat: `lanes` output channels of one token. `hi` is 1 for an 8-bit token; lo and span are of the token. With
    blocks `acc` is Σ span·acc over the token's blocks."""
    return data.StructLayout({
        "acc": data.ArrayLayout(sum_shape(params), params.lanes),
        "wsum": data.ArrayLayout(signed(params.wsum_width), params.lanes),
        "mant": data.ArrayLayout(MANT_WIDTH, params.lanes),
        "shift": data.ArrayLayout(SHIFT_WIDTH, params.lanes),
        "lo": signed(params.width),
        "span": params.width,
        "hi": 1,
        "symmetric": 1,
        "sink_shift": SINK_WIDTH,
        "last": 1,
    })


def output_layout(params: RescaleParams) -> data.StructLayout:
    """One beat: `lanes` output coefficients and the input's `last`."""
    return data.StructLayout({"z": data.ArrayLayout(signed(params.z_width), params.lanes), "last": 1})


def event_layout(params: RescaleParams) -> data.StructLayout:
    """Increments of a cycle, counted when an output beat is taken.

    `multiplies`: products formed for it, three a lane; `outputs`: its words; `saturated`: words that were clipped.
    """
    return data.StructLayout({
        "multiplies": (3 * params.lanes).bit_length(),
        "outputs": params.lanes.bit_length(),
        "saturated": params.lanes.bit_length(),
    })


def code_sum(acc: Value, wsum: Value, hi: Value, symmetric: Value) -> Value:
    """Q = acc + mid·wsum with mid = 128, 8, or one less in symmetric mode."""
    return acc + Mux(hi, wsum << 7, wsum << 3) - Mux(symmetric, wsum, 0)


def scaled_low(product: Value, hi: Value, symmetric: Value) -> Value:
    """qmax·product with qmax = 2^bits − 1, or one less in symmetric mode."""
    return Mux(hi, product << 8, product << 4) - Mux(symmetric, product << 1, product)


def common_unit(total: Value, hi: Value, symmetric: Value) -> Value:
    """T' = 17·T for a 4-bit token in min-max mode, because 255 = 17·15."""
    return total + Mux(hi | symmetric, 0, total << 4)


def remaining_shift(shift: Value, sink_shift: Value) -> Value:
    """shift − e: to the right where it is positive, to the left where it is negative."""
    return shift - sink_shift


def rounding_bit(shifted: Value) -> Value:
    """The bit below the point: adding it to the floor rounds half up."""
    return shifted[0]


def saturate(m: Module, name: str, value: ValueLike, width: int) -> tuple[Value, Value]:
    """(`value` clipped to `width` signed bits, 1 if that changed it); `name` is the unclipped value's signal."""
    exact = Signal(Value.cast(value).shape(), name=name)
    clipped = Signal(name=f"{name}_clips")
    head = exact[width - 1:]
    m.d.comb += [exact.eq(value), clipped.eq(head.any() & ~head.all())]
    limit = Cat((~exact[-1]).replicate(width - 1), exact[-1])
    return Mux(clipped, limit, exact[:width]).as_signed(), clipped


class RescaleLane(wiring.Component):
    """The data path of one lane: equation and widths in the module's docstring, registers in the order of the stages.

    Parameters
    ----------
    params : RescaleParams; all but `lanes` shape the lane

    Members
    -------
    advance : In, enable of every register
    acc, wsum, mant, shift : In, operands of the output channel
    lo, span, hi, symmetric, sink_shift : In, operands of the token
    z, saturated : Out, the output coefficient and whether it was clipped

    Latency: `params.latency` enabled cycles. Throughput: one operand set a cycle.
    """

    def __init__(self, params: RescaleParams) -> None:
        self.params = params
        super().__init__({
            "advance": In(1),
            "acc": In(sum_shape(params)), "wsum": In(signed(params.wsum_width)),
            "mant": In(MANT_WIDTH), "shift": In(SHIFT_WIDTH),
            "lo": In(signed(params.width)), "span": In(params.width), "hi": In(1), "symmetric": In(1),
            "sink_shift": In(SINK_WIDTH),
            "z": Out(signed(params.z_width)), "saturated": Out(1),
        })

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        params, mul_stages = self.params, self.params.mul_stages
        total_width = params.total_width

        ranks = Ranks(m, self.advance)
        register, delay = ranks.register, ranks.delay

        # The sum over the unsigned codes, and the shift that is left once the sink's exponent is taken off.
        acc = Const(0) if params.blocks else self.acc
        code = register("code_sum", code_sum(acc, self.wsum, self.hi, self.symmetric), signed(params.sum_width))
        offset = register("span_offset", (self.span ^ (1 << (params.width - 1))).as_signed())
        lo, wsum = register("lo_1", self.lo), register("wsum_1", self.wsum)
        less = Signal(signed(SHIFT_WIDTH + 1))
        m.d.comb += less.eq(remaining_shift(self.shift, self.sink_shift))
        right = register("right", Mux(less[-1], 0, less[:-1]))
        left = register("left", Mux(less[-1], (-less)[:SINK_WIDTH], 0))

        # T, then T', exact modulo 2^total_width.
        span_product = multiply(ranks, "span_product", code, offset, mul_stages, signed(total_width),
                                params.dsp)
        lo_product = multiply(ranks, "lo_product", wsum, lo, mul_stages, signed(total_width), params.dsp)
        code = delay("code_sum", code, mul_stages)
        hi, symmetric = delay("hi", self.hi, mul_stages + 1), delay("symmetric", self.symmetric, mul_stages + 1)
        span_term = register("span_term", span_product + (code << (params.width - 1)), signed(total_width))
        lo_term = register("lo_term", scaled_low(lo_product, hi, symmetric), signed(total_width))
        terms = span_term + lo_term
        if params.blocks:
            terms = terms + delay("total_in", self.acc, mul_stages + 2)
        total = register("total", terms, signed(total_width))
        hi, symmetric = delay("hi_term", hi, 2), delay("symmetric_term", symmetric, 2)
        unit = register("unit", common_unit(total, hi, symmetric), signed(total_width))

        # T'·mant with a zero below the point, shifted right in two steps: what is then below the point rounds.
        mant = delay("mant", self.mant, mul_stages + 4)
        product = multiply(ranks, "product", unit, Cat(mant, Const(0)).as_signed(), mul_stages,
                           signed(params.product_width), params.dsp)
        right = delay("right", right, 2 * mul_stages + 3)
        coarse = register("coarse", Cat(Const(0), product).as_signed() >> (right & 0x30))
        fine = register("fine", coarse >> register("right_fine", right[:4]))

        # Half up and saturated; a sink beyond its shift is raised and saturated again.
        floor = register("floor", saturate(m, "floored", fine[1:].as_signed(), params.z_width + 1)[0])
        half = register("half", rounding_bit(fine))
        rounded, clipped = saturate(m, "halved", floor + half, params.z_width)
        rounded, clipped = register("rounded", rounded), register("clipped", clipped)
        left = delay("left", left, 2 * mul_stages + 7)
        z, over = saturate(m, "held", register("raised", rounded << left), params.z_width)
        m.d.comb += [
            self.z.eq(register("z_out", z)),
            self.saturated.eq(register("saturated_out", delay("clipped_late", clipped, 1) | over)),
        ]
        return m


class Rescale(wiring.Component):
    """`lanes` accumulators a beat become output coefficients; equation and widths in the module's docstring.

    Parameters
    ----------
    params : RescaleParams

    Members
    -------
    i : In(stream of input_layout), `acc`, `wsum`, `mant` (2^15…2^16 − 1), `shift` (1…63) of each lane; `lo`, `span`,
        `hi`, `symmetric`, `sink_shift` of the token; `last` travels along
    o : Out(stream of output_layout), `z` of each lane, `last`
    events : Out(event_layout)

    Latency: 10 + 2·mul_stages cycles (`params.latency`). Throughput: one beat a cycle. Back-pressure: while an output
    beat waits, every register holds; bubbles are not closed.
    """

    def __init__(self, params: RescaleParams) -> None:
        self.params = params
        super().__init__({
            "i": In(stream.Signature(input_layout(params))),
            "o": Out(stream.Signature(output_layout(params))),
            "events": Out(event_layout(params)),
        })

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        params, beat, depth = self.params, self.i.payload, self.params.latency
        advance = Signal()
        taken = Signal()
        ranks = Ranks(m, advance)
        m.d.comb += [
            advance.eq(can_move(self.o.valid, self.o.ready)),
            taken.eq(self.o.valid & self.o.ready),
            self.i.ready.eq(advance),
            self.o.valid.eq(ranks.delay("valid", self.i.valid, depth, control=True)),
            self.o.payload.last.eq(ranks.delay("last", beat.last, depth)),
        ]

        saturated = Signal(params.lanes)
        for index in range(params.lanes):
            lane = m.submodules[f"lane{index}"] = Shared(lambda: RescaleLane(params), "stamp_rescale_lane")
            m.d.comb += [lane.advance.eq(advance), self.o.payload.z[index].eq(lane.z)]
            m.d.comb += saturated[index].eq(lane.saturated)
            m.d.comb += [getattr(lane, name).eq(beat[name][index]) for name in ("acc", "wsum", "mant", "shift")]
            m.d.comb += [getattr(lane, name).eq(beat[name]) for name in ("lo", "span", "hi", "symmetric", "sink_shift")]
        with m.If(taken):
            m.d.comb += [
                self.events.multiplies.eq(3 * params.lanes),
                self.events.outputs.eq(params.lanes),
                self.events.saturated.eq(sum(saturated[1:], start=saturated[0])),
            ]
        return m
