"""The testbench that sleeps while a job runs: `Bench` with whole memories in place of a coroutine a cycle.

Everything but the way beats move is `tb.bench.harness.Bench`: the same calls, values, cycles, events and messages.
While a job runs the C++ of player.h drives, samples, records and toggles the clock; cocotb wakes the test when it is
over.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
from cocotb.triggers import Timer

from tb.batch import memory
from tb.batch.abi import (
    EXTRA_BEAT,
    HANG,
    NEVER,
    PAYLOAD_CHANGED,
    VALID_FELL,
    Job,
    Memory,
)
from tb.bench import streams
from tb.bench.harness import TOTALS, Bench, Expect, Feed, Run, bench_test
from tb.bench.layout import Layout
from tb.bench.patterns import ALWAYS


class _Fields(dict[str, dict[str, np.ndarray]]):
    """Stream → fields, unpacked when somebody asks for them: most jobs are only compared."""

    def __init__(self, layouts: Mapping[str, Layout], words: Mapping[str, np.ndarray]) -> None:
        super().__init__()
        self._layouts, self._words = layouts, words

    def __missing__(self, name: str) -> dict[str, np.ndarray]:
        self[name] = memory.unpack(self._layouts[name], self._words[name])
        return self[name]


async def _played(job: Job) -> None:
    job.hand_over()
    await Timer(1, "step")  # due when the job is over, since its cycles take simulated time


class BatchBench(Bench):
    """A `Bench` whose runs take no Python time a cycle; see the base class for attributes and methods.

    There is no clock between runs: time stands still unless a job or a reset is under way, so a test awaits only
    `run`, `rest` and `reset`. `set` holds from the next of them on.
    """

    async def start(self) -> None:
        """Before a test: reset."""
        if self.clocked:
            await self.reset()

    async def reset(self, cycles: int = 3) -> None:
        """Hold `rst` for some cycles with every stream idle; the first cycle after it is the next run's."""
        rst = getattr(self.dut, "rst", None)
        if rst is not None:
            rst.value = 1
        await _played(Job([], None, max_cycles=cycles))
        if rst is not None:
            rst.value = 0

    async def rest(self, cycles: int) -> None:
        """Let the clock run with nothing offered; a beat that comes is an error. Not a run, so not counted as one."""
        played, _ = await self._play({}, {}, cycles, drain_cycles=cycles)
        TOTALS.cycles += played.cycles
        if played.broken:
            raise streams.StreamError(f"at rest, {self._broken(played)}")

    async def run(self, inputs: Mapping[str, Feed], outputs: Mapping[str, Expect], *, job: object = "",
                  timing: Mapping[str, Any] | None = None, events: Any = None, abort_at: int | None = None) -> Run:
        """As `Bench.run`: the same arguments, comparisons, messages and answer."""
        self._refuse_unknown(inputs, outputs)
        where = f"job {job}" if job != "" else f"run {self._runs}"
        self._runs += 1
        TOTALS.runs += 1
        played, wanted = await self._play(inputs, outputs, NEVER if abort_at is None else abort_at)
        came = played.words
        broken = self._broken(played) if played.broken else ""
        for name in wanted:  # first: a wrong word often explains the broken stream
            if name in outputs:
                self._compare_memory(where, name, outputs[name], came[name], wanted[name],
                                     f"; then {broken}" if broken else "")
        if broken:
            raise streams.StreamError(f"{where}, {broken}")
        layouts = {name: port.layout for name, port in self.ports.items()}
        outs = {name: came[name] for name, port in self.ports.items() if port.kind == "out"}
        run = Run(fields=_Fields(layouts, outs), timing=played.taken, events=played.events)
        for name, value in run.events.items():
            TOTALS.events[name] = TOTALS.events.get(name, 0) + value
        TOTALS.cycles += run.cycles
        if timing is not None:
            self._compare_timing(where, run, timing, abort_at)
        if events is not None and abort_at is None:
            self._compare_events(where, run.events, events)
        return run

    async def _play(self, inputs: Mapping[str, Feed], outputs: Mapping[str, Expect], max_cycles: int,
                    drain_cycles: int = streams.DRAIN_CYCLES) -> tuple[Job, dict[str, np.ndarray]]:
        """Play a job to its end; returns it and, per output stream, the memory that is wanted."""
        memories, wanted = [], {}
        for name, port in self.ports.items():
            if port.kind not in ("in", "out"):
                continue
            given: Feed | Expect | None = inputs.get(name) if port.kind == "in" else outputs.get(name)
            empty = np.empty((0, memory.word_bytes(port.layout.width)), np.uint8)
            words = memory.pack(port.layout, given.fields) if given else empty
            if port.kind == "out":
                wanted[name], words = words, np.empty_like(words)
            memories.append(Memory(name=name, words=words, pattern=given.pattern if given else ALWAYS))
        # No pattern is silent for longer than it takes to repeat, and the engine works in silence for a pass.
        patience = (streams.HANG_CYCLES + max(len(memory.pattern.bits) for memory in memories)
                    + getattr(self.params, "quiet_cycles", 0))
        job = Job(memories, self.ports["events"].layout if "events" in self.ports else None, max_cycles=max_cycles,
                  hang_cycles=patience, drain_cycles=drain_cycles)
        await _played(job)
        return job, wanted

    def _compare_memory(self, where: str, name: str, expect: Expect, came: np.ndarray, wanted: np.ndarray, then: str
                        ) -> None:
        """`Bench._compare` on memories."""
        if not len(came):
            return
        total, wanted = len(wanted), wanted[:len(came)]
        self._count(name, expect, len(came), total)
        if expect.care is not None:
            mask = memory.pack(*self.ports[name].layout.ones(expect.care, total))[:len(came)]
            came, wanted = came & mask, wanted & mask
        if np.array_equal(came, wanted):
            return
        beats = np.flatnonzero((came != wanted).any(axis=1))
        got, right = ([memory.to_int(word) for word in words[beats]] for words in (came, wanted))
        raise self._difference(where, name, beats.tolist(), got, right, len(came), then)

    def _broken(self, job: Job) -> str:
        """What went wrong, in the words of `tb.bench.streams`."""
        cycle = job.cycles - 1
        if job.broken == HANG:
            state = [f"{name} {len(job.taken[name])} of {len(stream.words)} "
                     f"{'taken' if self.ports[name].kind == 'in' else 'came'}"
                     for name, stream in job.streams.items()]
            return f"hang: no beat since cycle {job.last_move}: {', '.join(state)}"
        name, (was, now) = job.breaker.name, job.payloads
        return {
            VALID_FELL: f"{name}: valid fell in cycle {cycle} before the beat was taken",
            PAYLOAD_CHANGED: f"{name}: payload changed under stall in cycle {cycle}: {was:#x}, then {now:#x}",
            EXTRA_BEAT: f"{name}: extra beat in cycle {cycle} after the {len(job.breaker.words)} expected ones: "
                        f"{now:#x}",
        }[job.broken]


batch_test = functools.partial(bench_test, kind=BatchBench)
