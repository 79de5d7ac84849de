"""What software does with `stamp_npu`, as `stamp_npu.h` says it in C: start a chain, poll, interrupts, errors, events.

A call is a generator of accesses that gets the values that were read, so it knows neither a bus nor a clock: `run`
makes its accesses on any object with `read32` and `write32`, a testbench makes them when its simulator can.

    npu = NpuCalls(npu_registers(params))
    run(bus, npu.start(0x80000000))
    while run(bus, npu.poll()) is State.RUNS: ...
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from enum import Enum, auto
from typing import Any, NamedTuple, Protocol, TypeVar

T = TypeVar("T")


class Access(NamedTuple):
    """Of the register at a byte offset: `value` is written to it, None reads it."""

    offset: int
    value: int | None = None


Call = Generator[Access, int, T]


class Bus(Protocol):
    """Registers by byte offset from the beginning of the map."""

    def read32(self, offset: int) -> int: ...

    def write32(self, offset: int, value: int) -> None: ...


class State(Enum):
    """What a chain is at: it runs, it has ended, an error or a flush ended it."""

    RUNS, ENDED, FAILED = auto(), auto(), auto()


class Found(NamedTuple):
    """The errors that stand, by their names in ERROR, and the number of the descriptor at hand."""

    errors: tuple[str, ...]
    descriptor: int


def run(bus: Bus, call: Call[T]) -> T:
    """Make the accesses of a call; returns what it returns."""
    got: Any = None
    while True:
        try:
            access = call.send(got)
        except StopIteration as end:
            result: T = end.value
            return result
        got = None
        if access.value is None:
            got = bus.read32(access.offset)
        else:
            bus.write32(access.offset, access.value)


class NpuCalls:
    """The calls, by the register map of a build.

    Parameters
    ----------
    table : the registers, `rtl_gen.dma.registers.npu_registers`; of each its `name`, `offset` and `fields`, of each
        of these `name`, `mask`, `low`, `access` and `reset`
    """

    def __init__(self, table: Sequence[Any]) -> None:
        self._table = tuple(table)
        self._at: dict[str, int] = {register.name: register.offset for register in table}
        self._mask = {(register.name, field.name): field.mask for register in table for field in register.fields}

    def mask(self, register: str, *fields: str) -> int:
        """Bits of fields of a register."""
        return sum(self._mask[register, field] for field in fields)

    def named(self, register: str, value: int) -> tuple[str, ...]:
        """Fields of a register of which a value has a bit."""
        return tuple(field for (owner, field), mask in self._mask.items() if owner == register and value & mask)

    def matches(self) -> Call[bool]:
        """Whether all constants, the map's version and what the hardware has, are those of this build."""
        same = True
        for register in self._table:
            if register.fields[0].access == "const":
                same = (yield Access(register.offset)) == register.fields[0].reset and same
        return same

    def start(self, chain: int) -> Call[bool]:
        """Start the chain whose first descriptor is at `chain`; whether it did: not where one runs, nor halted."""
        if (yield self._read("STATUS")) & self.mask("STATUS", "busy"):
            return False
        yield self._write("CHAIN_LOW", chain & 0xFFFFFFFF)
        yield self._write("CHAIN_HIGH", chain >> 32)
        yield self._write("START", self.mask("START", "start"))
        return True

    def poll(self) -> Call[State]:
        """What the chain is at; ENDED and FAILED once nothing is on its way on the bus."""
        status = yield self._read("STATUS")
        if not status & self.mask("STATUS", "idle"):
            return State.RUNS
        return State.FAILED if status & self.mask("STATUS", "halted") else State.ENDED

    def wait(self, polls: int) -> Call[State]:
        """Poll until the chain has ended, at most so many times."""
        state = yield from self.poll()
        for _ in range(polls - 1):
            if state is not State.RUNS:
                break
            state = yield from self.poll()
        return state

    def enable(self, *reasons: str) -> Call[None]:
        """These reasons raise `irq`, and no others: `done`, `layer`, `error`."""
        yield self._write("IRQ_ENABLE", self.mask("IRQ_ENABLE", *reasons))

    def interrupt(self) -> Call[tuple[str, ...]]:
        """For the handler of `irq`: the reasons, which it takes back, but `error`, which stands until `recover`."""
        reasons = yield self._read("IRQ_STATUS")
        yield self._write("IRQ_STATUS", reasons)
        return self.named("IRQ_STATUS", reasons)

    def error(self) -> Call[Found]:
        """What ended a chain, and where."""
        number = yield self._read("DESCRIPTOR")
        return Found(self.named("ERROR", (yield self._read("ERROR"))), number)

    def layers(self) -> Call[int]:
        """Layers that were done since reset, modulo 2^32."""
        return (yield self._read("DONE"))

    def flush(self) -> Call[None]:
        """End whatever runs, and hold the engine until it is recovered."""
        yield self._write("CTRL", self.mask("CTRL", "flush"))

    def recover(self) -> Call[tuple[str, ...]]:
        """After an error or a flush: wait until nothing is on its way on the bus, clear the errors, let the engine go.
        Returns which errors there were; the next chain finds an engine that remembers nothing."""
        while not (yield self._read("STATUS")) & self.mask("STATUS", "idle"):
            pass
        error = yield self._read("ERROR")
        yield self._write("CTRL", 0)
        yield self._write("ERROR", error)
        while (yield self._read("STATUS")) & self.mask("STATUS", "halted"):
            pass
        return self.named("ERROR", error)

    def abort(self) -> Call[tuple[str, ...]]:
        """`flush` and `recover`."""
        yield from self.flush()
        return (yield from self.recover())

    def timeout(self, cycles: int) -> Call[None]:
        """So many cycles may pass while the engine waits and nothing moves, then `starved` ends the chain; 0: any."""
        yield self._write("TIMEOUT", cycles)

    def event(self, number: int) -> Call[int]:
        """Total of an event (`rtl_gen.axi.registers.events`); it stands still while the engine is idle."""
        yield self._write("EVENT_SELECT", number)
        low = yield self._read("EVENT_LOW")
        return (yield self._read("EVENT_HIGH")) << 32 | low

    def clear_events(self) -> Call[None]:
        """The totals of all events begin anew."""
        control = yield self._read("CTRL")
        yield self._write("CTRL", control | self.mask("CTRL", "clear_events"))

    def _read(self, register: str) -> Access:
        return Access(self._at[register])

    def _write(self, register: str, value: int) -> Access:
        return Access(self._at[register], value)
