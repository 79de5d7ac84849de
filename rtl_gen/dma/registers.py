"""Register map of `stamp_npu`, in the terms of `rtl_gen.axi.registers`."""

from __future__ import annotations

from rtl_gen.axi.registers import (
    COUNTER_WIDTH,
    EDGE_ERROR_BIT,
    EDGE_ERRORS,
    Field,
    Register,
    bits,
    capability_registers,
    engine_errors,
    watch_registers,
    whole,
)
from stamp_hw.dma.params import DmaParams

IDENTITY = int.from_bytes(b"SNPU", "big")
MAP_VERSION = 1
#: Errors of the DMA, in `ERROR` behind those of every edge.
DMA_ERRORS = {"descriptor": "START.start met an address, or the chain a descriptor, that is none of this hardware's",
              "mismatch": "the lengths of a layer do not fit its job: words or places are left over",
              "read": "a read was answered with an error", "write": "a write was answered with an error"}
DMA_ERROR_BIT = EDGE_ERROR_BIT + len(EDGE_ERRORS)
#: Errors that do no more than say so; all others end the chain.
HARMLESS = ("start_busy", "range")


def npu_errors(params: DmaParams) -> tuple[str, ...]:
    """The fields of `ERROR`."""
    return (*engine_errors(params.engine), *EDGE_ERRORS, *DMA_ERRORS)


def npu_registers(params: DmaParams) -> tuple[Register, ...]:
    """The map of a build, by rising offset."""
    errors, engine = engine_errors(params.engine), params.engine
    interrupts = {"done": "a chain's last result was written", "layer": "a layer was done whose descriptor asks for it"}
    return (
        whole("ID", 0x000, "const", 32, "'SNPU' in ASCII, the first letter in the highest byte", IDENTITY),
        whole("VERSION", 0x004, "const", 32, "version of this register map", MAP_VERSION),
        Register(name="START", offset=0x008, description="begins the chain at CHAIN, unless STATUS.busy",
                 fields=bits("pulse", {"start": "1: begin"})),
        Register(name="STATUS", offset=0x00C, description="state of this moment", fields=(
            Field(name="idle", low=0, width=1, access="ro", reset=1,
                  description="there is no chain, nothing is on its way on the bus, every event is counted"),
            *bits("ro", {"busy": "there is a chain, or the engine is halted: START is refused",
                         "halted": "the engine stands still after an error or for a flush"}, 1))),
        Register(name="ERROR", offset=0x010, description="sticky errors; write 1 to clear", fields=(
            *bits("w1c", errors), *bits("w1c", EDGE_ERRORS, EDGE_ERROR_BIT),
            *bits("w1c", DMA_ERRORS, DMA_ERROR_BIT))),
        Register(name="IRQ_ENABLE", offset=0x014, description="which bits of IRQ_STATUS raise `irq`", fields=bits(
            "rw", {"done": "enables done", "layer": "enables layer", "error": "enables error"})),
        Register(name="IRQ_STATUS", offset=0x018, description="reasons for an interrupt; write 1 to clear", fields=(
            *bits("w1c", interrupts),
            *bits("ro", {"error": "a bit of ERROR is set; clear it there"}, len(interrupts)))),
        whole("DONE", 0x01C, "ro", COUNTER_WIDTH, "layers that were done since reset, modulo 2^32"),
        Register(name="CTRL", offset=0x020, description="what the engine does at its edge", fields=(
            *bits("rw", {"flush": "1: the chain ends, the engine halts"}),
            *bits("pulse", {"clear_events": "1: the totals of all events begin anew"}, 3))),
        *watch_registers(engine),
        Register(name="ERROR_TEST", offset=0x038, description="sets bits of ERROR, to test what handles them", fields=(
            *bits("pulse", {name: f"1: set {name}" for name in errors}),
            *bits("pulse", {name: f"1: set {name}" for name in EDGE_ERRORS}, EDGE_ERROR_BIT),
            *bits("pulse", {name: f"1: set {name}" for name in DMA_ERRORS}, DMA_ERROR_BIT))),
        whole("DESCRIPTOR", 0x03C, "ro", COUNTER_WIDTH,
              "number in its chain of the descriptor at hand, from 0; after an error, of the one that had it"),
        *capability_registers(engine),
        whole("CHAIN_LOW", 0x080, "rw", 32, "address of the chain's first descriptor, a multiple of 256; bits 31:0"),
        whole("CHAIN_HIGH", 0x084, "rw", 32, "bits 63:32 of it"),
        whole("BUS_WIDTH", 0x088, "const", 32, "bits of a word of the bus", params.bus_width),
        whole("ADDRESS_WIDTH", 0x08C, "const", 32, "bits of an address", params.address_width),
    )
