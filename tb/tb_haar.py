"""Lifting units, forward and inverse, and the bias behind them: values, tags, the cycle of every beat, events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from amaranth.lib import wiring

from rtl_gen.haar.finish import Finish
from rtl_gen.haar.forward import HH, LL, Haar
from rtl_gen.haar.inverse import HaarInverse
from sim import haar as haar_sim
from stamp_hw import haar
from stamp_hw.config import NpuConfig
from stamp_hw.engine import linear
from stamp_hw.engine.wire_layer import arrange
from stamp_hw.formats.trace import Trace
from stamp_hw.haar_slots import HaarJob
from stamp_hw.params import FinishParams, HaarParams
from stamp_hw.rescale import finish
from tb.batch.bench import BatchBench, batch_test
from tb.bench.harness import TRACE, Expect, Feed
from tb.bench.patterns import ALWAYS, Pattern, listed, periodic, sides, throttles

_WIDE = HaarParams(lanes=16, width=16, axes=2, max_levels=8, max_beats=8, max_tokens=1024)
_LINE = HaarParams(lanes=13, width=12, axes=1, max_levels=8, max_beats=7, max_tokens=1000)
_TINY = HaarParams(lanes=11, width=9, axes=2, max_levels=3, max_beats=1, max_tokens=77)
PARAMETER_SETS: dict[str, HaarParams | FinishParams] = {
    "forward": _WIDE,
    "inverse": replace(_WIDE, width=28, direction="inverse"),
    "forward_1d": _LINE,
    "inverse_1d": replace(_LINE, width=32, direction="inverse"),
    "forward_tiny": _TINY,
    "forward_tiny_deep": replace(_TINY, read_stages=2, write_stages=1),
    "inverse_tiny_deep": replace(_TINY, width=13, direction="inverse", read_stages=2),
    "finish": FinishParams(lanes=15, width=28, z_frac=4),
    "finish_2": FinishParams(lanes=7, width=26, z_frac=2),
    "finish_0": FinishParams(lanes=3, width=28, z_frac=0),
}
# On top of the other tests, so that the wide builds compare a million words in each direction.
_MILLION = 900_000


def build(params: HaarParams | FinishParams) -> wiring.Component:
    if isinstance(params, FinishParams):
        return Finish(params)
    return (Haar if params.direction == "forward" else HaarInverse)(params)


def lifts(bench: BatchBench) -> bool:
    """Whether this build is a lifting unit; a test for those asks, and has nothing to do where it is not."""
    if not isinstance(bench.params, HaarParams):
        bench.nothing("the unit that adds the bias does not lift")
    return isinstance(bench.params, HaarParams)


def adds_bias(bench: BatchBench) -> bool:
    """Whether this build is the unit that adds the bias, asked in the same way."""
    if not isinstance(bench.params, FinishParams):
        bench.nothing("a lifting unit adds no bias")
    return isinstance(bench.params, FinishParams)


def golden(params: HaarParams, job: HaarJob, values: np.ndarray) -> np.ndarray:
    """What the golden model makes of [tokens, channels] in the unit's direction."""
    return (haar.forward if params.direction == "forward" else haar.inverse)(values, job.levels, job.grid)


def tags(params: HaarParams, job: HaarJob) -> dict[str, np.ndarray]:
    """Level, row, column and band of every coefficient index, from the shapes of the bands."""
    shapes = haar.band_shapes(job.levels, (1, job.tokens) if job.grid is None else job.grid)
    columns: dict[str, list[np.ndarray]] = {"level": [], "row": [], "column": [], "band": []}
    for place, (rows, width) in enumerate(shapes):
        index = np.arange(rows * width)
        columns["level"].append(np.full_like(index, 0 if place == 0 else job.levels - (place - 1) // 3))
        columns["band"].append(np.full_like(index, 0 if place == 0 else 1 + (place - 1) % 3))
        columns["row"].append(index // max(width, 1))
        columns["column"].append(index % max(width, 1))
    names = ("level", "row", "column", "band") if params.axes == 2 else ("level", "column")
    return {name: np.concatenate(columns[name]) for name in names}


def beats_of(params: HaarParams, job: HaarJob,
             values: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """One job's input and output beats."""
    table = haar_sim.timetable(params, job)
    token, coef = table.token[table.token >= 0], table.coef[table.coef >= 0]
    result = golden(params, job, values)
    last = np.tile(np.arange(job.beats) == job.beats - 1, job.tokens)
    if params.direction == "inverse":
        return ({"c": values[coef].reshape(-1, params.lanes)},
                {"x": result[token].reshape(-1, params.lanes), "last": last})
    wanted = {name: np.repeat(tag[coef], job.beats) for name, tag in tags(params, job).items()}
    return ({"x": values[token].reshape(-1, params.lanes)},
            {"c": result[coef].reshape(-1, params.lanes), "last": last, **wanted})


def registers(params: HaarParams, jobs: Sequence[HaarJob]) -> dict[str, list[int]]:
    """The job stream's beats."""
    shapes = [(1, job.tokens) if job.grid is None else job.grid for job in jobs]
    fields = {"levels": [job.levels for job in jobs], "beats": [job.beats for job in jobs],
              "width": [width for _, width in shapes]}
    if params.axes == 2:
        fields |= {"height": [height for height, _ in shapes], "two_d": [job.grid is not None for job in jobs]}
    return fields


async def check(bench: BatchBench, cases: Sequence[tuple[HaarJob, np.ndarray]], valid: Pattern = ALWAYS,
                ready: Pattern = ALWAYS, *, name: object = "", abort_at: int | None = None) -> None:
    """From reset, run the jobs one behind the other and compare everything."""
    params = bench.params
    await bench.reset(int(bench.rng.integers(1, 4)))
    both = [beats_of(params, job, values) for job, values in cases]
    jobs = [job for job, _ in cases]
    fed, wanted = ({key: np.concatenate([side[i][key] for side in both]) for key in both[0][i]} for i in (0, 1))
    timing = haar_sim.timing(params, jobs, valid, ready)
    predicted = {"job": timing.jobs, "i": timing.inputs, "o": timing.outputs}
    shown = " ".join(map(str, jobs[:4])) + (f" and {len(jobs) - 4} more" if len(jobs) > 4 else "")
    await bench.run({"job": Feed(registers(params, jobs)), "i": Feed(fed, valid)}, {"o": Expect(wanted, ready)},
                    job=f"{name} [{shown}; valid {valid}, ready {ready}]", timing=predicted, abort_at=abort_at,
                    events=haar_sim.events(params, jobs))


def limits(params: HaarParams) -> tuple[int, int]:
    """Smallest and largest input. Inverse: what stays inside of `width` through every level, as 24 of 28 bits do; at 32
    bits golden model and RTL wrap alike."""
    bits = params.width if params.direction == "forward" or params.width == 32 else params.width - 4
    return -(1 << (bits - 1)), (1 << (bits - 1)) - 1


def draw_shape(bench: BatchBench, max_tokens: int) -> tuple[int, tuple[int, int] | None, int]:
    """(tokens, grid, levels) of any legal job."""
    params, rng = bench.params, bench.rng
    limit = min(params.max_tokens, max_tokens)
    tokens = int(rng.integers(1, limit + 1)) if rng.integers(4) else int(rng.integers(1, min(limit, 9) + 1))
    if params.axes == 1 or rng.integers(4) == 0:
        return tokens, None, int(rng.integers(params.max_levels + 1))
    height = int(rng.integers(1, tokens + 1)) if rng.integers(4) == 0 else max(1, int(tokens ** rng.uniform(0.3, 0.7)))
    width = tokens // height
    return height * width, (height, width), int(rng.integers(params.max_levels // 2 + 1))


def draw(bench: BatchBench, *, max_words: int) -> tuple[HaarJob, np.ndarray]:
    """A job of any shape with values of any magnitude."""
    params, rng = bench.params, bench.rng
    beats = int(rng.integers(1, params.max_beats + 1))
    tokens, grid, levels = draw_shape(bench, max(1, max_words // (beats * params.lanes)))
    job, (low, high) = HaarJob(tokens=tokens, levels=levels, beats=beats, grid=grid), limits(params)
    shape, kind = (tokens, beats * params.lanes), int(rng.integers(8))
    if kind == 0:
        return job, np.repeat(growing(params, job)[:, None], shape[1], axis=1)
    if kind == 1:
        return job, rng.choice([low, high, -1, 0], shape)
    return job, rng.integers(low, high + 1, shape) >> rng.integers(0, params.width, (tokens, 1))


@batch_test(quota=0.55)
async def random_jobs_under_stalls_equal_the_golden_model(bench: BatchBench) -> None:
    if lifts(bench):
        for job in bench.jobs():
            valid, ready = (ALWAYS, ALWAYS) if job % 2 else throttles(bench.rng)
            await check(bench, [draw(bench, max_words=12000)], valid, ready, name=job)


@batch_test(quota=0.45)
async def jobs_of_different_shapes_follow_each_other(bench: BatchBench) -> None:
    if lifts(bench):
        for job in bench.jobs():
            valid, ready = (ALWAYS, ALWAYS) if job % 2 else throttles(bench.rng)
            cases = [draw(bench, max_words=1500) for _ in range(int(bench.rng.integers(2, 7)))]
            await check(bench, cases, valid, ready, name=job)


@batch_test
async def a_million_words_equal_the_golden_model(bench: BatchBench) -> None:
    """On the wide builds, scaled with the words that the run was asked for."""
    if not lifts(bench):
        return
    if bench.params.lanes != 16:
        bench.nothing(f"builds of 16 lanes take them, this one has {bench.params.lanes}")
    else:
        wanted = _MILLION * bench.context["words"] * len(PARAMETER_SETS) // 1_000_000
        job = 0
        while bench.words < wanted:
            await check(bench, [draw(bench, max_words=100_000)], name=job)
            job += 1


@batch_test
async def every_small_shape_is_exact(bench: BatchBench) -> None:
    """All the levels on lengths and grids around the edges of tiles, and the corners of the number range."""
    if not lifts(bench):
        return
    params, rng = bench.params, bench.rng
    low, high = limits(params)
    corners = np.array([low, high, -1, 0, 1, low + 1])
    shapes: list[tuple[int, tuple[int, int] | None]] = [(tokens, None) for tokens in (1, 2, 3, 4, 5, 7, 8, 9, 16, 17)]
    if params.axes == 2:
        shapes += [(h * w, (h, w)) for h, w in ((1, 1), (1, 6), (7, 1), (2, 2), (2, 3), (3, 2), (3, 5), (4, 4), (5, 8))]
    cases = []
    for tokens, grid in [shape for shape in shapes if shape[0] <= params.max_tokens]:
        for levels in range(params.max_levels // (1 if grid is None else 2) + 1):
            beats = 1 + (tokens + levels) % params.max_beats
            values = rng.choice(corners, (tokens, beats * params.lanes))
            cases.append((HaarJob(tokens=tokens, levels=levels, beats=beats, grid=grid), values))
    for number, (valid, ready) in enumerate(sides(rng).values()):
        await check(bench, cases[::-1] if number % 2 else cases, valid, ready)


def growing(params: HaarParams, job: HaarJob) -> np.ndarray:
    """Values [tokens] that reach the unit's extremes: alternating ones forward, and inverse the signs for which every
    level adds half of the range to the first token (1-D: s − d / 2; 2-D: LL − LH / 2 − (HL − HH / 2) / 2)."""
    low, high = limits(params)
    if params.direction == "forward":
        return np.where(np.arange(job.tokens) % 2, high, low)
    if job.grid is None:
        return np.where(np.arange(job.tokens) < haar.band_shapes(job.levels, (1, job.tokens))[0][1], high, low)
    return np.where(np.isin(tags(params, job)["band"], (LL, HH)), high, low)


@batch_test
async def the_largest_jobs_are_exact(bench: BatchBench) -> None:
    """The last token, the deepest level and the extremes of the number range that the build is made for."""
    if not lifts(bench):
        return
    params, cases = bench.params, []
    # Lengths that end at every place of a small tile: the inverse unit tells nobody where it is, only how far it goes.
    lengths = [length for length in range(params.max_tokens - 3, params.max_tokens + 1) if length > 0]
    shapes: list[tuple[int, tuple[int, int] | None]] = [(length, None) for length in lengths]
    if params.axes == 2:
        side = int(params.max_tokens**0.5)
        shapes += [(length, grid) for length in lengths for grid in ((1, length), (length, 1))]
        shapes.append((side * side, (side, side)))
    for tokens, grid in shapes:
        for beats in (1, params.max_beats):
            most = min(tokens, 40_000 // (beats * params.lanes)) if grid is None and beats > 1 else tokens
            job = HaarJob(tokens=most, levels=params.max_levels // (1 if grid is None else 2), beats=beats, grid=grid)
            if job.tokens * beats * params.lanes <= 40_000:
                cases.append((job, np.repeat(growing(params, job)[:, None], beats * params.lanes, axis=1)))
    job, values = cases[-1]
    cases.append((job, bench.rng.permuted(values, axis=0)))
    for valid, ready in sides(bench.rng).values():
        await check(bench, cases, valid, ready)


@batch_test
async def registers_that_come_late_change_no_value(bench: BatchBench) -> None:
    """The cycle model has every job's registers on offer; here they come late, so only values are compared."""
    if lifts(bench):
        for valid in (periodic(1, 40), periodic(1, 3, True), listed([0] * 300 + [1], "late")):
            await bench.reset()
            cases = [draw(bench, max_words=600) for _ in range(4)]
            both = [beats_of(bench.params, job, values) for job, values in cases]
            fed, wanted = ({key: np.concatenate([side[i][key] for side in both]) for key in both[0][i]} for i in (0, 1))
            jobs = [job for job, _ in cases]
            await bench.run({"job": Feed(registers(bench.params, jobs), valid), "i": Feed(fed)},
                            {"o": Expect(wanted)}, job=f"registers {valid}", events=haar_sim.events(bench.params, jobs))


@batch_test
async def an_output_that_never_seems_ready_loses_nothing(bench: BatchBench) -> None:
    if lifts(bench):
        cases = [draw(bench, max_words=400) for _ in range(3)]
        for valid, ready in ((ALWAYS, periodic(1, 9)), (periodic(1, 9), ALWAYS), (periodic(1, 2, True), periodic(1, 3)),
                             (ALWAYS, listed([0] * 200 + [1] * 3, "sleepy"))):
            await check(bench, cases, valid, ready)


@batch_test
async def a_reset_in_the_middle_leaves_nothing_behind(bench: BatchBench) -> None:
    if lifts(bench):
        for attempt in range(8):
            valid, ready = throttles(bench.rng)
            case = draw(bench, max_words=1500)
            total = haar_sim.timing(bench.params, [case[0]], valid, ready).cycles
            await check(bench, [case], valid, ready, name=f"aborted {attempt}",
                        abort_at=int(bench.rng.integers(1, total + 1)))
            await check(bench, [draw(bench, max_words=500)], name=f"after {attempt}")


@batch_test(trace=True)
async def tensors_of_the_shipped_trace_are_lifted_as_the_golden_model_does(bench: BatchBench) -> None:
    """Of one layer of each kind, as many tokens and channels as the build holds; forward, and back; whoever stalls. In
    2-D builds the same tokens are a grid as well."""
    if not lifts(bench):
        return
    if bench.params.width < 16 or not TRACE.is_file():
        bench.nothing(f"{TRACE}: no such file" if not TRACE.is_file() else
                      f"{bench.params.width} bits do not hold INT16 codes")
        return
    params, kinds = bench.params, set()
    with Trace.open(TRACE) as trace:
        for layer in trace:
            if layer.kind in kinds or not layer.transform or layer.x.shape[1] < params.lanes:
                continue
            kinds.add(layer.kind)
            wire = arrange(layer, NpuConfig())
            s_x = layer.s_x or float(np.abs(wire.x[wire.n_sink:]).max()) / 32767
            x, _, _ = linear.quantize_input(wire.x, s_x, wire.n_sink, NpuConfig().hw.in_width)
            x = x[wire.n_sink:, :min(4, params.max_beats) * params.lanes][:min(256, params.max_tokens)]
            x = x[:, :x.shape[1] // params.lanes * params.lanes].astype(np.int64)
            for grid in (None, (8, len(x) // 8))[:params.axes]:
                tokens, levels = len(x) if grid is None else grid[0] * grid[1], params.max_levels // (1 + bool(grid))
                job = HaarJob(tokens=tokens, levels=min(5, levels), beats=x.shape[1] // params.lanes, grid=grid)
                lifted = haar.forward(x[:tokens], job.levels, grid).astype(np.int64)
                for valid, ready in sides(bench.rng).values():
                    await check(bench, [(job, x[:tokens] if params.direction == "forward" else lifted)], valid, ready,
                                name=layer.name)


async def check_finish(bench: BatchBench, v: np.ndarray, bias: np.ndarray, valid: Pattern, ready: Pattern,
                       name: object, *, abort_at: int | None = None) -> None:
    """One run of the unit that adds the bias: v, bias [beats, lanes]."""
    params = bench.params
    config = NpuConfig().with_hw(z_frac=params.z_frac)
    y, saturated = finish(v.reshape(1, -1), bias.ravel(), config)
    y = y.reshape(v.shape)
    last = bench.rng.integers(0, 2, len(v))
    timing = haar_sim.finish_timing(params, len(v), valid, ready)
    await bench.run({"i": Feed({"v": v, "bias": bias, "last": last}, valid)},
                    {"o": Expect({"y": y, "last": last}, ready)}, job=f"{name}, valid {valid}, ready {ready}",
                    timing={"i": timing.inputs, "o": timing.outputs}, abort_at=abort_at,
                    events={"outputs": y.size, "saturated": int(saturated.sum())})


@batch_test(quota=1.0)
async def bias_rounding_and_saturation_equal_the_golden_model(bench: BatchBench) -> None:
    if not adds_bias(bench):
        return
    params, rng = bench.params, bench.rng
    corners = np.array([-(1 << (params.width - 1)), (1 << (params.width - 1)) - 1, -9, -8, -7, -1, 0, 7, 8, 9,
                        (32767 << params.z_frac) + 7, (32767 << params.z_frac) + 8, (-32768 << params.z_frac) - 8,
                        (-32768 << params.z_frac) - 9])
    powers = 1 << np.arange(params.bias_width - 1, dtype=np.int64)  # one bit alone must be seen to be beyond 16
    biases = np.array([0, -1, *powers, *~powers, -(1 << (params.bias_width - 1)), (1 << (params.bias_width - 1)) - 1,
                       32767, -32768])
    pairs = np.stack(np.meshgrid(corners, biases), axis=-1).reshape(-1, 1, 2)
    v, bias = np.moveaxis(np.repeat(pairs, params.lanes, axis=1), 2, 0)
    for valid, ready in sides(rng).values():
        await check_finish(bench, v, bias, valid, ready, "corners")
    for job in bench.jobs():
        shape, shift = (2000, params.lanes), rng.integers(0, 28, (2, 2000, params.lanes))
        v = rng.integers(-(1 << (params.width - 1)), 1 << (params.width - 1), shape) >> shift[0]
        bias = rng.integers(-(1 << (params.bias_width - 1)), 1 << (params.bias_width - 1), shape) >> shift[1]
        valid, ready = throttles(rng)
        await check_finish(bench, v, bias, valid, ready, job)


@batch_test
async def a_reset_while_finishing_leaves_nothing_behind(bench: BatchBench) -> None:
    if adds_bias(bench):
        for attempt in range(8):
            v = bench.rng.integers(-999, 999, (40, bench.params.lanes))
            await check_finish(bench, v, v, ALWAYS, periodic(1, 1), f"aborted {attempt}", abort_at=7 + 5 * attempt)
            await bench.reset()
            await check_finish(bench, -v, v, ALWAYS, ALWAYS, f"after {attempt}")
