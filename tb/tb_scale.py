"""Scale unit against the golden quantizer: values, the cycle of every beat, events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from rtl_gen.scale.unit import Scale, job_layout
from sim import scale as scale_sim
from stamp_hw import haar, scale
from stamp_hw.config import NpuConfig
from stamp_hw.engine import linear
from stamp_hw.engine.wire_layer import arrange
from stamp_hw.formats.trace import Trace
from stamp_hw.params import SCALE_TOKEN_WIDTH, ScaleJob, ScaleParams
from tb.batch.bench import BatchBench, batch_test
from tb.bench.harness import TRACE, Expect, Feed
from tb.bench.patterns import ALWAYS, Pattern, listed, periodic, random_bits, sides, throttles

PARAMETER_SETS = {
    "lanes16": ScaleParams(lanes=16, width=18, recip_frac=8, max_beats=16, mul_stages=2),
    "lanes4": ScaleParams(lanes=4, width=17, recip_frac=8, max_beats=8, mul_stages=1),
    "lanes3": ScaleParams(lanes=3, width=18, recip_frac=4, max_beats=25, mul_stages=3),
    "lane": ScaleParams(lanes=1, width=9, recip_frac=0, max_beats=5, mul_stages=1),
}
PARAMETER_SETS["lane_deep"] = replace(PARAMETER_SETS["lane"], mul_stages=4)
# With blocks, and 5, 17, 4 and 2 dividers: a ring buffer of so many beats that short groups can fill all of them.
PARAMETER_SETS |= {
    "blocks16": ScaleParams(lanes=16, width=18, recip_frac=8, max_beats=48, mul_stages=2, block_beats=4),
    "blocks4": ScaleParams(lanes=4, width=17, recip_frac=8, max_beats=38, mul_stages=1, block_beats=1),
    "blocks3": ScaleParams(lanes=3, width=18, recip_frac=4, max_beats=47, mul_stages=3, block_beats=5),
    "blocks": ScaleParams(lanes=1, width=9, recip_frac=0, max_beats=70, mul_stages=1, block_beats=16),
}
build = Scale

TRACE_TOKENS, TRACE_BEATS = 48, 25  # of each layer, of each token


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """One job: registers, coefficients integer[S, K], bits [S], channels a group, and whether it is symmetric."""

    job: ScaleJob
    c: np.ndarray
    bits: np.ndarray
    group: int | None
    symmetric: bool

    @classmethod
    def of(cls, params: ScaleParams, c: np.ndarray, bits: np.ndarray, *, group: int | None = None,
           symmetric: bool = False) -> Case:
        job = params.job(tokens=c.shape[0], k=c.shape[1], group=group, symmetric=symmetric)
        return cls(job=job, c=c, bits=np.asarray(bits), group=group, symmetric=symmetric)

    def __str__(self) -> str:
        mode = "symmetric" if self.symmetric else "minmax"
        return f"{self.c.shape[0]}x{self.c.shape[1]}/{self.group or 'token'} {mode}"


def golden_config(params: ScaleParams) -> NpuConfig:
    """The configuration whose scale unit has these widths."""
    axes = 2 if params.width == 18 else 1
    return NpuConfig().with_hw(in_width=params.width - axes, axes=axes, recip_frac=params.recip_frac)


def quantize(params: ScaleParams, case: Case) -> scale.Quantized:
    """What the golden model makes of a job."""
    config = golden_config(params).with_job(group=case.group, scale_mode="symmetric" if case.symmetric else "minmax")
    return (scale.quantize if params.block_beats else scale.quantize_apart)(case.c, case.bits, config)


def feed_and_expect(bench: BatchBench, case: Case) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Beats of one job: what goes in, with noise in the padding, and what the golden model says comes out."""
    params, job = bench.params, case.job
    tokens, channels = case.c.shape
    shape = (tokens, job.beats * params.lanes)
    top = 1 << (params.width - 1)
    values = bench.rng.integers(-top, top, shape)
    values[:, :channels] = case.c
    quantized = quantize(params, case)
    codes = np.zeros(shape, np.int64)
    codes[:, :channels] = quantized.codes
    beat = np.arange(job.beats)
    group_of_beat = beat // job.group_beats
    high = np.repeat(case.bits == 8, job.beats)
    wanted = {"lo": quantized.lo[:, group_of_beat].ravel(), "span": quantized.span[:, group_of_beat].ravel(),
              "hi": high, "last": np.tile(beat == job.beats - 1, tokens)}
    if params.block_beats:
        zero = np.broadcast_to(quantized.mid[:, None] if quantized.zero is None else quantized.zero,
                               quantized.span.shape)[:, group_of_beat]
        codes += np.repeat(zero, params.lanes, axis=1)
        wanted |= {"zero": zero.ravel(), "group_ends": np.tile(np.diff(group_of_beat, append=-1) != 0, tokens)}
    return ({"values": values.reshape(-1, params.lanes), "hi": high},
            {"codes": codes.reshape(-1, params.lanes), **wanted})


async def check(bench: BatchBench, cases: Sequence[Case], valid: Pattern = ALWAYS, ready: Pattern = ALWAYS,
                job_valid: Pattern = ALWAYS, *, name: object = "", abort_at: int | None = None) -> None:
    """Run the jobs one behind the other and compare everything."""
    both = [feed_and_expect(bench, case) for case in cases]
    jobs = [case.job for case in cases]
    fed, wanted = ({key: np.concatenate([side[i][key] for side in both]) for key in both[0][i]} for i in (0, 1))
    registers = {key: np.array([getattr(job, key) for job in jobs], np.int64)
                 for key in job_layout(bench.params).members}
    timing = scale_sim.timing(bench.params, jobs, valid, ready, job_valid)
    shown = ", ".join(map(str, cases[:3])) + (f" and {len(cases) - 3} more" if len(cases) > 3 else "")
    await bench.run(
        {"job": Feed(registers, job_valid), "i": Feed(fed, valid)}, {"o": Expect(wanted, ready)},
        job=f"{name} [{shown}; valid {valid}, ready {ready}, job {job_valid}]", abort_at=abort_at,
        timing={"job": timing.jobs, "i": timing.inputs, "o": timing.outputs},
        events=scale_sim.events(bench.params, *jobs))


def draw(bench: BatchBench, *, max_words: int = 4000) -> Case:
    """A job of any shape, groups with magnitudes of every power of two, off-centre as those of low-pass tokens are."""
    params, rng = bench.params, bench.rng
    limit = params.max_beats * params.lanes
    channels = int(rng.choice([1, limit, *rng.integers(1, limit + 1, 6)]))
    beats = int(rng.integers(1, params.max_beats + 1))
    block = params.block_beats * params.lanes
    group = (None, block or params.lanes, block or beats * params.lanes)[int(rng.integers(3))]
    tokens = int(rng.integers(1, max(2, min(64, max_words // channels))))
    symmetric = bool(rng.integers(2))
    top = (1 << (params.width - 1)) - 1
    parts = (tokens, -(-channels // (group or channels)))
    magnitude = np.maximum(top >> rng.integers(0, params.width, parts), 1)
    centre = rng.integers(-top, top + 1, parts) * rng.integers(0, 2, parts)
    magnitude, centre = (np.repeat(each, group or channels, axis=1)[:, :channels] for each in (magnitude, centre))
    c = np.clip(centre + rng.integers(-magnitude, magnitude + 1), -top - (not symmetric), top)
    return Case.of(params, c, rng.choice([4, 8], tokens), group=group, symmetric=symmetric)


@batch_test(quota=0.65)
async def random_tokens_are_quantized_as_the_golden_model_does(bench: BatchBench) -> None:
    for job in bench.jobs():
        valid, ready = (ALWAYS, ALWAYS) if job % 2 else throttles(bench.rng)
        await check(bench, [draw(bench, max_words=8000)], valid, ready, name=job)


@batch_test(quota=0.25)
async def jobs_of_different_shapes_follow_each_other(bench: BatchBench) -> None:
    for job in bench.jobs():
        valid, ready = throttles(bench.rng)
        cases = [draw(bench, max_words=1000) for _ in range(int(bench.rng.integers(2, 7)))]
        job_valid = ALWAYS if bench.rng.integers(2) else random_bits(bench.rng, density=0.02)
        await check(bench, cases, valid, ready, job_valid, name=job)


@batch_test
async def every_extreme_of_the_range_is_exact(bench: BatchBench) -> None:
    """Spans 0, 1, 2, powers of two and their neighbours, and the widest, at both ends of the number line."""
    params = bench.params
    top = (1 << (params.width - 1)) - 1
    spans = sorted({s for n in range(params.width + 1) for s in ((1 << n) - 1, 1 << n, (1 << n) + 1)})
    for symmetric in (False, True):
        rows = []
        channels = min(4 * params.lanes + 1, params.max_beats * params.lanes)
        for span in spans:
            if symmetric and 0 < span <= 2 * top and span % 2 == 0:
                rows += [[side * (span // 2), -side * (span // 2), 0, side] for side in (-1, 1)]
            elif not symmetric and span < 1 << params.width:
                lows = {-top - 1, top - span, -(span // 2), min(-1, top - span), max(-top - 1, -span)}
                rows += [[low, low + span, low + span // 2, low + (span + 1) // 2] for low in sorted(lows)
                         if -top - 1 <= low and low + span <= top]
        rows += [[value] * 4 for value in (0, -1, 1, top, -top)]
        c = np.empty((len(rows), channels), np.int64)
        for token, row in enumerate(rows):
            c[token] = bench.rng.choice(row[2:], channels) if len(set(row)) > 1 else row[0]
            places = bench.rng.permutation(channels)
            c[token, places[0]] = row[0]
            c[token, places[-1]] = row[1] if channels > 1 else row[0]
        for number, (valid, ready) in enumerate(sides(bench.rng).values()):
            for high in (0, 1):
                bits = np.where((np.arange(len(c)) + high) % 2, 8, 4)
                cases = [Case.of(params, c[number::4] if number else c, bits[number::4] if number else bits,
                                 symmetric=symmetric)]
                await check(bench, cases, valid, ready, name=f"hi from {high}")


@batch_test
async def every_extreme_of_a_block_is_exact(bench: BatchBench) -> None:
    """0 at both ends of the range, outside of it and inside; both ends half a step off, so that zero and code add up to
    more than qmax; the widest range; each beside any other, in blocks of 8 and of 4 bits."""
    params, rng = bench.params, bench.rng
    if not params.block_beats:
        bench.nothing("this hardware has no blocks")
        return
    top = (1 << (params.width - 1)) - 1
    ends = sorted({e for n in range(params.width) for e in ((1 << n) - 1, 1 << n, (1 << n) + 1) if e <= top})
    ranges = [(-end, 0) for end in ends] + [(0, end) for end in ends] + [(end, end) for end in (*ends, -1, -top - 1)]
    ranges += [(-top - 1, top), (-top - 1, 0), (-top - 1, -top), (-top, -1), (1, top), (top - 1, top), (-1, 1)]
    for step in range(params.width):
        for qmax in (15, 255):
            odd = (2 * rng.integers(0, qmax, 8) + 1) << step
            ranges += [(-int(o), (2 * qmax << step) - int(o)) for o in odd]
    ranges = [(low, high) for low, high in ranges if -top - 1 <= low and high <= top]
    block = params.block_beats * params.lanes
    parts = min(3, params.max_beats // params.block_beats)
    tokens = [np.roll(ranges, shift, axis=0)[:parts] for shift in range(len(ranges))]
    tokens += [rng.permutation(ranges)[:parts] for _ in range(len(ranges))]
    c = np.empty((len(tokens), parts, block), np.int64)
    for token, blocks in enumerate(tokens):
        for part, (low, high) in enumerate(blocks.tolist()):
            near = np.clip([low, high, 0, -1, 1, low + 1, high - 1, (low + high) // 2], low, high)
            c[token, part] = rng.choice(near, block)
            c[token, part, rng.permutation(block)[:2]] = (low, high)[:block]
    c = c.reshape(len(tokens), parts * block)
    short = (1, block, max(1, block - 1), params.lanes)  # channels of the last block
    for number, (valid, ready) in enumerate(sides(rng).values()):
        mine = c[number::4, :(parts - 1) * block + short[number]]
        case = Case.of(params, mine, rng.choice([4, 8], len(mine)), group=block)
        await check(bench, [case, case], valid, ready, name=f"last block of {short[number]}")


@batch_test
async def a_full_buffer_and_full_queues_stop_the_input_and_lose_nothing(bench: BatchBench) -> None:
    """A sink that sleeps longer than both buffers last, for the longest and the shortest groups."""
    params = bench.params
    longest = params.max_beats * params.lanes
    sleepy = listed([0] * (6 * params.max_beats + 4 * params.recip_width) + [1] * (params.max_beats + 3), "sleepy")
    block = params.lanes * (params.block_beats or 1)
    for channels, group in ((longest, None), (longest, block), (max(1, longest - 1), None), (1, None),
                            (min(block + 1, longest), block)):
        c = bench.rng.integers(-100, 100, (7, channels))
        case = Case.of(params, c, bench.rng.choice([4, 8], 7), group=group)
        for valid, ready in ((ALWAYS, sleepy), (periodic(1, 2), sleepy), (sleepy, ALWAYS),
                             (ALWAYS, periodic(1, 1, True))):
            await check(bench, [case, case], valid, ready)


@batch_test
async def a_job_of_many_tokens_is_counted_to_its_end(bench: BatchBench) -> None:
    """More tokens than the default hardware takes, a beat each, and once as many as the registers hold."""
    for symmetric, (valid, ready) in product((False, True), sides(bench.rng).values()):
        everything = bench.params == PARAMETER_SETS["lanes16"] and not symmetric and valid is ready is ALWAYS
        c = bench.rng.integers(-100, 100, (2**SCALE_TOKEN_WIDTH - 1 if everything else 4200, 1))
        long = Case.of(bench.params, c, bench.rng.choice([4, 8], len(c)), symmetric=symmetric)
        await check(bench, [long, draw(bench, max_words=500)], valid, ready, name="long")


@batch_test
async def a_reset_in_the_middle_leaves_nothing_behind(bench: BatchBench) -> None:
    for attempt in range(12):
        valid, ready = throttles(bench.rng)
        case = draw(bench, max_words=1500)
        total = scale_sim.timing(bench.params, [case.job], valid, ready).cycles
        await check(bench, [case], valid, ready, name=f"aborted {attempt}",
                    abort_at=int(bench.rng.integers(1, total + 1)))
        await bench.reset(1 + attempt % 3)
        await check(bench, [draw(bench, max_words=500)], name=f"after {attempt}")


@batch_test(trace=True)
async def tokens_of_the_shipped_trace_are_quantized_as_the_golden_model_does(bench: BatchBench) -> None:
    """Lifted activations of every layer; a build too narrow for them (a grid's), or a checkout without the trace, has
    none."""
    if bench.params.width < 17 or not TRACE.is_file():
        bench.nothing(f"{TRACE}: no such file" if not TRACE.is_file() else
                      f"{bench.params.width} bits do not hold the coefficients of INT16 codes")
        return
    config = golden_config(bench.params)
    with Trace.open(TRACE) as trace:
        for layer in trace:
            if layer.grid is not None and config.hw.axes == 1:
                continue
            job, wire = linear.resolve(layer, config), arrange(layer, config)
            s_x = layer.s_x or float(np.abs(wire.x[job.n_sink:]).max()) / 32767
            x, _, _ = linear.quantize_input(wire.x, s_x, job.n_sink, config.hw.in_width)
            c = np.concatenate([x[:job.n_sink], haar.forward(x[job.n_sink:], job.levels, job.grid)])
            bits = scale.precision_map(job.tokens, job.n_hi, job.n_sink)
            rows = np.linspace(0, len(c) - 1, min(TRACE_TOKENS, len(c))).astype(int)
            c = c[rows, :min(bench.params.max_beats, TRACE_BEATS) * bench.params.lanes]
            for symmetric, (valid, ready) in product((False, True), sides(bench.rng).values()):
                case = Case.of(bench.params, c, bits[rows], symmetric=symmetric,
                               group=bench.params.block_beats * bench.params.lanes or None)
                await check(bench, [case], valid, ready, name=layer.name)
