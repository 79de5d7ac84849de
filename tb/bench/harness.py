"""What a testbench uses inside the simulator: `@bench_test` makes a cocotb test of a function of one `Bench`.

See tb/README.md for the convention. The order of a failure's message is: what went wrong, where (job, port, beat,
field, lane), got, expected; block, test, seed and the reproduce command are added once, by `bench_test`.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import time
import zlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge
from cocotb.utils import get_sim_time

from stamp_hw.rooms import HOME
from tb.bench import layout, streams
from tb.bench.patterns import ALWAYS, Pattern

CONTEXT = "STAMP_BENCH"  # environment variable: path of the JSON file by which the runner tells what to run
# real tensors for the benches: the shipped trace, or the one that `stamp-hw verify --trace` names
TRACE = Path(os.environ.get("STAMP_TRACE") or HOME / "models/traces/llama_small.safetensors")


@dataclass(frozen=True, slots=True)
class Feed:
    """Beats for an input stream: field → integers (beats, …), offered under `pattern`."""

    fields: Mapping[str, Any]
    pattern: Pattern = ALWAYS


@dataclass(frozen=True, slots=True)
class Expect:
    """Beats that an output stream must give: field → integers (beats, …), taken under `pattern`.

    `care` marks what is compared: field → bool, broadcast to (beats, …); a field that is absent matters everywhere.
    """

    fields: Mapping[str, Any]
    pattern: Pattern = ALWAYS
    care: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one run gave: per output the fields, per stream the cycle of each beat (int64), the events' totals."""

    fields: dict[str, dict[str, np.ndarray]]
    timing: dict[str, np.ndarray]
    events: dict[str, int]

    @property
    def cycles(self) -> int:
        """Cycles up to and including the last beat on any stream."""
        return 1 + max((int(taken[-1]) for taken in self.timing.values() if len(taken)), default=-1)


@dataclass(slots=True)
class _Totals:
    """What all tests of this simulator process add up to; the runner reads it as JSON."""

    words: int = 0
    mismatches: int = 0
    cycles: int = 0
    timed_beats: int = 0
    cycle_differences: int = 0
    events: dict[str, int] = field(default_factory=dict)
    event_differences: int = 0
    runs: int = 0
    tests: dict[str, int] = field(default_factory=dict)
    idle: dict[str, str] = field(default_factory=dict)  # test → why it had nothing to do
    seconds: dict[str, float] = field(default_factory=dict)
    failures: list[dict[str, Any]] = field(default_factory=list)  # fields of `tb.run.simulator.Failure`


TOTALS = _Totals()  # of this process
TRACE_TESTS: set[str] = set()  # names of the tests, of every bench that was imported, that take tensors from TRACE


def _write_totals(path: str) -> None:
    Path(path).write_text(json.dumps({name: getattr(TOTALS, name) for name in _Totals.__slots__}), "utf-8")


def params_to_json(params: Any) -> dict[str, Any]:
    """A parameter object (a dataclass at the top level of its module, of values and such objects) for
    `params_from_json`."""
    values = {each.name: getattr(params, each.name) for each in fields(params)}
    return {"module": type(params).__module__, "class": type(params).__qualname__,
            "fields": {name: params_to_json(value) if is_dataclass(value) else value for name, value in values.items()}}


def params_from_json(values: Mapping[str, Any]) -> Any:
    """The object that `params_to_json` described, validated again by its own class."""
    made = {name: params_from_json(value) if isinstance(value, dict) else value
            for name, value in values["fields"].items()}
    return getattr(importlib.import_module(values["module"]), values["class"])(**made)


class Bench:
    """The DUT between its streams, the random source, and the running totals.

    Attributes
    ----------
    dut : cocotb's handle of the top
    params : the parameter object of this build
    ports : name → `tb.bench.layout.Port`, whose `layout` knows the payload's fields
    rng : the only source of randomness; seeded by seed, parameter set and test name
    words : output words compared so far in this test
    clocked : False for a top without registers, which has no `clk`
    """

    def __init__(self, dut: Any, test: str, quota: float, context: Mapping[str, Any], params: Any) -> None:
        self.dut, self.test, self.params, self.context = dut, test, params, context
        self.ports = {port.name: port for port in layout.from_json(context["ports"])}
        self.rng = np.random.default_rng([context["seed"], zlib.crc32(f"{context['set']}.{test}".encode())])
        self.words, self._quota = 0, quota * context["words"]
        self._runs = 0  # of this test, whatever ran before it
        self._handles = {name: self._find(name, port.kind) for name, port in self.ports.items()}
        self.clocked = hasattr(dut, "clk")
        for name, port in self.ports.items():
            if port.kind == "input":
                self._handles[name].value = 0

    async def start(self) -> None:
        """Before a test: start the clock and reset."""
        if self.clocked:
            Clock(self.dut.clk, 10, unit="ns").start()
            await self.reset()

    def _find(self, name: str, kind: str) -> Any:
        if kind in ("in", "out"):
            return tuple(getattr(self.dut, f"{name}__{part}") for part in ("valid", "ready", "payload"))
        return getattr(self.dut, name)

    def jobs(self) -> Iterator[int]:
        """0, 1, 2, … until this test has compared its quota of output words; each round must compare some."""
        job, before = 0, -1
        while self.words < self._quota:
            if self.words == before:
                raise RuntimeError(f"{self.test}: a round of jobs() compared no word")
            before = self.words
            yield job
            job += 1

    async def reset(self, cycles: int = 3) -> None:
        """Hold `rst` for some cycles with every stream idle; the first cycle after it is the caller's."""
        for name, port in self.ports.items():
            if port.kind == "in":
                self._handles[name][0].value = 0
            elif port.kind == "out":
                self._handles[name][1].value = 0
        rst = getattr(self.dut, "rst", None)
        if rst is not None:
            rst.value = 1
        for _ in range(cycles):
            await RisingEdge(self.dut.clk)
        if rst is not None:
            rst.value = 0

    def nothing(self, why: str) -> None:
        """Say why this test has nothing to do on this hardware; whoever asked for it is told."""
        TOTALS.idle[self.test] = why

    def set(self, **signals: int) -> None:
        """Drive plain input ports from this cycle on."""
        for name, value in signals.items():
            self._handles[name].value = value

    async def run(self, inputs: Mapping[str, Feed], outputs: Mapping[str, Expect], *, job: object = "",
                  timing: Mapping[str, Any] | None = None, events: Any = None, abort_at: int | None = None) -> Run:
        """Send `inputs`, compare `outputs`; streams that are not named stay idle and must stay silent.

        Parameters
        ----------
        job : what a failure's message calls this run (shape, patterns, index)
        timing : stream → predicted cycle of every beat; compared for equality
        events : predicted totals, a mapping or a dataclass with the fields of the port `events`
        abort_at : stop after that many cycles, whatever is under way; what came until then is compared

        Raises AssertionError for a wrong value, cycle or event count, a broken stream rule, an extra beat or a hang.
        """
        self._refuse_unknown(inputs, outputs)
        sources, sinks = [], []
        for name, port in self.ports.items():
            if port.kind == "in":
                valid, ready, payload = self._handles[name]
                feed = inputs.get(name)
                sources.append(streams.Source(name=name, valid=valid, ready=ready, payload=payload,
                                              beats=port.layout.pack(feed.fields) if feed else [],
                                              pattern=feed.pattern if feed else ALWAYS))
            elif port.kind == "out":
                valid, ready, payload = self._handles[name]
                expect = outputs.get(name)
                wanted = port.layout.pack(expect.fields) if expect else []
                sinks.append(streams.Sink(name=name, valid=valid, ready=ready, read=streams.reader(payload),
                                          wanted=wanted, pattern=expect.pattern if expect else ALWAYS))
        where = f"job {job}" if job != "" else f"run {self._runs}"
        self._runs += 1
        read = streams.reader(self._handles["events"]) if "events" in self.ports else None
        TOTALS.runs += 1
        try:
            sampled = await streams.drive(self.dut.clk, sources, sinks, read, abort_at)
        except streams.StreamError as error:
            for sink in sinks:  # a wrong word often explains the broken stream
                self._compare(where, sink, outputs.get(sink.name), f"; then {error}")
            raise streams.StreamError(f"{where}, {error}") from None
        for sink in sinks:
            self._compare(where, sink, outputs.get(sink.name))
        run = Run(fields={sink.name: self.ports[sink.name].layout.unpack(sink.beats) for sink in sinks},
                  timing={source.name: np.array(source.taken, np.int64) for source in sources}
                  | {sink.name: np.array(sink.taken, np.int64) for sink in sinks},
                  events=self._sum_events(sampled))
        TOTALS.cycles += run.cycles
        if timing is not None:
            self._compare_timing(where, run, timing, abort_at)
        if events is not None and abort_at is None:
            self._compare_events(where, run.events, events)
        return run

    def _refuse_unknown(self, inputs: Mapping[str, Feed], outputs: Mapping[str, Expect]) -> None:
        unknown = (set(inputs) - {name for name, port in self.ports.items() if port.kind == "in"}
                   | set(outputs) - {name for name, port in self.ports.items() if port.kind == "out"})
        if unknown:
            raise ValueError(f"no such stream: {sorted(unknown)}")

    def _compare(self, where: str, sink: streams.Sink, expect: Expect | None, then: str = "") -> None:
        """Count the words of the beats that came; raise on the first that differs."""
        if expect is None or not sink.beats:
            return
        came, total = len(sink.beats), len(sink.wanted)
        got, wanted = sink.beats, sink.wanted[:came]
        self._count(sink.name, expect, came, total)
        if expect.care is not None:
            mask = self.ports[sink.name].layout.mask(expect.care, total)[:came]
            got = [beat & bits for beat, bits in zip(got, mask, strict=True)]
            wanted = [beat & bits for beat, bits in zip(wanted, mask, strict=True)]
        differing = [beat for beat in range(came) if got[beat] != wanted[beat]]
        if differing:
            raise self._difference(where, sink.name, differing, [got[beat] for beat in differing],
                                   [wanted[beat] for beat in differing], came, then)

    def _count(self, name: str, expect: Expect, came: int, total: int) -> None:
        """Add the words of the first `came` of `total` beats: the elements that matter and have more than one bit."""
        layout = self.ports[name].layout
        wide = [leaf for leaf in layout.leaves if leaf.width > 1]
        if expect.care is None:
            words = came * sum(leaf.count for leaf in wide)
        else:
            ones = layout.ones(expect.care, total)[1]
            words = sum(int(np.count_nonzero(ones[leaf.name][:came])) for leaf in wide)
        self.words += words
        TOTALS.words += words

    def _difference(self, where: str, stream: str, beats: Sequence[int], got: Sequence[int], wanted: Sequence[int],
                    came: int, then: str) -> AssertionError:
        """Count the words that differ in `beats`, whose payloads are `got` and `wanted`; names the first."""
        layout = self.ports[stream].layout
        left, right = layout.unpack(got), layout.unpack(wanted)
        TOTALS.mismatches += sum(int(np.count_nonzero(left[name] != right[name])) for name in layout.names)
        name, place = next((name, np.argwhere(left[name][0] != right[name][0])[0]) for name in layout.names
                           if np.any(left[name][0] != right[name][0]))
        lane = tuple(int(index) for index in place)
        here = f", lane {', '.join(map(str, lane))}" if lane else ""
        return AssertionError(f"{where}, {stream}.{name}, beat {beats[0]}{here}: got {left[name][0][lane]}, expected "
                              f"{right[name][0][lane]} ({len(beats)} of {came} beats differ){then}")

    def _compare_timing(self, where: str, run: Run, timing: Mapping[str, Any], abort_at: int | None) -> None:
        """Every beat's cycle against its prediction, stream by stream."""
        for name, predicted in timing.items():
            taken, wanted = run.timing[name], np.asarray(predicted)
            if abort_at is not None:
                wanted = wanted[wanted < abort_at]
            TOTALS.timed_beats += len(taken)
            if len(taken) != len(wanted):
                TOTALS.cycle_differences += abs(len(taken) - len(wanted))
                raise AssertionError(f"{where}, {name}: {len(wanted)} beats predicted, {len(taken)} came")
            wrong = np.flatnonzero(taken != wanted)
            TOTALS.cycle_differences += len(wrong)
            if len(wrong):
                beat = int(wrong[0])
                raise AssertionError(f"{where}, {name}, beat {beat}: taken in cycle {taken[beat]}, predicted "
                                     f"{wanted[beat]} ({len(wrong)} of {len(taken)} beats differ)")

    def _sum_events(self, sampled: list[int]) -> dict[str, int]:
        if "events" not in self.ports:
            return {}
        counts = self.ports["events"].layout.unpack(sampled)
        totals = {name: int(values.sum()) for name, values in counts.items()}
        for name, value in totals.items():
            TOTALS.events[name] = TOTALS.events.get(name, 0) + value
        return totals

    @staticmethod
    def _compare_events(where: str, got: Mapping[str, int], predicted: Any) -> None:
        wanted = predicted if isinstance(predicted, Mapping) else {
            name: getattr(predicted, name) for name in type(predicted).__dataclass_fields__}
        if set(wanted) != set(got):
            raise AssertionError(f"{where}, events: fields {sorted(got)} counted, {sorted(wanted)} predicted")
        differing = [f"{name} got {got[name]}, expected {wanted[name]}" for name in got if got[name] != wanted[name]]
        TOTALS.event_differences += len(differing)
        if differing:
            raise AssertionError(f"{where}, events: {'; '.join(differing)}")


def bench_test(function: Callable[[Any], Awaitable[None]] | None = None, *, quota: float = 0.0,
               kind: type[Bench] = Bench, trace: bool = False) -> Any:
    """Make a cocotb test of `async def function(bench)`: clock and reset before it, totals and failures written after.

    `quota` is the share of the parameter set's output words that `bench.jobs()` waits for in this test; `kind` is
    what `bench` is; `trace` says that the test takes its tensors from TRACE.
    """
    if function is None:
        return functools.partial(bench_test, quota=quota, kind=kind, trace=trace)
    body, name = function, function.__name__
    if trace:
        TRACE_TESTS.add(name)

    @functools.wraps(body)
    async def run(dut: Any) -> None:
        context = json.loads(Path(os.environ[CONTEXT]).read_text("utf-8"))
        params = params_from_json(context["params"])
        before, began, start = TOTALS.words, get_sim_time("step"), time.monotonic()
        try:
            bench = kind(dut, name, quota, context, params)
            await bench.start()
            await body(bench)
        except Exception as error:
            difference = isinstance(error, AssertionError)
            message = str(error) if difference else f"{type(error).__name__}: {error}"
            TOTALS.failures.append({"test": name, "message": message, "crashed": not difference,
                                    "steps": int(get_sim_time("step") - began)})
            raise
        finally:
            TOTALS.seconds[name] = round(time.monotonic() - start, 3)
            TOTALS.tests[name] = TOTALS.words - before
            _write_totals(context["result"])

    return cocotb.test(run)
