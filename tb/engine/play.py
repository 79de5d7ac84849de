"""Layers through the engine's bench: what drives and checks them, and the stalls that it draws."""

from __future__ import annotations

from collections.abc import Sequence

from rtl_gen.engine.layouts import errors_of
from sim.engine.events import events
from sim.engine.timing import EngineTiming, timing
from stamp_hw.engine.job import EngineJob
from tb.batch.bench import BatchBench
from tb.bench.harness import Expect, Feed
from tb.bench.patterns import ALWAYS, Pattern, throttles
from tb.engine.cases import Case, draw, joined

INPUTS = ("job", "i", "w", "p")


async def play(bench: BatchBench, cases: Sequence[Case], job: object, stalls: dict[str, Pattern] | None = None,
               errors: Sequence[str] = ()) -> None:
    """Jobs one after the other: every output, the cycle of every beat, all events, no error but `errors`."""
    stalls = stalls or {}
    names = "; ".join(case.name for case in cases)
    where = f"{job}: {names}; {' '.join(f'{name} {pattern}' for name, pattern in stalls.items())}"
    jobs = [case.job for case in cases]
    saturated = {unit: sum(case.saturated[unit] for case in cases) for unit in cases[0].saturated}
    await bench.run({name: Feed(joined(cases, name), stalls.get(name, ALWAYS)) for name in INPUTS},
                    {"o": Expect(joined(cases, "o"), stalls.get("o", ALWAYS))}, job=where,
                    timing=cycles(bench, jobs, stalls).streams, events=events(bench.params, jobs, saturated))
    await check_status(bench, where, *errors)


def cycles(bench: BatchBench, jobs: Sequence[EngineJob], stalls: dict[str, Pattern]) -> EngineTiming:
    """The cycle model of these jobs under these stalls."""
    return timing(bench.params, jobs, {name: stalls.get(name, ALWAYS) for name in INPUTS}, stalls.get("o", ALWAYS))


async def check_status(bench: BatchBench, where: object, *errors: str) -> None:
    """Idle once the inverse unit has walked to the end of its last job, with these sticky errors and no other."""
    await bench.rest((1 << bench.params.max_levels) + 50)
    status = int(bench.dut.status.value)
    seen = [name for bit, name in enumerate(errors_of(bench.params)) if status >> (1 + bit) & 1]
    assert seen == list(errors), f"job {where}: errors {seen}, expected {list(errors)}"
    assert status & 1, f"job {where}: not idle"


async def clear_errors(bench: BatchBench) -> None:
    """A cycle of `clear`; afterwards no error is left."""
    bench.set(clear=1)
    await bench.rest(1)
    bench.set(clear=0)
    await bench.rest(1)
    await check_status(bench, "clear")


def several(bench: BatchBench, most: int = 4) -> list[Case]:
    """One to `most` random layers."""
    return [draw(bench.rng, bench.params) for _ in range(int(bench.rng.integers(1, most + 1)))]


def stalls_of(bench: BatchBench) -> dict[str, Pattern]:
    """A pattern for each of the five streams."""
    return {name: throttles(bench.rng)[0] for name in (*INPUTS, "o")}
