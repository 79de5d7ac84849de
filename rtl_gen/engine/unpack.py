"""Packed weights on their way to the weight buffer: beats of nibbles and of (u, z) become k-steps of INT8
(docs/contract.md §3.5, §4).

Only in builds with `packed_weights`. A beat of nibbles makes two k-steps, the first in the cycle in which it is taken.
While the second one is written, the beat of (u, z) of the group that follows is taken: it costs no cycle.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.engine.layouts import weight_layout
from rtl_gen.lib.delay import late
from rtl_gen.verilog.emit import Shared
from stamp_hw.engine.params import EngineParams
from stamp_hw.params import CODE_WIDTH
from stamp_hw.weight_groups import HIGHEST, LOWEST, MOST_U, PLAIN_ZERO, SIZES

NIBBLE = CODE_WIDTH // 2
#: A byte of a beat of (u, z): the step is `less` + 1.
PAIR = data.StructLayout({"zero": NIBBLE, "less": NIBBLE})
PRODUCT_WIDTH = 9  # u·(q − z) is within ±240


def most_less(zero: Value) -> Value:
    """The largest u − 1 with which every u·(q − z) is an INT8."""
    return Const(sum(u - 1 << NIBBLE * z for z, u in enumerate(MOST_U)), NIBBLE * len(MOST_U)).word_select(zero, NIBBLE)


def saturated(product: Value) -> Value:
    """The nearest INT8."""
    return Mux(product > HIGHEST, HIGHEST, Mux(product < LOWEST, LOWEST, product))


def group_is_full(beat: Value, group: Value) -> Value:
    """Whether this beat of nibbles is the last of its group; `group` is its size's place in `SIZES`, from 1 on."""
    ones = [beat[: (size // 2 - 1).bit_length()].all() for size in SIZES]
    return Mux(group == 1, ones[0], Mux(group == 2, ones[1], ones[2]))


class Expand(wiring.Component):
    """w = u·(q − z) of one column, saturated to INT8.

    Members
    -------
    q : In(4); pair : In(PAIR)
    wgt : Out(signed(8)), combinational
    illegal : Out, some q would leave INT8
    """

    def __init__(self) -> None:
        super().__init__({"q": In(NIBBLE), "pair": In(PAIR), "wgt": Out(signed(CODE_WIDTH)), "illegal": Out(1)})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        product = Signal(signed(PRODUCT_WIDTH))
        m.d.comb += [
            product.eq((self.pair.less + 1) * (self.q - self.pair.zero)),
            self.wgt.eq(saturated(product)),
            self.illegal.eq(self.pair.less > most_less(self.pair.zero)),
        ]
        return m


class Unpack(wiring.Component):
    """Beats of the stream `w` into k-steps.

    Parameters
    ----------
    params : EngineParams

    Members
    -------
    i : In(stream of weight_layout), bytes as they travel; o : Out(stream of weight_layout), a k-step of weights
    loading : In, a pass is loaded; it begins with a cycle without, and in it `o` waits for nobody until its last step
    last : In, the step at `o` is the pass's last
    unpacks, group : In, the job's registers `packed` and `weight_group`
    illegal : Out, a pair of (u, z) came with which weights saturate

    Latency: none; the second step of a beat a cycle later. Throughput: a k-step a cycle; a beat of (u, z) is taken in
    the cycle of a second step, and that of a pass's first group in one of its own.
    """

    def __init__(self, params: EngineParams) -> None:
        self.params = params
        layout = weight_layout(params)
        super().__init__({"i": In(stream.Signature(layout)), "o": Out(stream.Signature(layout)), "loading": In(1),
                          "last": In(1), "unpacks": In(1), "group": In(range(len(SIZES) + 1)), "illegal": Out(1)})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        cols = self.params.cols
        second = Signal()  # the second step of the beat taken in the cycle before is written
        pair = Signal()  # the next beat is one of (u, z)
        beat = Signal(range(SIZES[-1] // 2))  # of nibbles, in its group
        takes_pair = Signal()
        takes_steps = Signal()
        grouped = Signal()
        taken = self.i.valid & self.i.ready
        m.d.comb += [
            grouped.eq(self.unpacks & (self.group != 0)),
            self.o.valid.eq(second | (self.i.valid & ~pair)),
            self.i.ready.eq(self.o.ready & (~second | (pair & ~self.last))),
            takes_pair.eq(taken & pair),
            takes_steps.eq(taken & ~pair),
        ]
        # Of a last beat that is half used as well: nobody takes that step, since the pass is complete.
        m.d.sync += second.eq(takes_steps & self.unpacks)
        with m.If(~self.loading):
            m.d.sync += [pair.eq(grouped), beat.eq(0)]
        with m.Elif(takes_pair):
            m.d.sync += pair.eq(0)
        with m.Elif(takes_steps):
            m.d.sync += [pair.eq(grouped & group_is_full(beat, self.group)), beat.eq(beat + 1)]
        illegal = self._expand(m, second, takes_pair, takes_steps, grouped)
        m.d.comb += self.illegal.eq(late(m, "fresh", takes_pair, control=True) & Cat(illegal[:cols]).any())
        return m

    def _expand(self, m: Module, second: Signal, takes_pair: Signal, takes_steps: Signal, grouped: Signal
                ) -> list[Value]:
        """The step's weights; returns which pairs are illegal."""
        plain = {"zero": PLAIN_ZERO, "less": 0}
        pairs = Signal(data.ArrayLayout(PAIR, self.params.cols), reset_less=True)
        upper = Signal(data.ArrayLayout(NIBBLE, self.params.cols), reset_less=True)
        illegal = []
        for column, came in enumerate(self.i.payload.wgt):
            with m.If(takes_pair):
                m.d.sync += pairs[column].eq(came)
            with m.Elif(~self.loading & ~grouped):
                m.d.sync += pairs[column].eq(Const(plain, PAIR))
            with m.If(takes_steps):
                m.d.sync += upper[column].eq(came[NIBBLE:])
            lane = m.submodules[f"lane{column}"] = Shared(Expand, "stamp_expand")
            m.d.comb += [
                lane.q.eq(Mux(second, upper[column], came[:NIBBLE])),
                lane.pair.eq(pairs[column]),
                self.o.payload.wgt[column].eq(Mux(self.unpacks, lane.wgt, came)),
            ]
            illegal.append(lane.illegal)
        return illegal
