"""What crosses the AXI4-Stream ports of `stamp_engine_axi`, and the register slice behind each of them.

TDATA is little endian and every value fills whole bytes, so that an array in memory is the stream: int16 activations
and results (int8 activations where `in_width` is 8), int8 weights, and 16 bytes of parameters an output channel. With
`pad_beats` a beat fills a power of two of bytes; those of `reserved` are ignored, and TKEEP leaves them out of results.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, ShapeLike, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.lib.handshake import can_move
from stamp_hw.beats import value_bytes
from stamp_hw.engine.params import BIAS_WIDTH, EngineParams
from stamp_hw.engine.wire import beat_bytes, result_beat_bytes
from stamp_hw.params import CODE_WIDTH, OUT_WIDTH


def _beat(name: str, values: data.ArrayLayout, size: int) -> data.StructLayout:
    """A beat of `size` bytes that begins with `values`."""
    left = 8 * size - values.size
    return data.StructLayout({name: values, **({"reserved": left} if left else {})})


def activation_data(params: EngineParams) -> data.StructLayout:
    """TDATA of `s_axis_act`: `lanes` values in two's complement; bits above `in_width` are ignored."""
    values = data.ArrayLayout(signed(8 * value_bytes(params.in_width)), params.lanes)
    return _beat("x", values, beat_bytes(params)["i"])


def weight_data(params: EngineParams) -> data.StructLayout:
    """TDATA of `s_axis_wgt`: a weight for each column; INT4 in a byte, or packed (docs/contract.md §4)."""
    return _beat("wgt", data.ArrayLayout(signed(CODE_WIDTH), params.cols), beat_bytes(params)["w"])


def parameter_data() -> data.StructLayout:
    """TDATA of `s_axis_par`, the same in every build: one output channel in 16 bytes, those of `reserved` ignored."""
    return data.StructLayout({"wsum": signed(32), "mant0": 16, "mant1": 16, "shift0": 8, "shift1": 8, "reserved": 16,
                              "bias": signed(BIAS_WIDTH)})


def result_data(params: EngineParams) -> data.StructLayout:
    """TDATA of `m_axis_out`: `rescale_lanes` values; TKEEP has both bytes of a lane, or none beyond N."""
    return _beat("y", data.ArrayLayout(signed(OUT_WIDTH), params.rescale_lanes), result_beat_bytes(params))


class Slice(wiring.Component):
    """Two registers in a stream: no combinational path from one side to the other, in either direction.

    Parameters
    ----------
    shape : of the payload

    Members
    -------
    i : In(stream of shape)
    o : Out(stream of shape)

    Latency: one cycle. Throughput: one beat a cycle. Back-pressure: a second register takes the beat that arrives in
    the cycle in which `o` is first stopped.
    """

    def __init__(self, shape: ShapeLike) -> None:
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        i, o = self.i, self.o
        shape: Any = i.signature.members["payload"].shape
        valid = Signal()
        spare_valid = Signal()
        payload = Signal(shape, reset_less=True)
        spare = Signal(shape, reset_less=True)
        m.d.comb += [i.ready.eq(~spare_valid), o.valid.eq(valid), o.payload.eq(payload)]
        with m.If(can_move(valid, o.ready)):
            m.d.sync += [valid.eq(i.valid | spare_valid), spare_valid.eq(0)]
            with m.If(spare_valid):
                m.d.sync += payload.eq(spare)
            with m.Elif(i.valid):
                m.d.sync += payload.eq(i.payload)
        with m.Elif(i.valid & ~spare_valid):
            m.d.sync += [spare_valid.eq(1), spare.eq(i.payload)]
        return m
