"""Combine unit: what an array tile's blocks add up to, each with its scale (docs/contract.md §4, "Blocks").

    T[token, column] = Σ_g span[token, g] · acc[token, column, g]

A column has T of two array tiles, in a bank each: one takes the sums of the tile that the array works on, the other
one is read by the rescale unit. Sums come in the skew of the array, a column a cycle behind the one before it, and the
unit follows: nothing is brought into line before a T is read.

`span` enters the multiplier as its offset from 2^(width−1), a signed number of `width` ≤ 18 bits; the rest of the
product is acc << (width − 1). T never leaves `total_width` bits (`RescaleParams.total_width`), so it is kept modulo
that.
"""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.lib.bits import chosen, up_to
from rtl_gen.lib.delay import Ranks, delayed, late
from rtl_gen.lib.product import multiply
from rtl_gen.verilog.emit import Shared
from stamp_hw.params import CombineParams


def place_layout(params: CombineParams) -> data.StructLayout:
    """Where a sum belongs: `token` slot of the array tile whose T are in `bank`; of the tile's `first` block."""
    return data.StructLayout({"valid": 1, "first": 1, "bank": 1, "token": up_to(params.tokens - 1)})


def read_layout(params: CombineParams) -> data.StructLayout:
    """The T of `lanes` columns of a token: `chunk` of the columns."""
    return data.StructLayout({"bank": 1, "token": up_to(params.tokens - 1), "chunk": up_to(params.chunks - 1)})


def event_layout() -> data.StructLayout:
    """Increments of a cycle: a token's sums of a block are combined, in all columns."""
    return data.StructLayout({"sums": 1})


def added_to(first: Value, total: Value) -> Value:
    """What a block's product is added to: nothing in the first block of a tile."""
    return Mux(first, 0, total)


def offset_of(span: Value, width: int) -> Value:
    """span − 2^(width−1), a signed number of `width` bits."""
    return (span ^ (1 << (width - 1))).as_signed()


def whole_product(product: Value, acc: Value, width: int) -> Value:
    """span · acc, of the product with the span's offset."""
    return product + (acc << (width - 1))


def writes(place: data.View, number: int) -> Value:
    """Whether a sum's T is written in this bank."""
    return place.valid & (place.bank == number)


def of_bank(bank: Value, found: Sequence[Value]) -> Value:
    """What was read, of the bank that was asked for."""
    return Mux(bank, found[1], found[0])


class CombineColumn(wiring.Component):
    """T of one column: equation in the module's docstring.

    Parameters
    ----------
    params : CombineParams; all but `cols` and `lanes` shape the column

    Members
    -------
    place : In(place_layout); `acc` In, the sum; `span` In, a cycle later, the block's scale
    read_bank, read_token : In, a T that is read; `total` Out, a cycle later. Not of a bank whose T are read for another
        block in this cycle

    Latency: a T is written `params.latency` cycles after its sum came, and found by a read from the cycle after that
    on. Throughput: a sum a cycle; two of the same token are at least `COMBINE_TURN` cycles apart. No back-pressure.
    """

    def __init__(self, params: CombineParams) -> None:
        self.params = params
        super().__init__({
            "place": In(place_layout(params)), "acc": In(signed(params.acc_width)), "span": In(params.width),
            "read_bank": In(1), "read_token": In(up_to(params.tokens - 1)), "total": Out(signed(params.total_width)),
        })

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        params = self.params
        total_shape = signed(params.total_width)

        # Operands, product, and the part of it that the span's offset left out.
        acc = late(m, "acc_operand", self.acc)
        offset = Signal(signed(params.width))
        m.d.comb += offset.eq(offset_of(self.span, params.width))
        product = multiply(Ranks(m, 1), "product", acc, offset, params.mul_stages,
                           signed(params.acc_width + params.width))
        acc = delayed(m, "acc_line", acc, params.mul_stages)
        term = late(m, "term", whole_product(product, acc, params.width), total_shape)

        # The T that it is added to is read while the term is made.
        place = delayed(m, "places", self.place, 1 + params.mul_stages, control=True)
        at_term = late(m, "place_at_term", place, control=True)
        at_sum = late(m, "place_at_sum", at_term, control=True)
        found = []
        total = Signal(total_shape, reset_less=True)
        for number in range(2):
            bank = m.submodules[f"bank{number}"] = memory.Memory(shape=total_shape, depth=params.tokens, init=[])
            write, read = bank.write_port(), bank.read_port()
            adds = place.valid & ~place.first & (place.bank == number)
            m.d.comb += [read.addr.eq(Mux(adds, place.token, self.read_token)),
                         read.en.eq(adds | (self.read_bank == number)),
                         write.addr.eq(at_sum.token), write.data.eq(total),
                         write.en.eq(writes(at_sum, number))]
            found.append(read.data)
        m.d.sync += total.eq(term + added_to(at_term.first, of_bank(at_term.bank, found)))
        m.d.comb += self.total.eq(of_bank(late(m, "bank_read", self.read_bank), found))
        return m


class Combine(wiring.Component):
    """`cols` columns; equation in the module's docstring.

    Parameters
    ----------
    params : CombineParams

    Members
    -------
    place : In(place_layout) of the sum of column 0; column c takes its own c cycles later
    acc : In, the sum of each column, c cycles later than that of column 0
    span : In, the block's scale, a cycle after `place`
    read : In(read_layout); `total` Out, T of its `lanes` columns, a cycle later
    events : Out(event_layout)

    Latency: the T of a token are found by reads from `cols` + `params.latency` cycles after its `place` on.
    Throughput and promises: `CombineColumn`.
    """

    def __init__(self, params: CombineParams) -> None:
        self.params = params
        super().__init__({
            "place": In(place_layout(params)), "acc": In(data.ArrayLayout(signed(params.acc_width), params.cols)),
            "span": In(params.width), "read": In(read_layout(params)),
            "total": Out(data.ArrayLayout(signed(params.total_width), params.lanes)), "events": Out(event_layout()),
        })

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        params = self.params
        place, span, totals = self.place, self.span, []
        for number in range(params.cols):
            column = m.submodules[f"column{number}"] = Shared(lambda: CombineColumn(params), "stamp_combine_column")
            if number:  # the skew of the array
                place = late(m, f"place_c{number}", place, control=True)
                span = late(m, f"span_c{number}", span)
            m.d.comb += [column.place.eq(place), column.acc.eq(self.acc[number]), column.span.eq(span),
                         column.read_bank.eq(self.read.bank), column.read_token.eq(self.read.token)]
            totals.append(column.total)
        chunk = late(m, "chunk_read", self.read.chunk)
        for lane in range(params.lanes):
            m.d.comb += self.total[lane].eq(chosen(totals[lane :: params.lanes], chunk))
        m.d.comb += self.events.sums.eq(self.place.valid)
        return m
