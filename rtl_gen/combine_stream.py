"""The combine unit between streams, a top of its own: it counts tokens and banks, which in the engine the array's order
of work does (docs/contract.md §4, "Blocks").
"""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.combine import Combine, event_layout, read_layout
from rtl_gen.lib.bits import up_to
from rtl_gen.lib.counter import go_round
from rtl_gen.lib.delay import delayed, history, late
from stamp_hw.params import CombineParams

BANKS = 2


def input_layout(params: CombineParams) -> data.StructLayout:
    """A token's sums of a block and its `span`; `last` ends the array tile: its last block's last token."""
    return data.StructLayout({"acc": data.ArrayLayout(signed(params.acc_width), params.cols), "span": params.width,
                              "last": 1})


def output_layout(params: CombineParams) -> data.StructLayout:
    """T of `lanes` columns of a token; `last` ends the array tile."""
    return data.StructLayout({"total": data.ArrayLayout(signed(params.total_width), params.lanes), "last": 1})


def has_bank(opens: Value, used: Value) -> Value:
    """Whether a token finds a bank: the one that opens a tile needs a free one."""
    return ~(opens & (used == BANKS))


def can_move(valid: Value, ready: Value) -> Value:
    """Whether the next T may be read: nothing waits, or what waits is taken."""
    return ~valid | ready


def rest(params: CombineParams) -> int:
    """Cycles without a token behind a block."""
    return params.turn_gap


def written_cycles(params: CombineParams) -> int:
    """Cycles from a tile's last token until the last column writes its T."""
    return params.cols - 1 + params.latency


class CombineStream(wiring.Component):
    """T[token, column] = Σ_g span[token, g] · acc[token, column, g], array tile by array tile.

    Parameters
    ----------
    params : CombineParams

    Members
    -------
    i : `input_layout`, a token a beat: the `params.tokens` tokens of a block in order, block by block
    o : `output_layout`, the tokens in order, in each `params.chunks` beats
    events : event_layout of rtl_gen.combine

    Latency: the first T of a tile is on offer `params.cols` + `params.latency` + 1 cycles after the tile's last token.
    Throughput: a token a cycle; between two blocks of so few tokens that a T is not yet written there are
    `params.turn_gap` cycles. Back-pressure: while an output beat waits its T is read again; a tile begins when one of
    the two banks is free, its last T taken.
    """

    def __init__(self, params: CombineParams) -> None:
        self.params = params
        super().__init__({"i": In(stream.Signature(input_layout(params))),
                          "o": Out(stream.Signature(output_layout(params))), "events": Out(event_layout())})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        params = self.params
        m.submodules.unit = unit = Combine(params)
        used = Signal(range(BANKS + 1))
        opened, tile_ends = self._take(m, unit, used)
        freed = self._send(m, unit, tile_ends)
        m.d.sync += used.eq(used + opened - freed)
        m.d.comb += self.events.eq(unit.events)
        return m

    def _take(self, m: Module, unit: Combine, used: Value) -> tuple[Value, Value]:
        """Tokens into the unit; returns whether one opens a tile and whether one ends it."""
        params, beat = self.params, self.i.payload
        taken, opens, rested, bank, tile_ends = Signal(), Signal(), Signal(), Signal(name="bank"), Signal()
        first = Signal(init=1)
        token = Signal(up_to(params.tokens - 1), name="token")
        block_ends = go_round(m, token, params.tokens, taken)
        m.d.comb += [
            opens.eq(first & (token == 0)), self.i.ready.eq(rested & has_bank(opens, used)),
            taken.eq(self.i.valid & self.i.ready), tile_ends.eq(block_ends & beat.last),
            unit.place.valid.eq(taken), unit.place.first.eq(first), unit.place.bank.eq(bank),
            unit.place.token.eq(token), unit.span.eq(late(m, "span_late", beat.span)),
        ]
        m.d.comb += [unit.acc[c].eq(delayed(m, f"skew_c{c}", beat.acc[c], c)) for c in range(params.cols)]
        with m.If(block_ends):
            m.d.sync += [first.eq(beat.last), bank.eq(bank ^ beat.last)]
        rests = rest(params)
        behind = history(m, "rests", block_ends, rests, control=True).any() if rests else 0
        m.d.comb += rested.eq(behind == 0)
        return opens & taken, tile_ends

    def _send(self, m: Module, unit: Combine, tile_ends: Value) -> Value:
        """The T of the tile that has been complete for longest; returns whether its last one is taken."""
        params = self.params
        waiting = Signal(range(BANKS + 1))  # tiles whose T are all written, not all read
        moves, reads, freed = Signal(), Signal(), Signal()
        now = Signal(read_layout(params), name="read_now")
        chunk, token, bank = (Signal.like(now[name], name=f"read_{name}") for name in ("chunk", "token", "bank"))
        token_ends = go_round(m, chunk, params.chunks, reads)
        read_ends = go_round(m, token, params.tokens, token_ends)
        held = late(m, "read_held", now, enable=moves)
        written = delayed(m, "writing", tile_ends, written_cycles(params), control=True)
        m.d.comb += [
            moves.eq(can_move(self.o.valid, self.o.ready)), reads.eq(moves & (waiting != 0)),
            now.eq(Cat(bank, token, chunk)), unit.read.eq(Mux(moves, now, held)),
            self.o.p.total.eq(unit.total), self.o.p.last.eq(late(m, "last_read", read_ends, enable=moves)),
            freed.eq(self.o.valid & self.o.ready & self.o.p.last),
        ]
        m.d.sync += [waiting.eq(waiting + written - read_ends), bank.eq(bank ^ read_ends)]
        with m.If(moves):
            m.d.sync += self.o.valid.eq(reads)
        return freed
