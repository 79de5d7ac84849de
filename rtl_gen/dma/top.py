"""The engine with a DMA of its own: `stamp_npu`, a third top around `stamp_engine`.

    chain of descriptors → sequencer → job of the engine
    order table → places → act ┐                        ┌ places → addresses
                           wgt ┼ feeds → i, w, p → o → packer → bursts
                           par ┘

An AXI4 master for the memory, AXI4-Lite for registers (`rtl_gen.dma.registers`), and an interrupt. No combinational
path leads from one port to another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from amaranth.hdl import Cat, ClockDomain, ClockSignal, DomainRenamer, Module, ResetInserter, ResetSignal, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.axi.event_counters import EventCounters
from rtl_gen.axi.halt import Halt, Watchdog, resets
from rtl_gen.axi.lite import RegisterFile
from rtl_gen.axi.ports import LITE_PORTS, connect_registers
from rtl_gen.axi.registers import COUNTER_WIDTH
from rtl_gen.axi.top import taken_now
from rtl_gen.dma.descriptor import DescriptorWords
from rtl_gen.dma.feed import Feed
from rtl_gen.dma.inward import STREAMS, Inward, sizes_of
from rtl_gen.dma.layer import descriptor_words
from rtl_gen.dma.locate import Locate
from rtl_gen.dma.packer import Packer
from rtl_gen.dma.ports import connect_memory, memory_ports
from rtl_gen.dma.read_port import ReadPort
from rtl_gen.dma.reader import Reader
from rtl_gen.dma.registers import DMA_ERRORS, HARMLESS, npu_errors, npu_registers
from rtl_gen.dma.repeat import offer
from rtl_gen.dma.sequencer import Sequencer
from rtl_gen.dma.write_port import WritePort
from rtl_gen.engine.layouts import errors_of, event_layout
from rtl_gen.engine.top import Engine
from rtl_gen.verilog.emit import Shared
from stamp_hw.dma.descriptor import BYTES
from stamp_hw.dma.params import READS, DmaParams
from stamp_hw.engine.params import EngineParams

WORD_BYTES = 4  # of a word of a descriptor


class Npu(wiring.Component):
    """The linear engine between a memory and a chain of descriptors.

    Parameters
    ----------
    params : DmaParams
    engine : makes the component inside, one with the ports of `rtl_gen.engine.top.Engine`

    Members
    -------
    aclk, aresetn : In, clock and active-low reset, synchronous to it
    m_axi_* : the memory; RREADY and BREADY are always 1
    s_axil_* : registers
    irq : Out, high while an enabled bit of IRQ_STATUS is set

    Layers of a chain follow each other without overlap: the next descriptor is read when the last response to a write
    of the layer before it has come. What is on its way on the bus lives outside the reset that a halt raises.
    """

    def __init__(self, params: DmaParams, engine: Callable[[EngineParams], wiring.Component] = Engine) -> None:
        self.params, self._factory = params, engine
        super().__init__({"aclk": In(1), "aresetn": In(1), **memory_ports(params), **LITE_PORTS, "irq": Out(1)})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        params = self.params
        m.domains.sync = ClockDomain("sync")
        m.domains.engine = ClockDomain("engine")  # the same clock, with a reset that a halt raises as well
        inside = DomainRenamer("engine")
        engine = Shared(lambda: self._factory(params.engine), "stamp_engine")
        m.submodules.engine = inside(engine)
        m.submodules.registers = file = RegisterFile(npu_registers(params))
        m.submodules.halt = halt = Halt()
        m.submodules.sequencer = sequencer = Sequencer(params)
        m.submodules.read_port = read = ReadPort(params)
        m.d.comb += [ClockSignal().eq(self.aclk), ResetSignal().eq(~self.aresetn), ClockSignal("engine").eq(self.aclk),
                     ResetSignal("engine").eq(resets(self.aresetn, halt.halted)),
                     read.stop.eq(halt.halted), sequencer.halted.eq(halt.halted)]
        connect_registers(m, self, file)

        readers = {}
        for number, name in enumerate(READS):
            readers[name] = reader = Reader(params)
            m.submodules[f"{name}_reader"] = inside(reader)
            wiring.connect(m, reader.request, getattr(read, name))
            m.d.comb += [reader.push.eq(read.push[number]), reader.word.eq(read.word)]
        fields = self._descriptors(m, inside, sequencer, readers["chain"])

        inward = Inward(params)
        m.submodules.inward = inside(inward)
        m.d.comb += inward.fields.eq(fields)
        wiring.connect(m, inward.act_segment, readers["act"].i)
        for name, times in (("order", 1), ("wgt", fields.repeats), ("par", fields.repeats)):
            offer(m, "engine", name, params, readers[name].i, begin=sequencer.begin, address=fields[name],
                  size=sizes_of(fields)[name], times=times)
        for name in STREAMS:
            wiring.connect(m, readers[name].o, getattr(inward, f"{name}_word"))
        for name in ("i", "w", "p"):
            wiring.connect(m, getattr(inward, name), getattr(engine, name))
        write, drained = self._outward(m, inside, engine, inward.place, fields, halt)
        connect_memory(m, self, params, read, write)

        m.d.comb += [
            engine.job.valid.eq(sequencer.job_valid & ~halt.halted), engine.job.payload.eq(fields.job),
            sequencer.job_ready.eq(taken_now(engine.job)),
            sequencer.ends.eq(taken_now(engine.o) & engine.o.payload.end),
            sequencer.idle.eq(engine.status.idle), sequencer.written.eq(write.quiet & drained),
            sequencer.left.eq(~(inward.idle & Cat(readers[name].idle for name in STREAMS).all())),
            halt.drained.eq(read.quiet & write.quiet),
        ]
        self._errors(m, file, self._halts(m, engine, file, halt, sequencer, read, write, readers))
        self._status(m, file, engine, halt, sequencer)
        return m

    def _descriptors(self, m: Module, inside: DomainRenamer, sequencer: Sequencer, reader: Reader
                     ) -> data.View:
        """From the sequencer's address to a descriptor's fields."""
        feed = Feed(self.params, WORD_BYTES)
        words = DescriptorWords(self.params, descriptor_words(self.params))
        m.submodules.chain_feed, m.submodules.descriptor = inside(feed), inside(words)
        offer(m, "engine", "chain", self.params, reader.i, begin=sequencer.fetch, address=sequencer.at, size=BYTES,
              times=1)
        wiring.connect(m, reader.o, feed.i)
        m.d.comb += [
            feed.size.eq(BYTES), words.i.valid.eq(feed.o.valid), feed.o.ready.eq(words.i.ready),
            words.i.payload.eq(feed.o.payload.data),
            sequencer.came.eq(words.done), sequencer.wrong.eq(words.wrong), sequencer.last.eq(words.fields.last),
            sequencer.wants.eq(words.fields.interrupt), sequencer.following.eq(words.fields.next),
        ]
        return words.fields

    def _outward(self, m: Module, inside: DomainRenamer, engine: Any, place: stream.Interface, fields: data.View,
                 halt: Halt) -> tuple[WritePort, Value]:
        """From the engine's results to bursts; returns the port, and whether nothing waits in front of it."""
        params = self.params
        locate, packer, write = Locate(params), Packer(params), WritePort(params)
        m.submodules.out_locate, m.submodules.packer = inside(locate), inside(packer)
        # What is left of a burst that a halt cut off goes once all whole ones are through.
        m.submodules.write_port = ResetInserter(halt.halted & write.quiet)(write)
        found = locate.o
        m.d.comb += [
            locate.base.eq(fields.out), locate.stride.eq(fields.out_stride),
            locate.i.valid.eq(place.valid), place.ready.eq(locate.i.ready),
            locate.i.payload.token.eq(place.payload.token), locate.i.payload.offset.eq(place.payload.offset),
            locate.i.payload.mark.eq(place.payload.suppress),
            packer.place.valid.eq(found.valid), found.ready.eq(packer.place.ready),
            packer.place.payload.eq(found.payload),
        ]
        wiring.connect(m, engine.o, packer.i)
        wiring.connect(m, packer.o, write.i)
        return write, packer.idle

    def _halts(self, m: Module, engine: Any, file: RegisterFile, halt: Halt, sequencer: Sequencer, read: ReadPort,
               write: WritePort, readers: dict[str, Reader]) -> dict[str, Value]:
        """What ends a chain before its time; returns the errors of this cycle."""
        m.submodules.watchdog = watchdog = Watchdog()
        inputs, held = (engine.i, engine.w, engine.p), file.held
        asks = Cat(beat.ready & ~beat.valid for beat in inputs).any() | engine.o.valid
        runs = ~halt.halted
        starts = file.pulse.start_start & ~sequencer.busy & runs
        m.d.comb += [
            sequencer.start.eq(starts), sequencer.chain.eq(Cat(held.chain_low, held.chain_high)),
            watchdog.limit.eq(held.timeout),
            watchdog.waits.eq(runs & sequencer.busy & (asks | engine.status.idle)),
            watchdog.moves.eq(read.moves | write.moves | Cat(taken_now(beat) for beat in (*inputs, engine.o)).any()),
            file.state.timeout_left.eq(watchdog.left),
            engine.clear.eq(0),
        ]
        error = engine.status.error
        seen = {name: error[bit] & runs for bit, name in enumerate(errors_of(self.params.engine))}
        seen |= {"start_busy": file.pulse.start_start & ~starts, "range": file.excess, "starved": watchdog.starved,
                 "descriptor": sequencer.refused & runs, "mismatch": sequencer.mismatch & runs, "read": read.error,
                 "write": write.error}
        ends = [name for name in npu_errors(self.params) if name not in HARMLESS]
        m.d.comb += [
            halt.flush.eq(held.ctrl_flush),
            halt.refused.eq(Cat(seen[name] for name in ends).any() | halt.stands),
            halt.starved.eq(0),
            halt.stands.eq(Cat(held[f"error_{name}"] for name in ends).any()),
        ]
        return seen

    def _errors(self, m: Module, file: RegisterFile, seen: dict[str, Value]) -> None:
        """ERROR, and `irq`, a cycle behind its reasons."""
        for name, error in seen.items():
            m.d.comb += file.set[f"error_{name}"].eq(error | file.pulse[f"error_test_{name}"])
        m.d.comb += file.state.irq_status_error.eq(
            Cat(file.held[f"error_{name}"] for name in npu_errors(self.params)).any())
        reasons = Cat(file.held.irq_status_done & file.held.irq_enable_done,
                      file.held.irq_status_layer & file.held.irq_enable_layer,
                      file.state.irq_status_error & file.held.irq_enable_error)
        irq = Signal()
        m.d.sync += irq.eq(reasons.any())
        m.d.comb += self.irq.eq(irq)

    def _status(self, m: Module, file: RegisterFile, engine: Any, halt: Halt, sequencer: Sequencer) -> None:
        """What software reads."""
        m.submodules.counters = counters = EventCounters(event_layout(self.params.engine))
        done = Signal(COUNTER_WIDTH)
        m.d.sync += done.eq(done + sequencer.layer_done)
        m.d.comb += [
            counters.events.eq(engine.events), counters.clear.eq(file.pulse.ctrl_clear_events),
            counters.select.eq(file.held.event_select),
            Cat(file.state.event_low, file.state.event_high).eq(counters.total),
            file.state.done.eq(done), file.state.descriptor.eq(sequencer.number),
            file.set.irq_status_done.eq(sequencer.chain_done), file.set.irq_status_layer.eq(sequencer.interrupt),
            file.state.status_idle.eq(~sequencer.busy & halt.drained & counters.settled),
            file.state.status_busy.eq(sequencer.busy | halt.halted), file.state.status_halted.eq(halt.halted),
        ]


assert set(DMA_ERRORS) == {"descriptor", "mismatch", "read", "write"}
