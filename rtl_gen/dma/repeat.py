"""A segment, as many times as it is wanted: weights and parameters once a super-tile."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, Value, ValueLike
from amaranth.lib import stream

from rtl_gen.dma.layouts import COUNT_WIDTH, byte_bits
from stamp_hw.dma.params import DmaParams


def offer(m: Module, domain: str, name: str, params: DmaParams, to: stream.Interface, *, begin: Value, address: Value,
          size: ValueLike, times: ValueLike) -> None:
    """From a cycle with `begin` on, offer `to`, a stream of segment_layout, the `size` bytes at `address`, where a word
    begins, `times` times. Address and size are steady until the last one was taken."""
    left = Signal(COUNT_WIDTH, name=f"{name}_left")
    behind = Signal(COUNT_WIDTH, name=f"{name}_behind")  # the last byte
    m.d.comb += [
        behind.eq(Value.cast(size) - 1), to.valid.eq(left != 0),
        to.payload.address.eq(address[byte_bits(params):]), to.payload.words.eq(behind[byte_bits(params):] + 1),
    ]
    with m.If(begin):
        m.d[domain] += left.eq(times)
    with m.Elif(to.valid & to.ready):
        m.d[domain] += left.eq(left - 1)
