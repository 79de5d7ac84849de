"""The ports of `stamp_engine_axi` by their AXI names: AXI4-Stream and AXI4-Lite."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.axi.lite import DATA_WIDTH, RegisterFile
from rtl_gen.axi.registers import ADDRESS_WIDTH, WORD_BYTES
from rtl_gen.axi.stream import activation_data, parameter_data, result_data, weight_data
from stamp_hw.engine.params import SINK_WIDTH, EngineParams
from stamp_hw.engine.wire import result_beat_bytes


def stream_ports(params: EngineParams) -> dict[str, Any]:
    """The AXI4-Stream ports; a `t…` signal each."""
    def side(prefix: str, flow: Any, back: Any, **signals: Any) -> dict[str, Any]:
        return ({f"{prefix}_tvalid": flow(1), f"{prefix}_tready": back(1)}
                | {f"{prefix}_{name}": flow(shape) for name, shape in signals.items()})

    return (side("s_axis_act", In, Out, tdata=activation_data(params), tuser=SINK_WIDTH, tlast=1)
            | side("s_axis_wgt", In, Out, tdata=weight_data(params))
            | side("s_axis_par", In, Out, tdata=parameter_data())
            | side("m_axis_out", Out, In, tdata=result_data(params), tkeep=result_beat_bytes(params), tlast=1, tuser=1))


LITE_PORTS = {"s_axil_awaddr": In(ADDRESS_WIDTH), "s_axil_awvalid": In(1), "s_axil_awready": Out(1),
              "s_axil_wdata": In(DATA_WIDTH), "s_axil_wstrb": In(WORD_BYTES), "s_axil_wvalid": In(1),
              "s_axil_wready": Out(1), "s_axil_bresp": Out(2), "s_axil_bvalid": Out(1), "s_axil_bready": In(1),
              "s_axil_araddr": In(ADDRESS_WIDTH), "s_axil_arvalid": In(1), "s_axil_arready": Out(1),
              "s_axil_rdata": Out(DATA_WIDTH), "s_axil_rresp": Out(2), "s_axil_rvalid": Out(1), "s_axil_rready": In(1)}


def connect_registers(m: Module, edge: wiring.Component, file: RegisterFile) -> None:
    """The register file's channels and the AXI4-Lite ports of `edge`."""
    for name, fields in (("aw", {"addr": file.aw.payload}), ("ar", {"addr": file.ar.payload}),
                         ("w", {"data": file.w.payload.data, "strb": file.w.payload.strb}),
                         ("b", {"resp": file.b.payload}),
                         ("r", {"data": file.r.payload.data, "resp": file.r.payload.resp})):
        channel, inward = getattr(file, name), name in ("aw", "ar", "w")
        valid, ready = (getattr(edge, f"s_axil_{name}{part}") for part in ("valid", "ready"))
        pairs = [(channel.valid, valid)] + [(inner, getattr(edge, f"s_axil_{name}{part}"))
                                            for part, inner in fields.items()]
        m.d.comb += ready.eq(channel.ready) if inward else channel.ready.eq(ready)
        m.d.comb += [inner.eq(outer) if inward else outer.eq(inner) for inner, outer in pairs]


class AxiStream:
    """The ports of one AXI4-Stream of a component, by their AXI names."""

    def __init__(self, component: wiring.Component, prefix: str) -> None:
        self._component, self._prefix = component, prefix

    def __getattr__(self, name: str) -> Any:
        return getattr(self._component, f"{self._prefix}_{name}")
