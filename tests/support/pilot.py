"""A register between two streams, with its testbench: the smallest block, on which the harness itself is proved.

The input `fault` makes it misbehave in a chosen way, so that one build shows what the harness detects.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Module, Mux, ResetSignal, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from sim import pipeline
from tb.bench.harness import Bench, Expect, Feed, Run, bench_test
from tb.bench.patterns import ALWAYS, Pattern, periodic, random_bits, throttles

NONE, WRONG, DROP, REPEAT, IGNORE_READY, STUCK, SLOW, MISCOUNT, KEEP = range(9)


@dataclass(frozen=True, slots=True, kw_only=True)
class PilotParams:
    """`lanes` values of `width` signed bits a beat."""

    lanes: int
    width: int


INCREMENT = f"{__name__}.increment"  # the seam of this block's faults


def increment(value: Value) -> Value:
    """The whole arithmetic; the seam of a fault seeded by a patch."""
    return value + 1


class Pilot(wiring.Component):
    """out = a + 1 (modulo), one register, one beat a cycle; `events` counts beats and lanes taken in."""

    def __init__(self, params: PilotParams) -> None:
        self.params = params
        layout = data.StructLayout({"last": 1, "a": data.ArrayLayout(signed(params.width), params.lanes)})
        super().__init__({"i": In(stream.Signature(layout)), "o": Out(stream.Signature(layout)), "fault": In(4),
                          "events": Out(data.StructLayout({"beats": 1, "lanes": 8}))})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        valid = Signal(reset_less=True)
        free = Mux(self.fault == IGNORE_READY, 1, ~valid | (self.o.ready & (self.fault != SLOW)))
        m.d.comb += self.o.valid.eq(valid)
        m.d.comb += self.i.ready.eq(free & (self.fault != STUCK))
        m.d.comb += self.events.beats.eq(self.i.valid & self.i.ready)
        m.d.comb += self.events.lanes.eq(Mux(self.events.beats, self.params.lanes, 0) + (self.fault == MISCOUNT))
        with m.If(self.i.ready):
            m.d.sync += valid.eq(self.i.valid & ~((self.fault == DROP) & self.i.p.last))
            with m.If((self.fault == REPEAT) & valid & self.o.p.last & ~self.i.valid):
                m.d.sync += valid.eq(1)
        with m.Elif(self.o.ready):
            m.d.sync += valid.eq(0)
        with m.If(self.i.ready & self.i.valid):
            m.d.sync += self.o.p.last.eq(self.i.p.last)
            for lane in range(self.params.lanes):
                m.d.sync += self.o.p.a[lane].eq(increment(self.i.p.a[lane]) + (self.fault == WRONG))
        with m.If(ResetSignal() & (self.fault != KEEP)):
            m.d.sync += valid.eq(0)
        return m


PARAMETER_SETS = {"narrow": PilotParams(lanes=3, width=5), "bytes": PilotParams(lanes=31, width=8)}
build = Pilot


def beats(bench: Bench, number: int, last: object = None) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Random input beats and what must come out."""
    half = 1 << (bench.params.width - 1)
    a = bench.rng.integers(-half, half, (number, bench.params.lanes))
    flags = bench.rng.integers(0, 2, number) if last is None else np.asarray(last)
    return {"a": a, "last": flags}, {"a": (a + 1 + half) % (2 * half) - half, "last": flags}


async def job(bench: Bench, number: int, valid: Pattern = ALWAYS, ready: Pattern = ALWAYS, last: object = None,
              name: str = "") -> Run:
    """One job with everything predicted."""
    given, wanted = beats(bench, number, last)
    timing = pipeline.run([True] * number, [True] * number, 1, valid, ready)
    return await bench.run({"i": Feed(given, valid)}, {"o": Expect(wanted, ready)}, job=name or f"{valid} {ready}",
                           timing={"i": timing.inputs, "o": timing.outputs},
                           events={"beats": number, "lanes": number * bench.params.lanes})


async def must_fail(bench: Bench, pattern: str, fault: int, number: int, valid: Pattern = ALWAYS,
                    ready: Pattern = ALWAYS, last: object = None) -> None:
    """The job under `fault` must end in a message that matches `pattern`, and pass without the fault."""
    await job(bench, number, valid, ready, last)
    bench.set(fault=fault)
    try:
        await job(bench, number, valid, ready, last)
    except AssertionError as error:
        assert re.search(pattern, str(error)), f"{pattern!r} is not in: {error}"
    else:
        raise AssertionError(f"fault {fault} was not seen")
    bench.set(fault=NONE)
    await bench.reset()


@bench_test
async def directed_values(bench: Bench) -> None:
    """Corners under every kind of stall, and runs without a beat between them."""
    half, lanes = 1 << (bench.params.width - 1), bench.params.lanes
    for valid, ready in ((ALWAYS, ALWAYS), (periodic(1, 3), ALWAYS), (ALWAYS, periodic(2, 1)),
                         (random_bits(bench.rng), random_bits(bench.rng))):
        a = np.array([[-half] * lanes, [half - 1] * lanes, [-1] * lanes, [0] * lanes])
        out = np.array([[1 - half] * lanes, [-half] * lanes, [0] * lanes, [1] * lanes])
        last = [0, 1, 1, 0]
        timing = pipeline.run([True] * 4, [True] * 4, 1, valid, ready)
        await bench.run({"i": Feed({"a": a, "last": last}, valid)}, {"o": Expect({"a": out, "last": last}, ready)},
                        timing={"i": timing.inputs, "o": timing.outputs}, events={"beats": 4, "lanes": 4 * lanes})
        run = await bench.run({}, {})
        assert run.cycles == 0


@bench_test
async def reset_in_the_middle(bench: Bench) -> None:
    """After a reset the job that was under way leaves no trace; a register that keeps its beat is found."""
    for fault in (NONE, KEEP):
        given, wanted = beats(bench, 50)
        bench.set(fault=fault)
        await bench.run({"i": Feed(given)}, {"o": Expect(wanted, periodic(1, 1))}, abort_at=33)
        await bench.reset()
        try:
            run = await bench.run({"i": Feed(given)}, {"o": Expect(wanted, periodic(1, 1))})
        except AssertionError as error:
            assert fault == KEEP and "beat 0" in str(error)
            continue
        assert fault == NONE and run.cycles == 101 and np.array_equal(run.fields["o"]["a"], wanted["a"])


@bench_test
async def lanes_without_care_are_not_compared(bench: Bench) -> None:
    """What `care` excludes may differ and does not count."""
    given, wanted = beats(bench, 10)
    wanted["a"] = wanted["a"].copy()
    wanted["a"][:, 0] = 0
    before = bench.words
    await bench.run({"i": Feed(given)}, {"o": Expect(wanted, care={"a": np.arange(bench.params.lanes) > 0})})
    assert bench.words - before == 10 * (bench.params.lanes - 1)


@bench_test
async def nothing_below_the_top_is_visible(bench: Bench) -> None:
    """Only ports are public to the simulator: the register behind them has no handle."""
    names = {handle._name for handle in bench.dut}
    assert names == {"clk", "rst", "fault", "events", *(f"{port}__{part}" for port in "io"
                                                       for part in ("valid", "ready", "payload"))}
    assert not hasattr(bench.dut, "valid")


@bench_test
async def every_misbehaviour_is_seen(bench: Bench) -> None:
    """Each kind of broken stream or model ends in its own message."""
    slow = periodic(1, 3)
    await must_fail(bench, r"o\.a, beat 0, lane 0: got -?\d+, expected -?\d+ \(9 of 9", WRONG, 9, last=[0] * 9)
    await must_fail(bench, r"o\.\w+, beat 4.*; then hang: .*o 8 of 9 came", DROP, 9, last=[0] * 4 + [1] + [0] * 4)
    await must_fail(bench, r"hang: .*i 9 of 9 taken, o 8 of 9 came", DROP, 9, last=[0] * 8 + [1])
    await must_fail(bench, r"o\.\w+, beat 3.*; then o: extra beat", REPEAT, 9, slow, last=[0, 0, 1] + [0] * 6)
    await must_fail(bench, "o: extra beat in cycle 10 after the 9 expected", REPEAT, 9, last=[0] * 8 + [1])
    await must_fail(bench, "o: payload changed under stall in cycle", IGNORE_READY, 9, ready=slow)
    await must_fail(bench, "o: valid fell in cycle", IGNORE_READY, 9, valid=periodic(1, 9), ready=slow)
    await must_fail(bench, "hang: .*i 0 of 9 taken, o 0 of 9 came", STUCK, 9)
    await must_fail(bench, "i, beat 1: taken in cycle 2, predicted 1", SLOW, 9)
    await must_fail(bench, r"events: lanes got \d+, expected", MISCOUNT, 9)


@bench_test(quota=1.0)
async def random_values_under_stalls(bench: Bench) -> None:
    """Random beats, patterns drawn for each job, cycles of every beat and events."""
    for index in bench.jobs():
        valid, ready = throttles(bench.rng)
        await job(bench, 400, valid, ready, name=f"{index} {valid} {ready}")
