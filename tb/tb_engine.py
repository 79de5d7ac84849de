"""The linear engine: whole layers, back-to-back jobs, errors and resets; values, the cycle of every beat, events."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from rtl_gen.engine import Engine
from rtl_gen.engine_layouts import ERRORS
from sim.dram import Memory
from sim.engine import simulate
from sim.engine_events import events
from sim.engine_timing import timing
from sim.task import Task
from stamp_hw.config import HwConfig, JobConfig, NpuConfig
from stamp_hw.engine_params import EngineParams
from stamp_hw.errors import ConfigError
from stamp_hw.haar_slots import positions as positions_of
from stamp_hw.layer import Layer
from stamp_hw.trace import Trace
from stamp_hw.wire import beat_bytes
from tb.batch.bench import BatchBench, batch_test
from tb.engine_cases import Case, draw, joined
from tb.harness import TRACE, Expect, Feed
from tb.patterns import ALWAYS, Pattern, listed, rated, throttles

# Small buffers, so that small jobs have many super-tiles; sizes that are no powers of two; every width once.
PARAMETER_SETS = {name: EngineParams.of(hw) for name, hw in {
    "2x2": HwConfig(rows=2, cols=2, lanes=3, axes=1, max_levels=5, max_k=50, max_tokens=90, act_slots=33,
                    rescale_lanes=1, mul_stages=1, recip_frac=6, z_frac=2),
    "1x3": HwConfig(rows=1, cols=3, lanes=2, axes=2, max_levels=3, max_k=24, max_tokens=64, act_slots=40,
                    rescale_lanes=3, in_width=9, acc_width=24, z_frac=0),
    "3x6": HwConfig(rows=3, cols=6, lanes=1, axes=2, max_levels=4, max_k=60, max_tokens=70, act_slots=50,
                    rescale_lanes=2, mul_stages=3),
    "4x4": HwConfig(rows=4, cols=4, lanes=4, axes=2, max_levels=6, max_k=64, max_tokens=160, act_slots=40,
                    rescale_lanes=2),
    "6x5": HwConfig(rows=6, cols=5, lanes=5, axes=1, max_levels=8, max_k=66, max_tokens=300, act_slots=140,
                    rescale_lanes=5, in_width=12, acc_width=29, mul_stages=4),
    "8x8": HwConfig(rows=8, cols=8, lanes=16, axes=2, max_levels=6, max_k=192, max_tokens=512, act_slots=144),
    "16x16": HwConfig(rows=16, cols=16, lanes=32, axes=2, max_levels=8, max_k=512, max_tokens=512, act_slots=320),
}.items()}
build = Engine
WORDS = 100_000  # output words of random layers that a whole regression compares, in all sets together
INPUTS = ("job", "i", "w", "p")
STALL_CYCLES = 100_000
DEEP = bool(os.environ.get("STAMP_DEEP"))  # every layer of the trace, whatever its size (`make regress`)


async def play(bench: BatchBench, cases: Sequence[Case], job: object, stalls: dict[str, Pattern] | None = None,
               timed: bool = True) -> None:
    """Jobs one after the other: every output, the cycle of every beat, all events, no error."""
    stalls = stalls or {}
    names = "; ".join(case.name for case in cases)
    where = f"{job}: {names}; {' '.join(f'{name} {pattern}' for name, pattern in stalls.items())}"
    jobs = [case.job for case in cases]
    wanted: dict[str, Any] = {}
    if timed:
        wanted["timing"] = timing(bench.params, jobs, {name: stalls.get(name, ALWAYS) for name in INPUTS},
                                  stalls.get("o", ALWAYS)).streams
    saturated = {unit: sum(case.saturated[unit] for case in cases) for unit in ("rescale", "finish")}
    await bench.run({name: Feed(joined(cases, name), stalls.get(name, ALWAYS)) for name in INPUTS},
                    {"o": Expect(joined(cases, "o"), stalls.get("o", ALWAYS))}, job=where,
                    events=events(bench.params, jobs, saturated), **wanted)
    await check_status(bench, where)


async def check_status(bench: BatchBench, where: object, *errors: str) -> None:
    """Idle once the inverse unit has walked to the end of its last job, with these sticky errors and no other."""
    await bench.rest((1 << bench.params.max_levels) + 50)
    status = int(bench.dut.status.value)
    seen = [name for bit, name in enumerate(ERRORS) if status >> (1 + bit) & 1]
    assert seen == list(errors), f"job {where}: errors {seen}, expected {list(errors)}"
    assert status & 1, f"job {where}: not idle"


async def clear_errors(bench: BatchBench) -> None:
    """A cycle of `clear`; afterwards no error is left."""
    bench.set(clear=1)
    await bench.rest(1)
    bench.set(clear=0)
    await bench.rest(1)
    await check_status(bench, "clear")


def several(bench: BatchBench, most: int = 3) -> list[Case]:
    """One to `most` random layers."""
    return [draw(bench.rng, bench.params) for _ in range(int(bench.rng.integers(1, most + 1)))]


@batch_test(quota=0.4)
async def jobs_in_a_row_equal_the_models(bench: BatchBench) -> None:
    for job in bench.jobs():
        await play(bench, several(bench), job)


@batch_test(quota=0.6)
async def jobs_under_stalls_equal_the_models(bench: BatchBench) -> None:
    for job in bench.jobs():
        await play(bench, several(bench), job, {name: throttles(bench.rng)[0] for name in (*INPUTS, "o")})


@batch_test
async def inputs_at_the_memorys_rate_take_the_cycles_of_the_closed_form(bench: BatchBench) -> None:
    """From an eighth of a token's beat a cycle to more than one: every beat's cycle, and the total of a report."""
    for number in range(4):
        case, hw = draw(bench.rng, bench.params), bench.params.hw
        beat = beat_bytes(hw)["i"]
        moved = int(bench.rng.integers(max(1, beat // 8), beat + beat // 2 + 1))  # bytes a cycle
        hw = replace(hw, dram_bytes_per_s=hw.freq_hz * moved)
        rates, (k, n) = Memory.of(hw).patterns, case.job.channels(bench.params)
        closed = simulate(Task(job=case.job.resolved, k=k, n=n), hw)
        beats = timing(bench.params, [case.job], rates).cycles
        where = f"memory {number}, {moved} bytes a cycle"
        assert closed.total - closed.wait_dram_bytes == beats, f"{where}: {case.name}: {closed}, every beat {beats}"
        await play(bench, [case], where, {name: rated(rate) for name, rate in rates.items()})


@batch_test
async def a_layer_of_the_trace_equals_the_golden_model(bench: BatchBench) -> None:
    """One layer, at random among those that the build can take and a test has time for; all of them in `make regress`.
    """
    if not TRACE.exists():
        return
    with Trace(TRACE) as trace:
        names = [name for name in trace.layer_names if fits(trace, name, bench.params)]
        for name in names if DEEP else bench.rng.permutation(names)[:1]:
            await play(bench, [Case.of(trace.layer(str(name)), NpuConfig(hw=bench.params.hw))], str(name))


def fits(trace: Trace, name: str, params: EngineParams, products: int = 25_000_000) -> bool:
    """Whether a layer is small enough for this build, and unless all are to run for a test: `products` of the array."""
    layer = trace.layer(name)
    try:
        NpuConfig(hw=params.hw).resolve(len(layer.x) - layer.n_sink, layer.grid, n_sink=layer.n_sink,
                                        k=layer.x.shape[1], transform=layer.transform)
    except ConfigError:
        return False
    return params.rows * params.cols >= 64 and (DEEP or layer.x.size * len(layer.weight) <= products)


@batch_test
async def a_consumer_that_stalls_for_100000_cycles_loses_nothing(bench: BatchBench) -> None:
    first = int(bench.rng.integers(50))
    bits = np.repeat([1, 0, 1], [first, STALL_CYCLES, STALL_CYCLES])
    await play(bench, several(bench), "long stall", {"o": listed(bits, f"{first}on{STALL_CYCLES}off")})


@batch_test
async def an_illegal_job_is_refused_and_the_next_one_is_right(bench: BatchBench) -> None:
    for change in illegal(bench.params):
        case, after = (draw(bench.rng, bench.params) for _ in range(2))
        bad = after.beats["job"] | {name: np.array([value]) for name, value in change.items()}
        jobs = {name: np.concatenate([values, bad[name]]) for name, values in case.beats["job"].items()}
        where = f"{case.name}, then {change}"
        await bench.run({"job": Feed(jobs)} | {name: Feed(case.beats[name]) for name in ("i", "w", "p")},
                        {"o": Expect(case.beats["o"])}, job=where)
        await check_status(bench, where, "illegal_job")
        run = await bench.run({name: Feed(after.beats[name]) for name in INPUTS}, {}, abort_at=50,
                              job=f"{where}, then {after.name}")
        taken = [name for name, cycles in run.timing.items() if len(cycles)]
        assert not taken, f"{where}: a beat of {taken} is taken while the error stands"
        await clear_errors(bench)
        await play(bench, [after], f"after {where}")
    await play(bench, several(bench), "after illegal jobs")


def illegal(params: EngineParams) -> list[dict[str, int]]:
    """Registers that make any job illegal, at least one for each test of `rtl_gen.engine_front.legal`."""
    engine = Engine(params)
    engine._MustUse__used = True
    widths = {name: field.width for name, field in engine.job.payload.shape()}
    most, tail = params.max_tokens, params.max_k - (params.max_beats - 1) * params.lanes
    flat = {"width": 1, "tile_width": 1, "n_sink": 0, "levels": 0}
    grid = flat | {"two_d": 1, "height": 1, "tile_height": 1}
    wanted = [
        {"width": 0}, {"width": most + 1}, {"n_sink": most}, {"beats": 0}, {"beats": params.max_beats + 1}, {"tail": 0},
        {"tail": params.lanes + 1}, {"columns": 0}, {"out_beats": 0}, {"out_beats": params.chunks + 1}, {"out_keep": 0},
        {"out_keep": params.rescale_lanes + 1}, {"tile_width": 0}, {"levels": params.max_levels + 1},
        flat | {"levels": 1, "tile_width": 3},
    ]
    if tail < params.lanes:
        wanted.append({"beats": params.max_beats, "tail": tail + 1})
    if params.axes == 2:
        wanted += [
            {"height": 0}, {"tile_height": 0}, grid | {"two_d": 0, "height": 2}, grid | {"two_d": 0, "tile_height": 2},
            grid | {"n_sink": 1}, grid | {"levels": params.max_levels // 2 + 1, "tile_width": 1 << params.max_levels},
            grid | {"height": most + 1}, grid | {"width": most, "tile_width": most, "height": 2},
            grid | {"levels": 1, "tile_width": 2, "tile_height": 3},
            grid | {"width": 3, "height": 3, "tile_width": 2, "tile_height": 2},
        ]
    return [change for change in wanted if all(value < 1 << widths[name] for name, value in change.items())]


@batch_test
async def hundreds_of_column_tiles_are_counted(bench: BatchBench) -> None:
    """More than nine bits of column tiles, of a token with few channels."""
    rng, params = bench.rng, bench.params
    tokens, k = min(2, params.max_tokens), min(2, params.max_k)
    tiles = 520 + int(rng.integers(0, 16))
    layer = Layer(name="wide", kind="drawn", x=rng.standard_normal((tokens, k)).astype(np.float32),
                  weight=rng.standard_normal((tiles * params.cols + 1, k)).astype(np.float32), grid=None, bias=None,
                  n_sink=0)
    job = JobConfig(levels=min(1, params.max_levels), n_hi=1, calibration="self")
    await play(bench, [Case.of(layer, NpuConfig(hw=params.hw, job=job))], "wide")


@batch_test
async def every_bit_of_the_first_4_bit_token_counts(bench: BatchBench) -> None:
    """As many tokens as the hardware takes, without lifting, a row and a column of them: 8 bits for 1, 2, 4, …"""
    most = bench.params.max_tokens
    for grid in (None, (1, most), (most, 1))[: 1 if bench.params.axes == 1 else 3]:
        cases = []
        for bit in range(most.bit_length()):
            k = min(bench.params.max_k, 5)
            layer = Layer(name="limit", kind="drawn", x=bench.rng.standard_normal((most, k)).astype(np.float32),
                          weight=bench.rng.standard_normal((1, k)).astype(np.float32), grid=grid, bias=None, n_sink=0)
            job = JobConfig(levels=0, n_hi=1 << bit, calibration="self")
            cases.append(Case.of(layer, NpuConfig(hw=bench.params.hw, job=job)))
        await play(bench, cases, f"grid {grid}")


@batch_test
async def a_wrong_last_is_an_error_and_changes_nothing(bench: BatchBench) -> None:
    case = draw(bench.rng, bench.params)
    beats = {name: np.array(values) for name, values in case.beats["i"].items()}
    beats["last"][int(bench.rng.integers(len(beats["last"])))] ^= 1
    await bench.run({name: Feed(beats if name == "i" else case.beats[name]) for name in INPUTS},
                    {"o": Expect(case.beats["o"])}, job=f"wrong last, {case.name}")
    await check_status(bench, case.name, "framing")
    await bench.reset()
    await check_status(bench, "reset")


@batch_test
async def a_super_tile_beyond_the_buffers_is_an_error_and_the_next_job_is_right(bench: BatchBench) -> None:
    params = bench.params
    for two_d in range(params.axes):
        case = whole(bench, bool(two_d))
        if case is None:
            continue
        job, (k, _) = case.job, case.job.channels(params)
        count = (job.width * job.height + job.n_sink) * ((job.columns - 1) * params.chunks + job.out_beats)
        beats = {"w": k * job.columns, "p": params.cols * job.columns, "o": count}
        cut = {name: {field: values[: beats.get(name)] for field, values in stream.items()}
               for name, stream in case.beats.items()}
        await bench.run({name: Feed(cut[name]) for name in INPUTS},
                        {"o": Expect(cut["o"], care={name: np.zeros((), bool) for name in cut["o"]})},
                        job=f"overflow {case.name}")
        await check_status(bench, case.name, "overflow")
        await clear_errors(bench)
        await play(bench, several(bench), "after an overflow")


def whole(bench: BatchBench, two_d: bool, attempts: int = 300) -> Case | None:
    """A random layer whose registers say one super-tile though its rows or positions are too many, if one is found."""
    params = bench.params
    for _ in range(attempts):
        case = draw(bench.rng, params)
        job, side = case.job, 1 << case.job.levels
        wide, high = (-(-size // side) * side for size in (job.width, job.height))
        tokens, n_hi = job.width * job.height, job.resolved.n_hi
        rows = job.n_sink + n_hi + -(-(tokens - n_hi) // 2)
        positions = job.n_sink + 1 + int(np.flatnonzero(positions_of(tokens, job.levels, job.grid) >= 0)[-1])
        if job.two_d == two_d and (rows > params.act_tiles * params.rows or positions > params.out_slots):
            more = {"tile_width": np.array([wide])} | ({"tile_height": np.array([high])} if two_d else {})
            return replace(case, beats=case.beats | {"job": case.beats["job"] | more})
    return None


@batch_test
async def a_reset_in_the_middle_of_a_job_leaves_nothing_behind(bench: BatchBench) -> None:
    for attempt in range(4):
        cases = several(bench)
        total = timing(bench.params, [case.job for case in cases]).cycles
        stop = int(bench.rng.integers(1, total))
        await bench.run({name: Feed(joined(cases, name)) for name in INPUTS}, {"o": Expect(joined(cases, "o"))},
                        job=f"reset {attempt} in cycle {stop}", abort_at=stop)
        assert not int(bench.dut.status.value) & 1, f"idle in cycle {stop} of {total}"
        await bench.reset()
        await play(bench, several(bench), f"after reset {attempt} in cycle {stop}")
