"""The chain: a descriptor after the other is fetched, handed to the engine and brought to its end."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, Value, unsigned
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.dma.layouts import COUNT_WIDTH
from stamp_hw.dma.descriptor import BYTES
from stamp_hw.dma.params import DmaParams

CHAIN_WIDTH = 64  # bits of an address as software writes it


class State(enum.Enum, shape=unsigned(3)):  # type: ignore[call-arg]  # which Amaranth's metaclass takes
    """What the chain is at."""

    REST = 0
    FETCH = 1
    WORDS = 2
    HAND = 3
    RUN = 4


def is_over(finished: Value, written: Value, idle: Value) -> Value:
    """Whether a layer is done: its last result has left the engine, every response to a write has come."""
    return finished & written & idle


class Sequencer(wiring.Component):
    """Members
    -------
    halted : In, the chain is over, whatever it is at
    start, chain : In, begin with the descriptor at `chain`
    fetch, at : Out, read the descriptor at `at`
    came, wrong : In, its words have come; they are wrong
    last, following, wants : In, it is the chain's last one; the next one's address; it wants an interrupt
    job_valid : Out, job_ready : In, the job's registers are handed over
    begin : Out, the engine has taken them: read and write
    ends : In, the job's last result leaves the engine
    written, idle : In, no write lacks its response; the engine has no job
    left : In, words or places of the layer are left over
    busy : Out, there is a chain
    number : Out, of the descriptor at hand, from 0; after an error, of the one that had it, until `start`
    layer_done, chain_done : Out, a layer, the whole chain is done; interrupt : Out, and its descriptor wants one
    refused : Out, the descriptor is none; mismatch : Out, the lengths of a layer do not fit its job
    """

    def __init__(self, params: DmaParams) -> None:
        self.params = params
        outs = {name: Out(1) for name in ("fetch", "job_valid", "begin", "busy", "layer_done", "chain_done",
                                          "interrupt", "refused", "mismatch")}
        ins = {name: In(1) for name in ("halted", "start", "came", "wrong", "last", "wants", "job_ready", "ends",
                                        "written", "idle", "left")}
        super().__init__({**ins, **outs, "chain": In(CHAIN_WIDTH), "at": Out(params.address_width),
                          "following": In(params.address_width), "number": Out(COUNT_WIDTH)})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        state = Signal(State)
        at = Signal(self.params.address_width, name="address")
        unaligned = self.chain[: BYTES.bit_length() - 1].any()
        beyond = self.chain[self.params.address_width:].any()
        finished = Signal()
        m.d.comb += [self.at.eq(at), self.busy.eq(state != State.REST)]
        with m.Switch(state):
            with m.Case(State.REST), m.If(self.start):
                m.d.sync += [at.eq(self.chain), self.number.eq(0)]
                m.d.comb += self.refused.eq(unaligned | beyond)
                with m.If(~self.refused):
                    m.d.sync += state.eq(State.FETCH)
            with m.Case(State.FETCH):
                m.d.comb += self.fetch.eq(1)
                m.d.sync += state.eq(State.WORDS)
            with m.Case(State.WORDS):
                m.d.comb += self.refused.eq(self.came & self.wrong)
                with m.If(self.came & ~self.wrong):
                    m.d.sync += state.eq(State.HAND)
            with m.Case(State.HAND):
                m.d.comb += [self.job_valid.eq(1), self.begin.eq(self.job_ready)]
                m.d.sync += finished.eq(0)
                with m.If(self.job_ready):
                    m.d.sync += state.eq(State.RUN)
            with m.Case(State.RUN):
                with m.If(self.ends):
                    m.d.sync += finished.eq(1)
                with m.If(is_over(finished, self.written, self.idle) & ~self.halted):
                    m.d.comb += [self.mismatch.eq(self.left), self.layer_done.eq(~self.left),
                                 self.chain_done.eq(~self.left & self.last),
                                 self.interrupt.eq(~self.left & self.wants)]
                    with m.If(self.last | self.left):
                        m.d.sync += state.eq(State.REST)
                    with m.Else():
                        m.d.sync += [state.eq(State.FETCH), at.eq(self.following), self.number.eq(self.number + 1)]
        with m.If(self.halted):
            m.d.sync += state.eq(State.REST)
        return m
