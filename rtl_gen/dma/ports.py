"""The ports of `stamp_npu` by their AXI names: an AXI4 master, `m_axi`, beside the AXI4-Lite port of its registers."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.dma.layouts import ID_WIDTH, byte_bits
from rtl_gen.dma.read_port import ReadPort
from rtl_gen.dma.write_port import WritePort
from stamp_hw.dma.params import DmaParams

INCR = 0b01
CACHE = 0b0011  # normal, not cached, may be buffered
CONSTANT = {"burst": (2, INCR), "cache": (4, CACHE), "prot": (3, 0)}


def memory_ports(params: DmaParams) -> dict[str, Any]:
    """The five channels of an AXI4 master. Every burst is INCR, of whole words."""
    def address(way: str) -> dict[str, Any]:
        return {f"a{way}id": Out(ID_WIDTH), f"a{way}addr": Out(params.address_width), f"a{way}len": Out(8),
                f"a{way}size": Out(3), **{f"a{way}{name}": Out(width) for name, (width, _) in CONSTANT.items()},
                f"a{way}valid": Out(1), f"a{way}ready": In(1)}

    width, strobes = data.ArrayLayout(8, params.bus_bytes), data.ArrayLayout(1, params.bus_bytes)
    channels = {**address("w"), "wdata": Out(width), "wstrb": Out(strobes), "wlast": Out(1), "wvalid": Out(1),
                "wready": In(1), "bid": In(ID_WIDTH), "bresp": In(2), "bvalid": In(1), "bready": Out(1),
                **address("r"), "rid": In(ID_WIDTH), "rdata": In(width), "rresp": In(2), "rlast": In(1),
                "rvalid": In(1), "rready": Out(1)}
    return {f"m_axi_{name}": member for name, member in channels.items()}


def connect_memory(m: Module, edge: wiring.Component, params: DmaParams, read: ReadPort, write: WritePort) -> None:
    """The two ports' channels and `m_axi`. Writes have ID 0; words that were read and responses are always taken."""
    def port(name: str) -> Any:
        return getattr(edge, f"m_axi_{name}")

    def address(way: str, channel: Any, number: Value) -> None:
        burst = channel.payload
        m.d.comb += [
            port(f"a{way}valid").eq(channel.valid), channel.ready.eq(port(f"a{way}ready")),
            port(f"a{way}id").eq(number),
            port(f"a{way}addr").eq(Cat(Const(0, byte_bits(params)), burst.address)),
            port(f"a{way}len").eq(burst.words - 1), port(f"a{way}size").eq(byte_bits(params)),
            *(port(f"a{way}{name}").eq(value) for name, (_, value) in CONSTANT.items())]

    address("r", read.ar, read.ar.payload.id)
    address("w", write.aw, Const(0, ID_WIDTH))
    m.d.comb += [
        port("rready").eq(1), read.r_valid.eq(port("rvalid")), read.r.data.eq(port("rdata").as_value()),
        read.r.id.eq(port("rid")), read.r.resp.eq(port("rresp")), read.r.last.eq(port("rlast")),
        port("wvalid").eq(write.w.valid), write.w.ready.eq(port("wready")),
        port("wdata").as_value().eq(write.w.payload.data), port("wstrb").as_value().eq(write.w.payload.strb),
        port("wlast").eq(write.w.payload.last),
        port("bready").eq(1), write.b_valid.eq(port("bvalid")), write.b_resp.eq(port("bresp")),
    ]
