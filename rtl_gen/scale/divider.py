"""Reciprocal of a group's range: leading zeros, normalisation, then one restoring quotient bit a cycle."""

from __future__ import annotations

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.lib.handshake import can_move
from stamp_hw.params import ScaleParams


def info_layout(params: ScaleParams) -> data.StructLayout:
    """How a group is coded, its beats less one and whether it is a `single` one, valid lanes of the token's last beat,
    whether that is its last; with blocks also whether it has an integer zero."""
    zeros = {"zeros": 1} if params.block_beats else {}
    return data.StructLayout({"hi": 1, "symmetric": 1, "beats": range(params.max_beats), "single": 1,
                              "tail": range(params.lanes + 1), "last": 1, **zeros})


def group_layout(params: ScaleParams) -> data.StructLayout:
    """A group whose range is known."""
    return data.StructLayout({"lo": signed(params.width), "span": unsigned(params.width), "info": info_layout(params)})


def leading_zeros(span: Value) -> Value:
    """Leading zeros of an unsigned value in its own width; 0 for 0, whose reciprocal only ever meets zeros."""
    width = len(span)
    count: Value = C(0, range(width))
    for i in range(width):
        count = Mux(span[i], C(width - 1 - i, range(width)), count)
    return count


def qmax(hi: Value, symmetric: Value) -> Value:
    """255 or 15; 254 or 14 in symmetric mode."""
    return Cat(~symmetric, C(0b111, 3), hi.replicate(4))


def dividend(top: Value, divisor: Value, frac: int) -> Value:
    """(qmax << F) + (m >> 1), `frac` + 8 bits: m >> 1 is below 2^F, so the sum is a concatenation."""
    return Cat(divisor[1:], C(0, frac - len(divisor) + 1), top)


def result_layout(params: ScaleParams) -> data.StructLayout:
    """A group with its reciprocal, and the leading zeros of its span; `final`, the beat that is read next is its last
    one."""
    return data.StructLayout({"group": group_layout(params), "lz": range(params.width),
                              "recip": unsigned(params.recip_width), "final": 1})


class Divider(wiring.Component):
    """recip = ((qmax << F) + (m >> 1)) // m,  m = span << lz,  lz = leading zeros of span in `width` bits.

    The dividend's upper bits are below m, so that `recip_width` restoring steps give the whole quotient. For span = 0
    the result is unspecified.

    Parameters
    ----------
    params : ScaleParams

    Members
    -------
    group, valid : In, a group's range; never refused: the sender keeps at most three groups between its input and
        `taken`
    o : Out stream, the group with `recip` and `lz`; `reads`, `final_next` : In, a beat of it is read, and whether the
        one behind that is its last
    taken : Out, a quotient moved to the output register
    step : Out, a quotient bit was made

    Latency: 2 + `recip_width` cycles. Throughput: a group in `recip_width` cycles. Back-pressure: the last step waits
    until the output register is free.
    """

    def __init__(self, params: ScaleParams) -> None:
        self.params = params
        super().__init__({"group": In(group_layout(params)), "valid": In(1),
                          "o": Out(stream.Signature(result_layout(params))), "reads": In(1), "final_next": In(1),
                          "taken": Out(1), "step": Out(1)})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        p = self.params
        layout = group_layout(p)

        # range: holds a group until the next register is free
        range_valid = Signal()
        range_group = Signal(layout, reset_less=True)
        # zeros: leading zeros are known, the shift follows on the way into the division
        zeros_valid = Signal()
        zeros_group = Signal(layout, reset_less=True)
        zeros_lz = Signal(range(p.width), reset_less=True)
        # divide
        divide_valid = Signal()
        divide_group = Signal(layout, reset_less=True)
        divide_lz = Signal(range(p.width), reset_less=True)
        divide_left = Signal(range(p.recip_width), reset_less=True)
        divisor = Signal(p.width, reset_less=True)
        remainder = Signal(p.width, reset_less=True)
        quotient = Signal(p.recip_width, reset_less=True)

        # result: the output register
        result = Signal(self.o.payload.shape(), reset_less=True)

        zeros_free = Signal()
        divide_free = Signal()
        result_free = Signal()
        final = Signal()  # `divide_left` is 0
        m.d.comb += [
            self.o.payload.eq(result),
            result_free.eq(can_move(self.o.valid, self.o.ready)),
            self.step.eq(divide_valid & (~final | result_free)),
            self.taken.eq(divide_valid & final & result_free),
            divide_free.eq(~divide_valid | (final & result_free)),
            # Behind a division that ends a group follows into `zeros` a cycle later, long before it is divided: so no
            # register hangs on what the two in front of it do.
            zeros_free.eq(~zeros_valid | ~divide_valid),
        ]

        with m.If(self.valid | zeros_free):
            m.d.sync += range_valid.eq(self.valid)
        with m.If(self.valid):
            m.d.sync += range_group.eq(self.group)

        with m.If(zeros_free):
            m.d.sync += [zeros_valid.eq(range_valid), zeros_group.eq(range_group),
                         zeros_lz.eq(leading_zeros(range_group.span))]
        with m.Elif(divide_free):
            m.d.sync += zeros_valid.eq(0)

        normal = Signal(p.width)
        loaded = Signal(p.frac + 8)
        m.d.comb += [normal.eq(zeros_group.span << zeros_lz),
                     loaded.eq(dividend(qmax(zeros_group.info.hi, zeros_group.info.symmetric), normal, p.frac))]
        shifted = Signal(p.width + 1)
        difference = Signal(p.width)
        bit = Signal()
        m.d.comb += [shifted.eq(Cat(quotient[-1], remainder)), difference.eq(shifted - divisor),
                     bit.eq(shifted >= divisor)]
        with m.If(divide_free):
            m.d.sync += [divide_valid.eq(zeros_valid), divide_group.eq(zeros_group), divide_lz.eq(zeros_lz),
                         divide_left.eq(p.recip_width - 1), final.eq(0),
                         divisor.eq(normal), Cat(quotient, remainder).eq(loaded)]
        with m.Elif(self.step):
            m.d.sync += [divide_left.eq(divide_left - 1), final.eq(divide_left == 1), quotient.eq(Cat(bit, quotient)),
                         remainder.eq(Mux(bit, difference, shifted))]

        with m.If(result_free):
            m.d.sync += [self.o.valid.eq(self.taken), result.group.eq(divide_group), result.lz.eq(divide_lz),
                         result.recip.eq(Cat(bit, quotient)), result.final.eq(divide_group.info.single)]
        with m.Elif(self.reads):
            m.d.sync += result.final.eq(self.final_next)
        return m
