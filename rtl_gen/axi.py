"""The engine behind AXI ports: `stamp_engine_axi`, a second top around `stamp_engine`.

AXI4-Stream for activations, weights, parameters and results, AXI4-Lite for registers (`rtl_gen.registers`), and an
interrupt. No combinational path leads from one port to another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from amaranth.hdl import Cat, ClockDomain, ClockSignal, Module, ResetSignal, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.axi_lite import DATA_WIDTH, RegisterFile
from rtl_gen.axi_stream import Slice, activation_data, parameter_data, result_data, weight_data
from rtl_gen.emit import Shared
from rtl_gen.engine import Engine
from rtl_gen.engine_layouts import ERRORS, input_layout, job_layout, output_layout, parameter_layout, weight_layout
from rtl_gen.registers import ADDRESS_WIDTH, COUNTER_WIDTH, EDGE_ERRORS, WORD_BYTES, job_register, registers
from stamp_hw.engine_params import SINK_WIDTH, EngineParams
from stamp_hw.wire import OUT_BYTES


def _streams(params: EngineParams) -> dict[str, Any]:
    """The AXI4-Stream ports; a `t…` signal each."""
    def side(prefix: str, flow: Any, back: Any, **signals: Any) -> dict[str, Any]:
        return ({f"{prefix}_tvalid": flow(1), f"{prefix}_tready": back(1)}
                | {f"{prefix}_{name}": flow(shape) for name, shape in signals.items()})

    return (side("s_axis_act", In, Out, tdata=activation_data(params), tuser=SINK_WIDTH, tlast=1)
            | side("s_axis_wgt", In, Out, tdata=weight_data(params))
            | side("s_axis_par", In, Out, tdata=parameter_data())
            | side("m_axis_out", Out, In, tdata=result_data(params), tkeep=OUT_BYTES * params.rescale_lanes, tlast=1,
                   tuser=1))


def lane_bytes(keep: Value) -> Value:
    """TKEEP of a lane."""
    return keep.replicate(OUT_BYTES)


def accepted(start: Value, waiting: Value) -> Value:
    """Whether a START hands its job over: not while another waits."""
    return start & ~waiting


def taken_now(beat: stream.Interface) -> Value:
    """Whether a beat changes hands in this cycle."""
    return beat.valid & beat.ready


_LITE = {"s_axil_awaddr": In(ADDRESS_WIDTH), "s_axil_awvalid": In(1), "s_axil_awready": Out(1),
         "s_axil_wdata": In(DATA_WIDTH), "s_axil_wstrb": In(WORD_BYTES), "s_axil_wvalid": In(1),
         "s_axil_wready": Out(1), "s_axil_bresp": Out(2), "s_axil_bvalid": Out(1), "s_axil_bready": In(1),
         "s_axil_araddr": In(ADDRESS_WIDTH), "s_axil_arvalid": In(1), "s_axil_arready": Out(1),
         "s_axil_rdata": Out(DATA_WIDTH), "s_axil_rresp": Out(2), "s_axil_rvalid": Out(1), "s_axil_rready": In(1)}


class EngineAxi(wiring.Component):
    """The linear engine with AXI ports.

    Parameters
    ----------
    params : EngineParams
    engine : makes the component inside, one with the ports of `rtl_gen.engine.Engine`

    Members
    -------
    aclk, aresetn : In, clock and active-low reset, synchronous to it
    s_axis_act_* : activations, `engine.i`; TUSER is `sink_shift`, TLAST ends a token
    s_axis_wgt_* : weights, `engine.w`
    s_axis_par_* : parameters of output channels, `engine.p`
    m_axis_out_* : results, `engine.o`; TKEEP marks lanes below N, TLAST ends a token of a column tile, TUSER the job
    s_axil_* : registers, see `rtl_gen.registers`
    irq : Out, high while an enabled bit of IRQ_STATUS is set

    Latency: the engine's and a cycle at each port. Throughput: the engine's. A job that START hands over waits in
    registers of its own, so that the next one's can be written at once.
    """

    def __init__(self, params: EngineParams, engine: Callable[[EngineParams], wiring.Component] = Engine) -> None:
        self.params, self._factory = params, engine
        super().__init__({"aclk": In(1), "aresetn": In(1), **_streams(params), **_LITE, "irq": Out(1)})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        m.domains.sync = ClockDomain("sync")
        m.d.comb += [ClockSignal().eq(self.aclk), ResetSignal().eq(~self.aresetn)]
        m.submodules.engine = engine = Shared(lambda: self._factory(self.params), "stamp_engine")
        m.submodules.registers = file = RegisterFile(registers(self.params))
        self._connect_inputs(m, engine)
        result = self._connect_output(m, engine)
        self._connect_registers(m, file)

        pending, sent = Signal(), Signal(job_layout(self.params), reset_less=True)
        m.d.comb += [engine.job.valid.eq(pending), engine.job.payload.eq(sent)]
        taken, done = Signal(), Signal()
        m.d.comb += [taken.eq(pending & engine.job.ready), done.eq(taken_now(result) & result.payload.end)]
        with m.If(taken):
            m.d.sync += pending.eq(0)
        with m.If(accepted(file.pulse.start_start, pending)):
            m.d.sync += pending.eq(1)
            m.d.sync += [sent[name].eq(file.held[job_register(name).lower()]) for name in sent.shape().members]

        count = Signal(COUNTER_WIDTH)
        m.d.sync += count.eq(count + done)
        status = engine.status
        # The engine's sticky bits move to ERROR as soon as they show, where they can be cleared one by one.
        m.d.comb += engine.clear.eq(status.error.any())
        m.d.comb += [file.set[f"error_{name}"].eq(status.error[bit]) for bit, name in enumerate(ERRORS)]
        m.d.comb += [
            file.set.error_start_busy.eq(file.pulse.start_start & pending),
            file.set.error_range.eq(file.excess),
            file.set.irq_status_done.eq(done),
            file.set.irq_status_taken.eq(taken),
            file.state.status_idle.eq(status.idle & ~pending & ~result.valid),
            file.state.status_busy.eq(pending),
            file.state.done.eq(count),
        ]
        errors = Cat(file.held[f"error_{name}"] for name in (*ERRORS, *EDGE_ERRORS))
        m.d.comb += file.state.irq_status_error.eq(errors.any())
        reasons = Cat(file.held.irq_status_done & file.held.irq_enable_done,
                      file.held.irq_status_taken & file.held.irq_enable_taken,
                      file.state.irq_status_error & file.held.irq_enable_error)
        irq = Signal()
        m.d.sync += irq.eq(reasons.any())
        m.d.comb += self.irq.eq(irq)
        return m

    def _connect_inputs(self, m: Module, engine: Any) -> None:
        """Activations, weights and parameters, each through a slice; only the bits that the engine takes are kept."""
        for prefix, port, layout in (("s_axis_act", engine.i, input_layout(self.params)),
                                     ("s_axis_wgt", engine.w, weight_layout(self.params)),
                                     ("s_axis_par", engine.p, parameter_layout(self.params))):
            m.submodules[f"{prefix}_slice"] = into = Slice(layout)
            axi = _Axi(self, prefix)
            m.d.comb += [into.i.valid.eq(axi.tvalid), axi.tready.eq(into.i.ready)]
            for name, shape in layout.members.items():
                if prefix == "s_axis_act" and name in ("sink_shift", "last"):
                    m.d.comb += into.i.payload[name].eq(axi.tuser if name == "sink_shift" else axi.tlast)
                elif isinstance(shape, data.ArrayLayout):
                    m.d.comb += [into.i.payload[name][lane].eq(axi.tdata[name][lane]) for lane in range(shape.length)]
                else:
                    m.d.comb += into.i.payload[name].eq(axi.tdata[name])
            wiring.connect(m, into.o, port)

    def _connect_output(self, m: Module, engine: Any) -> stream.Interface:
        """Results through a slice; returns what its far side offers."""
        m.submodules.m_axis_out_slice = out = Slice(output_layout(self.params))
        wiring.connect(m, engine.o, out.i)
        axi, beat = _Axi(self, "m_axis_out"), out.o.payload
        m.d.comb += [
            axi.tvalid.eq(out.o.valid), out.o.ready.eq(axi.tready), axi.tlast.eq(beat.last), axi.tuser.eq(beat.end),
            axi.tkeep.eq(Cat(lane_bytes(beat.keep[lane]) for lane in range(self.params.rescale_lanes))),
        ]
        m.d.comb += [axi.tdata.y[lane].eq(beat.y[lane]) for lane in range(self.params.rescale_lanes)]
        return out.o

    def _connect_registers(self, m: Module, file: RegisterFile) -> None:
        for name, fields in (("aw", {"addr": file.aw.payload}), ("ar", {"addr": file.ar.payload}),
                             ("w", {"data": file.w.payload.data, "strb": file.w.payload.strb}),
                             ("b", {"resp": file.b.payload}),
                             ("r", {"data": file.r.payload.data, "resp": file.r.payload.resp})):
            channel, inward = getattr(file, name), name in ("aw", "ar", "w")
            valid, ready = (getattr(self, f"s_axil_{name}{part}") for part in ("valid", "ready"))
            pairs = [(channel.valid, valid)] + [(inner, getattr(self, f"s_axil_{name}{part}"))
                                                for part, inner in fields.items()]
            m.d.comb += ready.eq(channel.ready) if inward else channel.ready.eq(ready)
            m.d.comb += [inner.eq(outer) if inward else outer.eq(inner) for inner, outer in pairs]


class _Axi:
    """The ports of one AXI4-Stream of a component, by their AXI names."""

    def __init__(self, component: wiring.Component, prefix: str) -> None:
        self._component, self._prefix = component, prefix

    def __getattr__(self, name: str) -> Any:
        return getattr(self._component, f"{self._prefix}_{name}")
