"""A sweep from beginning to end: points made, those that are there already left out, the rest handed to workers, and
each kept as soon as it is done."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from sim.sweep import points
from sim.sweep.axes import Values
from sim.sweep.kept import Kept
from sim.sweep.points import Point, Setting
from sim.sweep.spec import Sweep
from sim.sweep.workers import Done, Workers
from sim.workload.ops import Workload
from stamp_hw.errors import OutputError, StampError
from stamp_hw.text import plural

SCHEMA_VERSION = 1
_CHUNK_S = 0.25  # of a worker's time: what is lost at most where one is ended, and long against handing over
_MOST = 512  # points of a chunk
_PATIENCE_S = 1.0  # between two looks at workers that have nothing done

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All `points` of a sweep, their `setting` as a text, `workloads` that differ, and the `head` of its file."""

    points: list[Point]
    setting: str
    workloads: list[Workload]
    head: dict[str, Any]


def plan(sweep: Sweep) -> Plan:
    """The points of a sweep, each with its workload or with why there is none."""
    loads: dict[str, str] = {}
    workloads: list[Workload] = []

    def load(values: Values) -> str:
        key = repr([(field, value) for field, value in values.items() if field.startswith("workload.")])
        if key not in loads:
            try:
                found = sweep.load_of(values)
                workloads.append(found.workload)
                loads[key] = points.loaded(found)
            except StampError as error:
                loads[key] = points.refused(error)
        return loads[key]

    made = [Point(number=number, values=values, load=load(values)) for number, values in enumerate(sweep.points())]
    setting = Setting(base=sweep.base, schemes=sweep.schemes, energy_set=sweep.energy_set,
                      mapping=sweep.mapping, code=points.code_here())
    text = setting.text()
    digest = hashlib.sha256(text.encode())
    for point in made:
        digest.update(f"\n{points.dumps(point.values)}\n{point.load}".encode())
    head = {"schema_version": SCHEMA_VERSION, "version": metadata.version("stamp-hw"), "code": setting.code,
            "base": sweep.base, "workload": sweep.workload, "schemes": sweep.schemes, "mapping": sweep.mapping,
            "fields": sweep.moved, "samples": sweep.samples, "seed": sweep.seed, "points": len(made),
            "digest": digest.hexdigest()}
    return Plan(points=made, setting=text, workloads=workloads, head=head)


def run(plan: Plan, workers: Workers, kept: Kept, say: Say) -> None:
    """Cost the points that are not there. Raises StampError where that cannot go on; what is done is kept."""
    left = deque(point for point in plan.points if point.number not in kept.lines)
    said = _Progress(len(plan.points), len(kept.lines), say)
    flying: set[Future[Done]] = set()
    size = 1
    try:
        while left or flying:
            slots = workers.slots()
            while left and len(flying) < slots:
                share = -(-len(left) // (2 * slots))  # so that all workers have something to do until the end
                chunk = [left.popleft() for _ in range(min(size, share, len(left)))]
                flying.add(workers.submit(plan.setting, points.chunk(chunk)))
            for future in wait(flying, _PATIENCE_S, FIRST_COMPLETED).done:
                flying.remove(future)
                seconds, text = future.result()
                lines = text.split("\n")
                kept.add(lines)
                size = max(1, min(_MOST, int(_CHUNK_S * len(lines) / max(seconds, 1e-6))))
            said.show(len(kept.lines))
    except OutputError:
        raise
    except BaseException:
        for text in _finished(flying):
            kept.add(text.split("\n"))
        raise


def _finished(flying: set[Future[Done]]) -> Iterator[str]:
    """What some workers have done though the sweep has failed."""
    for future in flying:
        if future.done() and not future.cancelled() and future.exception() is None:
            yield future.result()[1]


class _Progress:
    """How far a sweep is."""

    def __init__(self, total: int, before: int, say: Say) -> None:
        self._total, self._before, self._say = total, before, say
        self._start = time.monotonic()

    def show(self, done: int) -> None:
        """Say it, with the points a second of this run and the time that the rest will take at that rate."""
        seconds = time.monotonic() - self._start
        rate = (done - self._before) / max(seconds, 1e-6)
        rest = f", {(self._total - done) / rate:.0f} s left" if rate else ""
        self._say(f"{done} of {plural(self._total, 'point')}, {rate:.1f} a second{rest}")
