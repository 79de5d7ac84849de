"""A descriptor's words become registers, each checked as `stamp_hw.dma.descriptor` says."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.dma.layouts import descriptor_layout
from stamp_hw.dma.descriptor import ADDRESSES, FIRST_JOB, LAST, MAGIC, WORDS, Word
from stamp_hw.dma.params import DmaParams


def is_wrong(word: Value, allowed: Value, needed: Value) -> Value:
    """Whether a word has a bit that it may not have, or none where it must."""
    return (word & ~allowed).any() | (needed & ~word.any())


class DescriptorWords(wiring.Component):
    """Takes a word a cycle.

    Parameters
    ----------
    params : DmaParams
    table : the words of `stamp_hw.dma.descriptor.words`

    Members
    -------
    i : In(stream of 32 bits), always taken
    fields : Out, of the descriptor whose words have come
    done : Out, in the cycle in which its last word comes; wrong : Out, then, it is none of this hardware's
    """

    def __init__(self, params: DmaParams, table: Sequence[Word]) -> None:
        self.params, self.table = params, tuple(table)
        super().__init__({"i": In(stream.Signature(32)), "fields": Out(descriptor_layout(params)), "done": Out(1),
                          "wrong": Out(1)})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        word, came = self.i.payload, self.i.valid
        number = Signal(range(WORDS))
        allowed = Signal(32)
        needed, wrong, before = (Signal(name=name) for name in ("needed", "is_wrong", "wrong_before"))
        with m.Switch(number):
            for index, entry in enumerate(self.table):
                if entry.mask or entry.needed:
                    with m.Case(index):
                        m.d.comb += [allowed.eq(entry.mask), needed.eq(int(entry.needed))]
        m.d.comb += [
            self.i.ready.eq(1),
            wrong.eq(before | is_wrong(word, allowed, needed) | (number == 0) & (word != MAGIC)),
            self.done.eq(came & (number == WORDS - 1)), self.wrong.eq(wrong),
        ]
        with m.If(came):
            m.d.sync += [number.eq(number + 1), before.eq(Mux(number == WORDS - 1, 0, wrong))]
            for index, entry in enumerate(self.table):
                if entry.mask and entry.name != "magic":
                    with m.If(number == index):
                        self._keep(m, index, entry, word)
        return m

    def _keep(self, m: Module, index: int, entry: Word, word: Value) -> None:
        """Only the bits that may be set."""
        fields = self.fields
        low, high = (entry.mask & -entry.mask).bit_length() - 1, entry.mask.bit_length()
        bits = Cat(Const(0, low), word[low:high])
        if entry.name == "flags":
            assert LAST == 1
            m.d.sync += Cat(fields.last, fields.interrupt).eq(word)
        elif index >= FIRST_JOB:
            m.d.sync += fields.job[entry.name].eq(bits)
        elif entry.name.removesuffix("_high") in ADDRESSES:
            upper = entry.name.endswith("_high")
            field = fields[entry.name.removesuffix("_high")]
            m.d.sync += field[32 if upper else 0 :][:high].eq(bits)
        else:
            m.d.sync += fields[entry.name].eq(bits)
