"""The one coroutine that is awake every clock: drives every input stream, samples every output stream and the events.

Cycle c is the clock period that ends at the c-th rising edge after the call. What is sampled at an edge are the
values that the period settled to; what is driven right after an edge belongs to the next cycle.

- Input: if no beat is on offer, the next one is offered from cycle c on iff the pattern's bit c is 1; `valid` and
  the payload then stay until the cycle in which `ready` is 1 too (the AXI rule).
- Output: `ready` is the pattern's bit of the cycle.

`sim/` follows the same two rules, which is why cycles can be compared beat by beat.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from cocotb.triggers import RisingEdge

from tb.bench.patterns import Pattern

DRAIN_CYCLES = 24  # after the last expected beat nothing more may come; longer than any block holds a stray beat
HANG_CYCLES = 40_000  # without a beat on any port; longer than any legal silence (a group of 32768 channels, one lane)


class StreamError(AssertionError):
    """The DUT broke a stream's rules, hung, or sent too much."""


@dataclass(slots=True, kw_only=True)
class Source:
    """Input stream: `beats` to send under `pattern`; `taken` gets the cycle of each accepted beat."""

    name: str
    valid: Any
    ready: Any
    payload: Any
    beats: Sequence[int]
    pattern: Pattern
    taken: list[int] = field(default_factory=list)
    offered: bool = False
    is_valid: int | None = None

    def drive(self, cycle: int) -> None:
        """Drive `valid` and the payload of `cycle`."""
        if self.offered:
            return
        sent = len(self.taken)
        self.offered = sent < len(self.beats) and bool(self.pattern.bits[cycle % len(self.pattern.bits)])
        if self.offered:
            self.payload.value = self.beats[sent]
        if self.offered != self.is_valid:
            self.valid.value = self.is_valid = int(self.offered)

    def sample(self, cycle: int) -> bool:
        """Was a beat taken in `cycle`?"""
        if self.offered and self.ready.value:
            self.taken.append(cycle)
            self.offered = False
            return True
        return False


@dataclass(slots=True, kw_only=True)
class Sink:
    """Output stream that must give the beats `wanted`; `read` gives the payload; `beats` and `taken` collect.

    Only the number of beats is checked here; values are compared once all have come.
    """

    name: str
    valid: Any
    ready: Any
    read: Callable[[], int]
    wanted: Sequence[int]
    pattern: Pattern
    beats: list[int] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)
    held: int | None = None
    is_ready: int | None = None

    @property
    def expected(self) -> int:
        """Beats that must come."""
        return len(self.wanted)

    def drive(self, cycle: int) -> None:
        """Drive `ready` of `cycle`."""
        bit = self.pattern.bits[cycle % len(self.pattern.bits)]
        if bit != self.is_ready:
            self.ready.value = self.is_ready = bit

    def sample(self, cycle: int) -> bool:
        """Was a beat taken in `cycle`? Raises StreamError when a waiting beat vanished or changed, or one is extra."""
        if not self.valid.value:
            if self.held is not None:
                raise StreamError(f"{self.name}: valid fell in cycle {cycle} before the beat was taken")
            return False
        payload = self.read()
        if self.held is not None and payload != self.held:
            raise StreamError(f"{self.name}: payload changed under stall in cycle {cycle}: "
                              f"{self.held:#x}, then {payload:#x}")
        if len(self.taken) >= self.expected:
            raise StreamError(f"{self.name}: extra beat in cycle {cycle} after the {self.expected} expected ones: "
                              f"{payload:#x}")
        if not self.is_ready:
            self.held = payload
            return False
        self.held = None
        self.beats.append(payload)
        self.taken.append(cycle)
        return True


def reader(handle: Any) -> Callable[[], int]:
    """What reads a signal of any width as an unsigned integer."""
    return (lambda: int(handle.value)) if len(handle) == 1 else (lambda: handle.value.to_unsigned())


async def drive(clk: Any, sources: Sequence[Source], sinks: Sequence[Sink], events: Callable[[], int] | None = None,
                abort_at: int | None = None) -> list[int]:
    """Run until every beat was taken (and DRAIN_CYCLES more), or for `abort_at` cycles; returns `events` of each cycle.

    Raises StreamError on a broken rule, an extra beat, or HANG_CYCLES without any beat.
    """
    edge, sampled = RisingEdge(clk), []
    cycle = last = 0
    done = not any(source.beats for source in sources) and not any(sink.expected for sink in sinks)
    while cycle != abort_at and not (done and cycle - last >= DRAIN_CYCLES):
        for source in sources:
            source.drive(cycle)
        for sink in sinks:
            sink.drive(cycle)
        await edge
        moved = False
        for source in sources:
            moved |= source.sample(cycle)
        for sink in sinks:
            moved |= sink.sample(cycle)
        if events is not None:
            sampled.append(events())
        cycle += 1
        if moved:
            last = cycle
            done = (all(len(source.taken) == len(source.beats) for source in sources)
                    and all(len(sink.taken) == sink.expected for sink in sinks))
        elif cycle - last > HANG_CYCLES:
            state = [f"{source.name} {len(source.taken)} of {len(source.beats)} taken" for source in sources]
            state += [f"{sink.name} {len(sink.taken)} of {sink.expected} came" for sink in sinks]
            raise StreamError(f"hang: no beat since cycle {last}: {', '.join(state)}")
    for source in sources:
        source.valid.value = 0
    for sink in sinks:
        sink.ready.value = 0
    return sampled
