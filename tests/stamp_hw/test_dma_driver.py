"""The driver of `stamp_npu` in Python, on registers that the test holds; the RTL's bench runs it as well (`tb.dma`)."""

from __future__ import annotations

from collections import deque

import pytest

from rtl_gen.dma.registers import npu_registers
from stamp_hw.config import NpuConfig
from stamp_hw.dma.driver import NpuCalls, State, run
from stamp_hw.dma.params import DmaParams

TABLE = npu_registers(DmaParams.of(NpuConfig().with_hw(bus_width=128).hw))
AT = {register.name: register.offset for register in TABLE}
IDLE, BUSY, HALTED = 1, 2, 4


class Registers:
    """A bus of words: what was written, in order; a register reads what is queued for it, then its last value."""

    def __init__(self) -> None:
        self.values = {register.offset: deque([register.reset]) for register in TABLE}
        self.written: list[tuple[str, int]] = []

    def will_read(self, name: str, *values: int) -> None:
        self.values[AT[name]] = deque(values)

    def read32(self, offset: int) -> int:
        queue = self.values[offset]
        return queue.popleft() if len(queue) > 1 else queue[0]

    def write32(self, offset: int, value: int) -> None:
        self.written.append((next(name for name, at in AT.items() if at == offset), value))


@pytest.fixture
def bus() -> Registers:
    return Registers()


NPU = NpuCalls(TABLE)


def test_a_chain_starts_where_its_address_says_and_not_beside_another_one(bus: Registers) -> None:
    assert run(bus, NPU.start(0x12_3456_7800))
    assert bus.written == [("CHAIN_LOW", 0x34567800), ("CHAIN_HIGH", 0x12), ("START", 1)]
    for status in (BUSY, IDLE | BUSY | HALTED):
        bus.written.clear()
        bus.will_read("STATUS", status)
        assert not run(bus, NPU.start(0)) and not bus.written


def test_it_waits_for_so_many_polls_and_tells_how_the_chain_ended(bus: Registers) -> None:
    for last, state in ((IDLE, State.ENDED), (IDLE | BUSY | HALTED, State.FAILED)):
        bus.will_read("STATUS", BUSY, BUSY, last)
        assert run(bus, NPU.wait(2)) is State.RUNS
        assert run(bus, NPU.wait(1)) is state
    bus.will_read("STATUS", BUSY | HALTED, IDLE)
    assert run(bus, NPU.poll()) is State.RUNS, "what is on its way on the bus has yet to come"


def test_an_error_has_names_and_a_descriptor_and_is_cleared_once_the_bus_is_quiet(bus: Registers) -> None:
    error = NPU.mask("ERROR", "read", "starved")
    bus.will_read("ERROR", error)
    bus.will_read("DESCRIPTOR", 7)
    found = run(bus, NPU.error())
    assert set(found.errors) == {"read", "starved"} and found.descriptor == 7
    bus.will_read("STATUS", BUSY | HALTED, IDLE | BUSY | HALTED, IDLE | BUSY | HALTED, IDLE)
    assert set(run(bus, NPU.recover())) == {"read", "starved"}
    assert bus.written == [("CTRL", 0), ("ERROR", error)] and run(bus, NPU.poll()) is State.ENDED


def test_an_abort_flushes_first(bus: Registers) -> None:
    assert run(bus, NPU.abort()) == ()
    assert bus.written == [("CTRL", NPU.mask("CTRL", "flush")), ("CTRL", 0), ("ERROR", 0)]


def test_an_interrupt_takes_back_what_it_found(bus: Registers) -> None:
    run(bus, NPU.enable("done", "error"))
    bus.will_read("IRQ_STATUS", 0b101)
    assert run(bus, NPU.interrupt()) == ("done", "error")
    assert bus.written == [("IRQ_ENABLE", 0b101), ("IRQ_STATUS", 0b101)]


def test_an_event_is_read_in_two_words_and_clearing_them_keeps_a_flush(bus: Registers) -> None:
    bus.will_read("EVENT_LOW", 0xFFFFFFFF)
    bus.will_read("EVENT_HIGH", 3)
    assert run(bus, NPU.event(5)) == 0x3_FFFFFFFF and bus.written == [("EVENT_SELECT", 5)]
    bus.will_read("CTRL", NPU.mask("CTRL", "flush"))
    run(bus, NPU.clear_events())
    assert bus.written[1:] == [("CTRL", NPU.mask("CTRL", "flush", "clear_events"))]
    run(bus, NPU.timeout(9))
    assert bus.written[-1] == ("TIMEOUT", 9)


def test_another_build_is_told_by_any_of_its_constants(bus: Registers) -> None:
    assert run(bus, NPU.matches())
    constants = [register for register in TABLE if register.fields[0].access == "const"]
    assert len(constants) > 10
    for register in constants:
        other = Registers()
        other.will_read(register.name, register.reset + 1)
        assert not run(other, NPU.matches()), register.name
    bus.will_read("DONE", 12)
    assert run(bus, NPU.layers()) == 12
