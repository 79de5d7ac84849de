"""Scales of the blocks of two super-tiles (docs/contract.md §4, "Blocks")."""

from __future__ import annotations

from amaranth.hdl import Module, Mux
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.engine.rows import scale_address
from rtl_gen.lib.bits import up_to
from rtl_gen.lib.delay import late
from stamp_hw.engine.params import EngineParams


def span_address(params: EngineParams) -> data.StructLayout:
    """Address of a block's scale in its half: the token's, and the `group` of its channels."""
    return data.StructLayout({**scale_address(params).members, "group": up_to(params.max_blocks - 1)})


class SpanBuffer(wiring.Component):
    """A word for each block of a token.

    Members
    -------
    en, write_at, word : In, half that is written, address and word
    half, read_at : In, half that is read, and address
    span : Out, the word, a cycle later
    """

    def __init__(self, params: EngineParams) -> None:
        self.params = params
        address, width = span_address(params), params.scale.width
        super().__init__({"en": In(2), "write_at": In(address), "word": In(width), "half": In(1),
                          "read_at": In(address), "span": Out(width)})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        second = late(m, "half_read", self.half)
        words = []
        for number in range(2):
            bank = m.submodules[f"half{number}"] = memory.Memory(
                shape=self.params.scale.width, depth=1 << len(self.read_at.as_value()), init=[])
            write, read = bank.write_port(), bank.read_port()
            m.d.comb += [write.addr.eq(self.write_at.as_value()), write.data.eq(self.word),
                         write.en.eq(self.en[number]), read.addr.eq(self.read_at.as_value()),
                         read.en.eq(self.half == number)]
            words.append(read.data)
        m.d.comb += self.span.eq(Mux(second, words[1], words[0]))
        return m
