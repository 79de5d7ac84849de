"""The engine behind AXI ports: `stamp_engine_axi`, a second top around `stamp_engine`.

AXI4-Stream for activations, weights, parameters and results, AXI4-Lite for registers (`rtl_gen.axi.registers`), and an
interrupt. No combinational path leads from one port to another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from amaranth.hdl import Cat, ClockDomain, ClockSignal, DomainRenamer, Module, ResetInserter, ResetSignal, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.axi.event_counters import EventCounters
from rtl_gen.axi.halt import Halt, Results, Watchdog, resets
from rtl_gen.axi.lite import RegisterFile
from rtl_gen.axi.ports import LITE_PORTS, AxiStream, connect_registers, stream_ports
from rtl_gen.axi.registers import COUNTER_WIDTH, EDGE_ERRORS, HALTING_ERRORS, job_register, registers
from rtl_gen.axi.stream import Slice
from rtl_gen.engine.layouts import (
    ERRORS,
    REFUSING,
    errors_of,
    event_layout,
    input_layout,
    job_layout,
    output_layout,
    parameter_layout,
    weight_layout,
)
from rtl_gen.engine.top import Engine
from rtl_gen.verilog.emit import Shared
from stamp_hw.engine.params import EngineParams
from stamp_hw.engine.wire import OUT_BYTES


def lane_bytes(keep: Value) -> Value:
    """TKEEP of a lane."""
    return keep.replicate(OUT_BYTES)


def accepted(start: Value, waiting: Value) -> Value:
    """Whether a START hands its job over: not while another waits."""
    return start & ~waiting


def leaves(taken: Value, halted: Value) -> Value:
    """Whether the job that waits does so no longer: the engine took it, or forgets it with all others."""
    return taken | halted


def taken_now(beat: stream.Interface) -> Value:
    """Whether a beat changes hands in this cycle."""
    return beat.valid & beat.ready


class EngineAxi(wiring.Component):
    """The linear engine with AXI ports.

    Parameters
    ----------
    params : EngineParams
    engine : makes the component inside, one with the ports of `rtl_gen.engine.top.Engine`

    Members
    -------
    aclk, aresetn : In, clock and active-low reset, synchronous to it
    s_axis_act_* : activations, `engine.i`; TUSER is `sink_shift`, TLAST ends a token
    s_axis_wgt_* : weights, `engine.w`
    s_axis_par_* : parameters of output channels, `engine.p`
    m_axis_out_* : results, `engine.o`; TKEEP marks lanes below N, TLAST ends a packet (a job, or a token of a column
        tile if CTRL says so), TUSER the job
    s_axil_* : registers, see `rtl_gen.axi.registers`
    irq : Out, high while an enabled bit of IRQ_STATUS is set

    Latency: the engine's and a cycle at each port. Throughput: the engine's. A job that START hands over waits in
    registers of its own, so that the next one's can be written at once.
    """

    def __init__(self, params: EngineParams, engine: Callable[[EngineParams], wiring.Component] = Engine) -> None:
        self.params, self._factory = params, engine
        super().__init__({"aclk": In(1), "aresetn": In(1), **stream_ports(params), **LITE_PORTS, "irq": Out(1)})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        m.domains.sync = ClockDomain("sync")
        m.domains.engine = ClockDomain("engine")  # the same clock, with a reset that a halt raises as well
        engine = Shared(lambda: self._factory(self.params.unpadded), "stamp_engine")
        m.submodules.engine = DomainRenamer("engine")(engine)
        m.submodules.registers = file = RegisterFile(registers(self.params))
        m.submodules.halt = halt = Halt()
        m.d.comb += [ClockSignal().eq(self.aclk), ResetSignal().eq(~self.aresetn), ClockSignal("engine").eq(self.aclk),
                     ResetSignal("engine").eq(resets(self.aresetn, halt.halted))]
        inputs = self._connect_inputs(m, engine, halt.halted)
        results, result = self._connect_output(m, engine)
        connect_registers(m, self, file)
        done = Signal()
        count = Signal(COUNTER_WIDTH)
        m.d.comb += done.eq(taken_now(result) & result.payload.end)
        m.d.sync += count.eq(count + done)
        pending, refusals = self._jobs(m, engine, file, halt.halted)
        self._errors(m, file, refusals | self._halts(m, engine, file, halt, (*inputs, result)))
        counters = self._counters(m, engine, file)

        m.d.comb += [
            results.per_token.eq(file.held.ctrl_token_tlast),
            results.halted.eq(halt.halted),
            halt.drained.eq(~result.valid & ~results.open),
            file.set.irq_status_done.eq(done),
            file.state.done.eq(count),
            file.state.status_idle.eq(engine.status.idle & ~pending & halt.drained & counters.settled),
            file.state.status_busy.eq(pending | halt.halted),
            file.state.status_halted.eq(halt.halted),
        ]
        return m

    def _jobs(self, m: Module, engine: Any, file: RegisterFile, halted: Value) -> tuple[Signal, dict[str, Value]]:
        """A job from START to the engine; returns whether one waits, and the errors of this cycle."""
        pending, taken, starts = (Signal(name=name) for name in ("pending", "taken", "starts"))
        sent = Signal(job_layout(self.params), name="sent", reset_less=True)
        m.d.comb += [
            engine.job.valid.eq(pending & ~halted),
            engine.job.payload.eq(sent),
            taken.eq(engine.job.valid & engine.job.ready),
            starts.eq(accepted(file.pulse.start_start, pending | halted)),
            file.set.irq_status_taken.eq(taken),
        ]
        with m.If(leaves(taken, halted)):
            m.d.sync += pending.eq(0)
        with m.If(starts):
            m.d.sync += pending.eq(1)
            m.d.sync += [sent[name].eq(file.held[job_register(name).lower()]) for name in sent.shape().members]
        return pending, {"start_busy": file.pulse.start_start & ~starts, "range": file.excess}

    def _halts(self, m: Module, engine: Any, file: RegisterFile, halt: Halt, beats: tuple[stream.Interface, ...]
               ) -> dict[str, Value]:
        """What halts the engine; returns the errors of this cycle. `beats` are those of all streams, the result's last.
        """
        *inputs, result = beats
        error, held, runs = engine.status.error, file.held, ~halt.halted
        refused = Cat(error[ERRORS.index(name)] for name in REFUSING).any()
        m.submodules.watchdog = watchdog = Watchdog()
        asked = Cat(beat.ready & ~beat.valid for beat in inputs).any()
        m.d.comb += [
            # The engine's sticky bits move to ERROR as soon as they show, where they can be cleared one by one; those
            # that refuse further jobs stay in the engine as well, until the halt's reset.
            engine.clear.eq(error.any() & ~refused),
            halt.flush.eq(held.ctrl_flush),
            halt.refused.eq(refused & engine.status.idle),
            halt.stands.eq(Cat(held[f"error_{name}"] for name in HALTING_ERRORS).any()),
            halt.starved.eq(held.error_starved),
            watchdog.limit.eq(held.timeout),
            watchdog.waits.eq(runs & (asked | result.valid)),
            watchdog.moves.eq(Cat(taken_now(beat) for beat in beats).any()),
            file.state.timeout_left.eq(watchdog.left),
        ]
        seen = {name: error[bit] & runs for bit, name in enumerate(errors_of(self.params))}
        return seen | {"framing": seen["framing"] & ~held.ctrl_ignore_framing, "starved": watchdog.starved}

    def _counters(self, m: Module, engine: Any, file: RegisterFile) -> EventCounters:
        """Totals of the engine's events."""
        m.submodules.counters = counters = EventCounters(event_layout(self.params))
        m.d.comb += [
            counters.events.eq(engine.events),
            counters.clear.eq(file.pulse.ctrl_clear_events),
            counters.select.eq(file.held.event_select),
            Cat(file.state.event_low, file.state.event_high).eq(counters.total),
        ]
        return counters

    def _errors(self, m: Module, file: RegisterFile, seen: dict[str, Value]) -> None:
        """ERROR, and `irq`, a cycle behind its reasons."""
        for name, error in seen.items():
            m.d.comb += file.set[f"error_{name}"].eq(error | file.pulse[f"error_test_{name}"])
        errors = Cat(file.held[f"error_{name}"] for name in (*errors_of(self.params), *EDGE_ERRORS))
        m.d.comb += file.state.irq_status_error.eq(errors.any())
        reasons = Cat(file.held.irq_status_done & file.held.irq_enable_done,
                      file.held.irq_status_taken & file.held.irq_enable_taken,
                      file.state.irq_status_error & file.held.irq_enable_error)
        irq = Signal()
        m.d.sync += irq.eq(reasons.any())
        m.d.comb += self.irq.eq(irq)

    def _connect_inputs(self, m: Module, engine: Any, halted: Value) -> tuple[stream.Interface, ...]:
        """Activations, weights and parameters, each through a slice, whose far sides it returns; only the bits that the
        engine takes are kept, and of a halted one nothing."""
        beats = []
        for prefix, port, layout in (("s_axis_act", engine.i, input_layout(self.params)),
                                     ("s_axis_wgt", engine.w, weight_layout(self.params)),
                                     ("s_axis_par", engine.p, parameter_layout(self.params))):
            into = Slice(layout)
            m.submodules[f"{prefix}_slice"] = ResetInserter(halted)(into)
            beats.append(into.o)
            axi = AxiStream(self, prefix)
            m.d.comb += [into.i.valid.eq(axi.tvalid), axi.tready.eq(into.i.ready)]
            for name, shape in layout.members.items():
                if prefix == "s_axis_act" and name in ("sink_shift", "last"):
                    m.d.comb += into.i.payload[name].eq(axi.tuser if name == "sink_shift" else axi.tlast)
                elif isinstance(shape, data.ArrayLayout):
                    m.d.comb += [into.i.payload[name][lane].eq(axi.tdata[name][lane]) for lane in range(shape.length)]
                else:
                    m.d.comb += into.i.payload[name].eq(axi.tdata[name])
            wiring.connect(m, into.o, port)
        return tuple(beats)

    def _connect_output(self, m: Module, engine: Any) -> tuple[Results, stream.Interface]:
        """Results, cut into packets, through a slice; returns what cuts them and what the slice's far side offers."""
        m.submodules.results = results = Results(self.params)
        m.submodules.m_axis_out_slice = out = Slice(output_layout(self.params))
        wiring.connect(m, engine.o, results.i)
        wiring.connect(m, results.o, out.i)
        axi, beat = AxiStream(self, "m_axis_out"), out.o.payload
        m.d.comb += [
            axi.tvalid.eq(out.o.valid), out.o.ready.eq(axi.tready), axi.tlast.eq(beat.last), axi.tuser.eq(beat.end),
            axi.tkeep.eq(Cat(lane_bytes(beat.keep[lane]) for lane in range(self.params.rescale_lanes))),
        ]
        m.d.comb += [axi.tdata.y[lane].eq(beat.y[lane]) for lane in range(self.params.rescale_lanes)]
        return results, out.o
