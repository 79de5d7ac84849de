"""The bus of `stamp_npu`: what is common to the proofs of its channels."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from amaranth.hdl import Const, Module, Signal, Value
from amaranth.lib import data

from rtl_gen.dma.layouts import burst_layout, byte_bits
from rtl_gen.dma.ports import INCR
from rtl_gen.dma.read_port import answer_layout
from rtl_gen.dma.top import Npu
from rtl_gen.lib.bits import up_to
from stamp_hw.dma.params import READS, DmaParams
from tb.formal import Property
from tb.formal.axi import ENGINE, Answers, Edge
from tb.formal.dma import UNUSED
from tb.formal.solver import TOP
from tb.run.fault import Fault

STAGES = ("registers", "sequencer", "read_port", *(f"{name}_reader" for name in READS), "chain_feed", "descriptor",
          "inward", "out_locate", "packer", "write_port", "watchdog", "counters")
#: The longest burst and what a stream may have on its way; a register for each of its words stands in a proof.
SMALL = DmaParams(engine=replace(UNUSED, cols=4, rescale_lanes=4), bus_width=64, address_width=32, burst_words=2,
                  fifo_words=4)


def all_but(*kept: str) -> tuple[str, ...]:
    """Modules of the engine and the DMA that are not `kept`."""
    return ENGINE, *(f"{TOP}_unit_axi_{stage}" for stage in STAGES if stage not in kept)


class DmaEdge(Edge):
    """The ports of `stamp_npu`; what is cut out of it does anything."""

    params: DmaParams

    def __init__(self, params: DmaParams, ghost: dict[str, int] | None = None) -> None:
        super().__init__(params, Npu, ghost)

    @property
    def halted(self) -> Value:
        """Whether the engine and what feeds it are in reset."""
        return self.internal("axi.halt.halted")

    @property
    def forgets(self) -> Value:
        """Whether the write port drops what a halt left of a burst that is not whole."""
        return self.halted & self.internal("axi.write_port.quiet")

    def within(self, address: Value, words: Value) -> Value:
        """Whether a burst of words from an address, in words, on lies between two multiples of the longest one, which
        divides a page."""
        cut = self.params.burst_words.bit_length() - 1
        return (words != 0) & (address[:cut] + words <= self.params.burst_words)

    def burst(self, m: Module, way: str) -> None:
        """An address on offer is AXI4's: whole words, INCR, within a page and the longest burst."""
        def part(name: str) -> Value:
            return Value.cast(getattr(self.unit, f"m_axi_{way}{name}"))

        low = byte_bits(self.params)
        self.must(m, (part("size") == low) & (part("burst") == INCR))
        self.must(m, ~part("valid") | (part("addr")[:low] == 0)
                  & self.within(part("addr")[low:], part("len") + 1))

    def leaves(self, m: Module) -> Value:
        """Whether a halt ended in the cycle before."""
        halted = Signal()
        m.d.sync += halted.eq(self.halted)
        return halted & ~self.halted


class Reads(DmaEdge):
    """The read channels between streams that ask for what has its place (`dma_room`) and a memory that sends what it
    was asked for: a word of a burst that is on its way."""

    def check(self, m: Module) -> None:
        ar = self.axis("m_axi_ar", "id", "addr", "len", "size", "burst")
        self.must(m, self.stalls(m, ar, "ar"))
        self.burst(m, "ar")
        port, unit, most = "axi.read_port", self.unit, self.params.fifo_words
        self.must(m, Value.cast(unit.m_axi_rready) & unit.m_axi_bready)
        answer, came, waiting = unit.m_axi_rvalid, self.internal(f"{port}.came"), self.internal(f"{port}.on_their_way")
        last = data.View(answer_layout(self.params), self.internal(f"{port}.answer")).last
        self.must(m, (self.internal(f"{port}.turn") < len(READS)) & (~ar.valid | (unit.m_axi_arid < len(READS))))
        self.given(m, ~answer | (unit.m_axi_rid < len(READS)))
        bursts = []
        for number, name in enumerate(READS):
            request = f"axi.{name}_reader.request"
            asks, ready = self.internal(f"{request}__valid"), self.internal(f"{port}.{name}__ready")
            burst = data.View(burst_layout(self.params), self.internal(f"{request}__payload"))
            owed = Signal(up_to(most + 1), name=f"{name}_owed")  # bursts on the bus
            offered = Signal(name=f"{name}_offered")
            m.d.comb += offered.eq(ar.valid & (unit.m_axi_arid == number))
            self.given(m, ~asks | self.within(burst.address, burst.words) & (owed + offered < most))
            self.given(m, ~answer | (unit.m_axi_rid != number) | (owed != 0))
            m.d.sync += owed.eq(owed + (offered & ar.ready)
                                - (answer & unit.m_axi_rlast & (unit.m_axi_rid == number)))
            self.must(m, owed + offered <= most)
            self.must(m, ~(ready & asks) | ~self.halted)
            bursts.append(owed + offered)
        self.must(m, waiting == sum(bursts, start=Value.cast(came & last)))
        self.reached(m, ar.valid & answer & (waiting == 2))
        self.leave(m, ar.valid | (waiting != 0))

    def leave(self, m: Module, busy: Value) -> None:
        """What holds when a halt ends."""


class Halts(Reads):
    """A halt ends when the bus owes no word."""

    def leave(self, m: Module, busy: Value) -> None:
        self.must(m, ~self.leaves(m) | ~busy)
        self.reached(m, self.leaves(m))


PROPERTIES = (
    Property(
        name="dma_reads", block="dma", build=Reads, params=SMALL, free=all_but("read_port"), depth=1, cover=12,
        says="a read address stays until it is taken, is AXI4's, and no stream has more on its way than its room",
        bug=Fault(name="overwrite_a_waiting_address", block="dma", why="a burst is offered over one that waits",
                  patch=("rtl_gen.dma.read_port.can_move", lambda valid, ready: Const(1))), bug_depth=8, seconds=10),
    Property(
        name="dma_halts", block="dma", build=Halts, params=SMALL, free=all_but("read_port"), depth=2, cover=12,
        says="a halt lasts until every word that was asked for has come",
        bug=Fault(name="leave_with_words_on_their_way", block="dma", why="a halt ends while the bus still owes words",
                  patch=("rtl_gen.axi.halt.stays_halted", lambda flush, stands, drained: flush | stands)),
        bug_depth=12, seconds=10),
    Property(
        name="dma_answers", block="dma", build=partial(Answers, top=Npu), params=SMALL, free=all_but("registers"),
        depth=2, cover=8, says="every AXI4-Lite read and write of a chain's registers gets one answer, which stays",
        bug=Fault(name="overwrite_an_answer", block="dma", why="the next answer is given while one waits",
                  patch=("rtl_gen.axi.lite.can_move", lambda valid, ready: Const(1))), bug_depth=8, seconds=10),
)
