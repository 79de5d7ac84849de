"""What each unit of the engine does when, for one layer: spans of cycles from the beat-exact model
(`sim.engine.timing`), at the external memory's rate or behind its port.

Cycles count from that in which the job's registers are taken; a span ends in front of its `end`. The spans of a unit
come in order and do not overlap.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sim.dram import Memory
from sim.engine import closed_form
from sim.engine.array import NEVER, issue
from sim.engine.closed_form import EngineCycles
from sim.engine.port_streams import PortMemory
from sim.engine.timing import EngineTiming, timing
from sim.task import Task
from stamp_hw.config import HwConfig
from stamp_hw.engine import super_tile
from stamp_hw.engine.job import EngineJob
from stamp_hw.engine.params import EngineParams
from stamp_hw.engine.super_tile import SuperTile
from stamp_hw.errors import StampError

#: Units in the order of the data.
UNITS = ("tokens in", "weights in", "parameters in", "array", "drain", "inverse lifting", "results out",
         "external memory")
MAX_SPANS, MAX_BEATS, MAX_CYCLES = 200_000, 8_000_000, 50_000_000


@dataclass(frozen=True, slots=True)
class Span:
    """`begin` to `end` (excluded) a unit works on `name`, of that `super_tile` and `column` tile (None: of none)."""

    name: str
    begin: int
    end: int
    super_tile: int | None = None
    column: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """`units` each with its spans; `cycles` of the layer in closed forms, the end of the last span."""

    units: dict[str, tuple[Span, ...]]
    cycles: EngineCycles


@dataclass(slots=True)
class _Log:
    """What the stages behind the streams were told to do: passes, and jobs of the inverse lifting."""

    passes: list[tuple[int, Sequence[int], int]] = field(default_factory=list)
    liftings: list[tuple[int, int]] = field(default_factory=list)

    def issued(self, last: int, ready: Sequence[int], out_free: int) -> None:
        self.passes.append((last, ready, out_free))

    def lifted(self, begin: int, end: int) -> None:
        self.liftings.append((begin, end))


def timeline(task: Task, hw: HwConfig) -> Timeline:
    """The spans of a layer.

    Raises
    ------
    ConfigError : as `sim.engine.closed_form.simulate`
    StampError : more spans than MAX_SPANS, beats than MAX_BEATS, or cycles than MAX_CYCLES
    """
    cycles = closed_form.simulate(task, hw)
    params = EngineParams.of(hw)
    parts = super_tile.split(task.job, hw, super_tile.token_limit(task.job, hw))
    _check_size(task, hw, params, cycles)
    job = EngineJob.of(task.job, k=task.channels_in, n=task.n, params=params, group=task.group, weights=task.weights,
                       shift=None if task.k_in is None else 0)
    log = _Log()
    if hw.memory is None:
        patterns = {name: rate for name, rate in Memory.of(hw).patterns.items() if not rate.full}
        beats = timing(params, [job], patterns, watch=log)
    else:
        beats = timing(params, [job], memory=PortMemory(hw), watch=log)
    work = [(number, column, part) for number, part in enumerate(parts) for column in range(job.columns)]
    tiles = list(_tiles(log.passes, params, task.k))
    late = cycles.total - beats.cycles
    units = {
        "tokens in": tuple(_tokens(beats, job)),
        "weights in": tuple(_loads("weights", beats.weights.tolist(), work, task.weights.beats(task.k))),
        "parameters in": tuple(_loads("parameters", beats.parameters.tolist(), work, hw.cols)),
        "array": tuple(_array(tiles, work, task, params)),
        "drain": tuple(_drain(tiles, work, params)),
        "inverse lifting": tuple(_inverse(log.liftings, work, job)),
        "results out": tuple(_results(beats, work, job, params)),
        "external memory": (Span("the layer's bytes take longer", beats.cycles, cycles.total),) if late else (),
    }
    return Timeline(units=units, cycles=cycles)


Work = Sequence[tuple[int, int, SuperTile]]


def _check_size(task: Task, hw: HwConfig, params: EngineParams, cycles: EngineCycles) -> None:
    """Raise StampError for a layer whose timeline nobody could load, or that takes too long to follow."""
    passes = cycles.super_tiles * cycles.column_tiles
    blocks = -(-task.k // params.block) if params.block else 1
    spans = task.tokens + 5 * passes + (1 + 2 * blocks) * cycles.array_tiles + 1
    beats = (task.tokens * (-(-task.channels_in // hw.lanes) + task.out_beats(hw))
             + passes * (task.weights.beats(task.k) + hw.cols))
    for what, count, most in (("events", spans, MAX_SPANS), ("beats", beats, MAX_BEATS),
                              ("cycles", cycles.total, MAX_CYCLES)):
        if count > most:
            raise StampError(f"timeline of too many {what}", where="--shape", got=f"up to {count:,}",
                             expected=f"at most {most:,}: fewer tokens, inputs or outputs, or a faster memory")


def _tokens(beats: EngineTiming, job: EngineJob) -> Iterator[Span]:
    cycles = beats.tokens.tolist()
    for number, first in enumerate(range(0, len(cycles), job.in_beats)):
        yield Span(f"token {number}" if number >= job.n_sink else f"outlier {number}", cycles[first],
                   cycles[first + job.in_beats - 1] + 1)


def _loads(what: str, cycles: list[int], work: Work, count: int) -> Iterator[Span]:
    """`count` beats a pass."""
    for place, (number, column, _) in enumerate(work):
        yield Span(what, cycles[place * count], cycles[(place + 1) * count - 1] + 1, number, column)


def _tiles(passes: Sequence[tuple[int, Sequence[int], int]], params: EngineParams, k: int
           ) -> Iterator[list[tuple[int, int]]]:
    """(first, last step) of each array tile of each pass: `issue` a tile at a time."""
    span, least = params.tile_cycles(k)
    for last, ready, out_free in passes:
        found = []
        for place, cycle in enumerate(ready):
            first = max(cycle, last + 1)
            last = issue(last, [cycle], span, least, NEVER if place else out_free)
            found.append((first, last))
        yield found


def _array(tiles: Sequence[Sequence[tuple[int, int]]], work: Work, task: Task, params: EngineParams) -> Iterator[Span]:
    """The steps of every tile: nothing waits but the last step of a tile, and with blocks of each block."""
    least = params.mac.min_tile_cycles
    block_steps = params.block or task.k
    sizes = [min(block_steps, task.k - start) for start in range(0, task.k, block_steps)]
    for (number, column, _), found in zip(work, tiles, strict=True):
        for place, (first, last) in enumerate(found):
            begin = first
            # Blocks but the last end as soon as the array takes them; the last one ends with its tile.
            for block, size in enumerate(sizes):
                end = last if block == len(sizes) - 1 else max(begin + size - 1, begin - 1 + (least if block else 0))
                name = f"tile {place}" + (f", block {block}" if len(sizes) > 1 else "")
                if end == begin + size - 1:
                    yield Span(name, begin, end + 1, number, column)
                else:
                    if size > 1:
                        yield Span(name, begin, begin + size - 1, number, column)
                    yield Span(f"{name}, last step", end, end + 1, number, column)
                begin = end + 1


def _drain(tiles: Sequence[Sequence[tuple[int, int]]], work: Work, params: EngineParams) -> Iterator[Span]:
    """The sums of a tile on their way to the rescale unit."""
    count = params.read_beats if params.block else params.mac.drain_beats
    for (number, column, _), found in zip(work, tiles, strict=True):
        for place, (_, last) in enumerate(found):
            end = last + params.drain_cycles + 1
            yield Span(f"tile {place}", end - count, end, number, column)


def _inverse(liftings: Sequence[tuple[int, int]], work: Work, job: EngineJob) -> Iterator[Span]:
    """Of a pass: the outliers in the first super-tile, then the rectangle."""
    rest = iter(liftings)
    for number, column, part in work:
        for name in (*(("outliers",) if job.n_sink and not part.first_tile else ()), "tokens"):
            begin, end = next(rest)
            yield Span(name, begin, end, number, column)


def _results(beats: EngineTiming, work: Work, job: EngineJob, params: EngineParams) -> Iterator[Span]:
    cycles, before = beats.outputs.tolist(), 0
    for number, column, part in work:
        tokens = part.tokens + (job.n_sink if not part.first_tile else 0)
        after = before + tokens * (params.chunks if column + 1 < job.columns else job.out_beats)
        yield Span("results", cycles[before], cycles[after - 1] + 1, number, column)
        before = after
