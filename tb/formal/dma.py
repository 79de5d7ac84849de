"""The rule that keeps the bus from waiting: what a stream asks for has its place."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal

from rtl_gen.dma.reader import Reader, lesser, until_boundary
from stamp_hw.dma.params import DmaParams
from stamp_hw.engine.params import EngineParams
from tb.formal import Property
from tb.formal.checker import Checker
from tb.run.fault import Fault

UNUSED = EngineParams(rows=1, cols=1, lanes=1, axes=1, max_levels=0, max_k=1, max_tokens=1, act_slots=1,
                      rescale_lanes=1, in_width=8, acc_width=16, recip_frac=0, z_frac=0, mul_stages=1)  # it knows none


class Room(Checker):
    """`rtl_gen.dma.reader`, on a bus that brings what was asked for, whenever it likes, and no more."""

    def __init__(self, params: DmaParams) -> None:
        self.params = params
        super().__init__(Reader(params))

    def check(self, m: Module) -> None:
        unit, burst, places = self.unit, self.unit.request.payload, self.params.fifo_words
        room, end, begin = (self.internal(name) for name in ("room", "words.end", "words.begin"))
        owed, waiting = Signal(range(places + 1)), Signal(range(2 * places))
        m.d.comb += waiting.eq(end - begin)
        m.d.sync += owed.eq(owed + Mux(unit.request.valid & unit.request.ready, burst.words, 0) - unit.push)
        self.given(m, ~unit.push | (owed != 0))
        self.must(m, waiting + owed + room == places)
        self.must(m, ~unit.o.valid | (waiting != 0))
        self.must(m, ~unit.push | self.internal("words.i__ready"))
        self.must(m, self.stalls(m, unit.request, "request"))
        cut = self.params.burst_words.bit_length() - 1
        last = Signal.like(burst.address, name="last")
        m.d.comb += last.eq(burst.address + burst.words - 1)
        self.must(m, ~unit.request.valid | ((burst.words != 0) & (last[cut:] == burst.address[cut:])))
        # What makes it inductive: the burst at hand is as long as it can be, and is asked for when it has room.
        left = self.internal("left")
        self.given(m, ~unit.i.valid | (unit.i.payload.words != 0))
        self.must(m, (left == 0) | (burst.words == lesser(left, until_boundary(self.params, burst.address))))
        self.must(m, unit.request.valid == ((left != 0) & (room >= burst.words)))
        self.reached(m, unit.push & (waiting == places - 1))


PROPERTIES = (
    Property(
        name="dma_room", block="dma_reader", build=Room, depth=1, cover=16,
        params=DmaParams(engine=UNUSED, bus_width=64, address_width=32, burst_words=16, fifo_words=64),
        small=DmaParams(engine=UNUSED, bus_width=64, address_width=32, burst_words=2, fifo_words=4),
        says="every word that a stream asks for has its place, and no burst crosses a multiple of the longest one",
        bug=Fault(name="ask_without_room", block="dma", why="a burst is asked for that has no room",
                  patch=("rtl_gen.dma.reader.has_room", lambda room, words: room != 0)), bug_depth=16, seconds=3),
)
