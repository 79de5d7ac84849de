"""What crosses the borders between the parts of the DMA. Addresses inside count words of the bus."""

from __future__ import annotations

from amaranth.lib import data

from rtl_gen.engine.layouts import job_layout
from rtl_gen.lib.bits import up_to
from stamp_hw.dma.descriptor import ADDRESSES, COUNTS, FIRST_COUNT
from stamp_hw.dma.order import EXPONENT_BITS, TOKEN_BITS
from stamp_hw.dma.params import READS, DmaParams
from stamp_hw.engine.wire import OUT_BYTES

COUNT_WIDTH = 32  # bits of a count of bytes, and of a count of words of at least two bytes
ID_WIDTH = (len(READS) - 1).bit_length()
LANE_WIDTH = 8 * OUT_BYTES


def byte_bits(params: DmaParams) -> int:
    """Bits of an address that name a byte of a word of the bus."""
    return params.bus_bytes.bit_length() - 1


def word_address(params: DmaParams) -> int:
    """Bits of the address of a word."""
    return params.address_width - byte_bits(params)


def segment_layout(params: DmaParams) -> data.StructLayout:
    """Words that follow each other in the memory."""
    return data.StructLayout({"address": word_address(params), "words": COUNT_WIDTH})


def burst_layout(params: DmaParams) -> data.StructLayout:
    """A burst: `words` of it, from `address` on."""
    return data.StructLayout({"address": word_address(params), "words": up_to(params.burst_words)})


def request_layout(params: DmaParams) -> data.StructLayout:
    """A burst that is read for stream number `id` of `READS`."""
    return data.StructLayout({**burst_layout(params).members, "id": ID_WIDTH})


def result_layout(params: DmaParams) -> data.StructLayout:
    """A word of results at `address`, whose bytes count where `strb` says so; its burst `ends` with it."""
    return data.StructLayout({"address": word_address(params), "data": params.bus_width, "strb": params.bus_bytes,
                              "ends": 1})


def place_layout() -> data.StructLayout:
    """An entry of the order table (`stamp_hw.dma.order`)."""
    return data.StructLayout({"token": TOKEN_BITS, "exponent": EXPONENT_BITS, "suppress": 1, "ends": 1})


def descriptor_layout(params: DmaParams) -> data.StructLayout:
    """A descriptor's fields: addresses and strides in bytes, the job's registers (`stamp_hw.dma.descriptor`)."""
    return data.StructLayout({
        "last": 1, "interrupt": 1, **dict.fromkeys(ADDRESSES, params.address_width),
        **dict.fromkeys(COUNTS, COUNT_WIDTH), "job": job_layout(params.engine)})


assert FIRST_COUNT + len(COUNTS) <= 24
