"""A register between two streams, with its testbench: the smallest block, on which the harness itself is proved."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Module, Mux, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from sim import pipeline
from tb.harness import Bench, Expect, Feed, bench_test
from tb.patterns import ALWAYS, periodic, random_bits, throttles


@dataclass(frozen=True, slots=True, kw_only=True)
class PilotParams:
    """`lanes` values of `width` signed bits a beat."""

    lanes: int
    width: int


def advance(valid: object, ready: object) -> object:
    """The register may load: it is empty or being read (the seam of the faults)."""
    return ~valid | ready


class Pilot(wiring.Component):
    """out = a + 1 (modulo), one register, one beat a cycle; `events.beats` counts beats taken in."""

    def __init__(self, params: PilotParams) -> None:
        self.params = params
        layout = data.StructLayout({"last": 1, "a": data.ArrayLayout(signed(params.width), params.lanes)})
        super().__init__({"i": In(stream.Signature(layout)), "o": Out(stream.Signature(layout)),
                          "events": Out(data.StructLayout({"beats": 1, "lanes": 8}))})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        m.d.comb += self.i.ready.eq(advance(self.o.valid, self.o.ready))
        m.d.comb += self.events.beats.eq(self.i.valid & self.i.ready)
        m.d.comb += self.events.lanes.eq(Mux(self.events.beats, self.params.lanes, 0))
        with m.If(self.i.ready):
            m.d.sync += self.o.valid.eq(self.i.valid)
            m.d.sync += self.o.p.last.eq(self.i.p.last)
            for lane in range(self.params.lanes):
                m.d.sync += self.o.p.a[lane].eq(self.i.p.a[lane] + 1)
        return m


PARAMETER_SETS = {"narrow": PilotParams(lanes=3, width=5), "bytes": PilotParams(lanes=31, width=8)}
build = Pilot


def _beats(bench: Bench, beats: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    half = 1 << (bench.params.width - 1)
    a = bench.rng.integers(-half, half, (beats, bench.params.lanes))
    last = bench.rng.integers(0, 2, beats)
    return {"a": a, "last": last}, {"a": (a + 1 + half) % (2 * half) - half, "last": last}


@bench_test
async def directed_values(bench: Bench) -> None:
    """Corners, one beat, no beat, and every kind of stall."""
    half, lanes = 1 << (bench.params.width - 1), bench.params.lanes
    for valid, ready in ((ALWAYS, ALWAYS), (periodic(1, 3), ALWAYS), (ALWAYS, periodic(2, 1)),
                         (random_bits(bench.rng), random_bits(bench.rng))):
        a = np.array([[-half] * lanes, [half - 1] * lanes, [-1] * lanes, [0] * lanes])
        out = np.array([[1 - half] * lanes, [-half] * lanes, [0] * lanes, [1] * lanes])
        last = [0, 1, 1, 0]
        timing = pipeline.run([True] * 4, [True] * 4, 1, valid, ready)
        await bench.run({"i": Feed({"a": a, "last": last}, valid)}, {"o": Expect({"a": out, "last": last}, ready)},
                        timing={"i": timing.inputs, "o": timing.outputs}, events={"beats": 4, "lanes": 4 * lanes})
        await bench.run({}, {})


@bench_test
async def reset_in_the_middle(bench: Bench) -> None:
    """After a reset the job that was under way leaves no trace."""
    given, wanted = _beats(bench, 50)
    job = {"i": Feed(given)}, {"o": Expect(wanted, periodic(1, 1))}
    await bench.run(*job, abort_at=33)
    await bench.reset()
    run = await bench.run(*job)
    assert run.cycles == 101 and len(run.fields["o"]["a"]) == 50


@bench_test
async def lanes_without_care_are_not_compared(bench: Bench) -> None:
    """What `care` excludes may differ and does not count."""
    given, wanted = _beats(bench, 10)
    wanted["a"] = wanted["a"].copy()
    wanted["a"][:, 0] = 0
    before = bench.words
    await bench.run({"i": Feed(given)}, {"o": Expect(wanted, care={"a": np.arange(bench.params.lanes) > 0})})
    assert bench.words - before == 10 * (bench.params.lanes - 1)


@bench_test
async def nothing_below_the_top_is_visible(bench: Bench) -> None:
    """Only ports are public to the simulator: the register behind them has no handle."""
    names = {handle._name for handle in bench.dut}
    assert names == {"clk", "rst", "i__valid", "i__ready", "i__payload", "o__valid", "o__ready", "o__payload", "events"}


@bench_test(quota=1.0)
async def random_values_under_stalls(bench: Bench) -> None:
    """Random beats, patterns drawn for each job, cycles of every beat and events."""
    for job in bench.jobs():
        valid, ready = throttles(bench.rng)
        given, wanted = _beats(bench, 400)
        timing = pipeline.run([True] * 400, [True] * 400, 1, valid, ready)
        await bench.run({"i": Feed(given, valid)}, {"o": Expect(wanted, ready)}, job=f"{job} {valid} {ready}",
                        timing={"i": timing.inputs, "o": timing.outputs},
                        events={"beats": 400, "lanes": 400 * bench.params.lanes})
