"""Bias, rounding and saturation behind the inverse lifting (docs/contract.md §3.7).

    y = sat16((v + (bias << z_frac) + 2^(z_frac−1)) >> z_frac) = sat16(((v + 2^(z_frac−1)) >> z_frac) + bias)
"""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.lib.delay import Ranks
from rtl_gen.lib.handshake import can_move
from stamp_hw.params import FinishParams


def half_up(value: Value, frac: int) -> Value:
    """floor(value / 2^frac + 1/2): the floor shift plus the bit below the point."""
    return value if frac == 0 else (value >> frac) + value[frac - 1]


def saturate(value: Value, width: int) -> tuple[Value, Value]:
    """(`value` clipped to `width` signed bits, 1 if that changed it)."""
    head = value[width - 1:]
    clipped = head.any() & ~head.all()
    limit = Cat((~value[-1]).replicate(width - 1), value[-1])
    return Mux(clipped, limit, value[:width]).as_signed(), clipped


def input_layout(params: FinishParams) -> data.StructLayout:
    """One beat: `v` and the `bias` of each lane's output channel; `last` travels along."""
    return data.StructLayout({"v": data.ArrayLayout(signed(params.width), params.lanes),
                              "bias": data.ArrayLayout(signed(params.bias_width), params.lanes), "last": 1})


def output_layout(params: FinishParams) -> data.StructLayout:
    """One beat: `y` of each lane, and the input's `last`."""
    return data.StructLayout({"y": data.ArrayLayout(signed(params.out_width), params.lanes), "last": 1})


def event_layout(params: FinishParams) -> data.StructLayout:
    """Increments of a cycle, counted when an output beat is taken: `outputs`, words; `saturated`, those clipped."""
    return data.StructLayout({name: params.lanes.bit_length() for name in ("outputs", "saturated")})


class Finish(wiring.Component):
    """`lanes` values a beat become outputs; equation in the module's docstring.

    Parameters
    ----------
    params : FinishParams

    Members
    -------
    i : In(stream of input_layout)
    o : Out(stream of output_layout)
    events : Out(event_layout)

    Latency: 2 cycles (`params.latency`). Throughput: one beat a cycle. Back-pressure: while an output beat waits, every
    register holds; bubbles are not closed.
    """

    def __init__(self, params: FinishParams) -> None:
        self.params = params
        super().__init__({
            "i": In(stream.Signature(input_layout(params))),
            "o": Out(stream.Signature(output_layout(params))),
            "events": Out(event_layout(params)),
        })

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        params, i, o = self.params, self.i, self.o
        advance = Signal()
        clipped = Signal(params.lanes)
        ranks = Ranks(m, advance)
        m.d.comb += [
            advance.eq(can_move(o.valid, o.ready)),
            i.ready.eq(advance),
            o.valid.eq(ranks.delay("valid", i.valid, params.latency, control=True)),
            o.payload.last.eq(ranks.delay("last", i.payload.last, params.latency)),
        ]
        for lane in range(params.lanes):
            exact = ranks.register(f"sum{lane}", half_up(i.payload.v[lane], params.z_frac) + i.payload.bias[lane])
            y, over = saturate(exact, params.out_width)
            m.d.comb += [o.payload.y[lane].eq(ranks.register(f"y{lane}", y)),
                         clipped[lane].eq(ranks.register(f"clipped{lane}", over))]
        with m.If(o.valid & o.ready):
            m.d.comb += [self.events.outputs.eq(params.lanes), self.events.saturated.eq(sum(clipped[1:], clipped[0]))]
        return m
