"""The block Hadamard unit against the golden model: values, the cycle of every beat, events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import product

import numpy as np

from rtl_gen.hadamard.unit import Hadamard
from sim import hadamard as hadamard_sim
from stamp_hw import hadamard
from stamp_hw.config import NpuConfig
from stamp_hw.engine import linear
from stamp_hw.engine.wire_layer import arrange
from stamp_hw.formats.trace import Trace
from stamp_hw.hadamard_params import HadamardJob, HadamardParams
from stamp_hw.params import SCALE_TOKEN_WIDTH
from tb.batch.bench import BatchBench, batch_test
from tb.bench.harness import TRACE, Expect, Feed
from tb.bench.patterns import ALWAYS, Pattern, listed, periodic, random_bits, sides, throttles

# A block in four beats, in one, two blocks a beat, in as many beats as channels, in sixteen; every kind of sign.
PARAMETER_SETS = {
    "four_beats": HadamardParams(lanes=16, width=16, block=64, max_beats=24),
    "one_beat": HadamardParams(lanes=16, width=12, block=16, max_beats=7),
    "two_blocks": HadamardParams(lanes=32, width=16, block=16, max_beats=5),
    "lane": HadamardParams(lanes=1, width=9, block=16, max_beats=50),
    "two_lanes": HadamardParams(lanes=2, width=16, block=64, max_beats=64),
    "largest": HadamardParams(lanes=8, width=16, block=256, max_beats=66),
}
build = Hadamard

TRACE_TOKENS = 24  # of each layer
DEEP_BLOCK = 64  # channels of a block up to which a test has time for every row of H
SLEEP = 4  # times the latency for which a sink sleeps


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """One job: its registers, channels integer[S, K], and what leaves, int32[S, K'], with the words that saturated."""

    job: HadamardJob
    x: np.ndarray
    y: np.ndarray
    saturated: int

    @classmethod
    def of(cls, params: HadamardParams, x: np.ndarray, shift: int | None) -> Case:
        job = params.job(tokens=len(x), k=x.shape[1], shift=shift)
        if shift is None:
            return cls(job=job, x=x, y=x, saturated=0)
        y, saturated = hadamard.transform(x, params.block, shift, params.width)
        return cls(job=job, x=x, y=y, saturated=int(saturated.sum()))

    def __str__(self) -> str:
        return f"{self.x.shape[0]}x{self.x.shape[1]} {f'shift {self.job.shift}' if self.job.on else 'off'}"

    def feed(self, params: HadamardParams, rng: np.random.Generator) -> np.ndarray:
        """Beats of the input; what pads the last one is anything, but where the job is off, which lets it pass."""
        tokens, k = self.x.shape
        top = 1 << params.width - 1
        beats = rng.integers(-top, top, (tokens, self.job.in_beats * params.lanes)) * int(self.job.on)
        beats[:, :k] = self.x
        return beats.reshape(-1, params.lanes)

    def expected(self, params: HadamardParams) -> dict[str, np.ndarray]:
        """Beats of the output."""
        tokens, k = self.y.shape
        y = np.zeros((tokens, self.job.beats * params.lanes), np.int64)
        y[:, :k] = self.y
        last = np.tile(np.arange(self.job.beats) == self.job.beats - 1, tokens)
        return {"y": y.reshape(-1, params.lanes), "last": last.astype(np.int64)}


async def check(bench: BatchBench, cases: Sequence[Case], valid: Pattern = ALWAYS, ready: Pattern = ALWAYS,
                job_valid: Pattern = ALWAYS, *, name: object = "", abort_at: int | None = None) -> None:
    """Send the jobs one behind the other and compare values, the cycle of every beat and events."""
    params, jobs = bench.params, [case.job for case in cases]
    registers = {field: np.array([asdict(job)[field] for job in jobs], np.int64) for field in asdict(jobs[0])}
    feed = np.concatenate([case.feed(params, bench.rng) for case in cases])
    expected = [case.expected(params) for case in cases]
    timing = hadamard_sim.timing(params, jobs, valid, ready, job_valid)
    if valid is ready is job_valid is ALWAYS:
        assert timing.cycles == hadamard_sim.cycles(params, *jobs)
    await bench.run(
        {"job": Feed(registers, job_valid), "i": Feed({"x": feed}, valid)},
        {"o": Expect({field: np.concatenate([part[field] for part in expected]) for field in expected[0]}, ready)},
        job=f"{name} {'; '.join(map(str, cases))} {valid} {ready} {job_valid}", abort_at=abort_at,
        timing={"job": timing.jobs, "i": timing.inputs, "o": timing.outputs},
        events=hadamard_sim.events(params, *jobs, saturated=sum(case.saturated for case in cases)))


def most_channels(params: HadamardParams) -> int:
    """Channels of the longest token whose last block is whole."""
    return params.max_beats * params.lanes // params.block * params.block


def draw(bench: BatchBench, *, max_words: int = 4000) -> Case:
    """A job of any length, shift and magnitude, one in four of them off; some tokens are one value or one sign."""
    params, rng = bench.params, bench.rng
    most = most_channels(params)
    k = int(rng.choice([1, most, most - params.block + 1, *rng.integers(1, most + 1, 5)]))
    tokens = int(rng.integers(1, max(2, min(40, max_words // params.channels(k)))))
    top = 1 << params.width - 1
    size = np.maximum(top >> rng.integers(0, params.width, (tokens, 1)), 1)
    x = rng.integers(-size, size, (tokens, k))
    kind = rng.integers(0, 4, tokens)[:, None]
    x = np.where(kind == 0, x[:, :1], np.where(kind == 1, np.abs(x) - 1, x))
    shift = None if rng.integers(4) == 0 else int(rng.integers(0, params.levels + 1))
    return Case.of(params, x, shift)


@batch_test(quota=0.65)
async def random_tokens_are_transformed_as_the_golden_model_does(bench: BatchBench) -> None:
    for job in bench.jobs():
        valid, ready = (ALWAYS, ALWAYS) if job % 2 else throttles(bench.rng)
        await check(bench, [draw(bench, max_words=8000)], valid, ready, name=job)


@batch_test(quota=0.25)
async def jobs_on_and_off_follow_each_other(bench: BatchBench) -> None:
    for job in bench.jobs():
        valid, ready = throttles(bench.rng)
        cases = [draw(bench, max_words=1000) for _ in range(int(bench.rng.integers(2, 7)))]
        job_valid = ALWAYS if bench.rng.integers(2) else random_bits(bench.rng, density=0.05)
        await check(bench, cases, valid, ready, job_valid, name=job)


@batch_test
async def each_channel_alone_is_its_column_of_the_matrix(bench: BatchBench) -> None:
    """A one, the lowest and the highest value in one place of a block and nothing else: every sign of H and of σ."""
    params = bench.params
    step = 1 if params.block <= DEEP_BLOCK else 5
    places = np.arange(0, params.block, step)
    for value in (1, -(1 << params.width - 1), (1 << params.width - 1) - 1):
        x = np.zeros((len(places), params.block), np.int64)
        x[np.arange(len(places)), places] = value
        for shift in (0, 1) if value == 1 else (params.levels // 2, params.levels):
            valid, ready = (ALWAYS, ALWAYS) if shift % 2 else throttles(bench.rng)
            await check(bench, [Case.of(params, x, shift)], valid, ready, name=f"value {value}")


@batch_test
async def sums_fill_their_registers_and_saturate_on_both_sides(bench: BatchBench) -> None:
    """The lowest and the highest value with the signs of a row, and of its negative: h is as large as it can be; one
    step less and more at every shift."""
    params, rng = bench.params, bench.rng
    low, high = -(1 << params.width - 1), (1 << params.width - 1) - 1
    rows = rng.permutation(params.block)[:8]
    place = np.arange(params.block)
    ones = np.array([[bin(row & k).count("1") % 2 for k in place] for row in rows])
    plus = np.where(ones == 0, 1, -1) * hadamard.signs(params.block) > 0
    for shift in range(params.levels + 1):
        x = np.concatenate([np.where(plus, high, low), np.where(plus, low, high)])
        x = np.concatenate([x, x >> 1, x >> max(shift - 1, 0)])
        if shift < params.levels:
            assert Case.of(params, x, shift).saturated
        stalls = sides(rng).values() if shift == params.levels // 2 else [throttles(rng)]
        for valid, ready in stalls:
            await check(bench, [Case.of(params, x, shift)], valid, ready, name="full")


@batch_test
async def half_steps_round_up_and_their_neighbours_do_not(bench: BatchBench) -> None:
    """Values around every half in one channel, whose sign is + in row 0 and in others −."""
    params = bench.params
    for shift in range(params.levels + 1):
        half = 1 << shift >> 1
        values = [sign * (turn * 2 * half + half + near) for sign in (1, -1) for turn in (0, 1) for near in (-1, 0, 1)]
        x = np.zeros((len(values), params.block), np.int64)
        x[:, 0] = np.clip(values, -(1 << params.width - 1), (1 << params.width - 1) - 1)
        case = Case.of(params, x, shift)
        if shift and shift + 1 < params.width - 1:
            assert case.y[:3, 0].tolist() == [0, 1, 1] and case.y[6:9, 0].tolist() == [0, 0, -1]
        for valid, ready in sides(bench.rng).values() if shift == 2 else [throttles(bench.rng)]:
            await check(bench, [case], valid, ready, name="halves")


@batch_test
async def every_pair_of_stall_patterns(bench: BatchBench) -> None:
    rng, params = bench.rng, bench.params
    patterns = [ALWAYS, periodic(1, 1), periodic(1, 7, first_off=True), periodic(5, 2),
                listed([0] * (SLEEP * params.latency) + [1] * (params.block_beats + 3), "sleepy"),
                listed([*(rng.random(61) < 0.5), 1], "bits")]
    for valid, ready in product(patterns, patterns):
        await check(bench, [draw(bench, max_words=1000), draw(bench, max_words=1000)], valid, ready, name="pair")


@batch_test
async def a_job_of_many_tokens_is_counted_to_its_end(bench: BatchBench) -> None:
    """Once as many tokens as the registers hold, where a block is a beat."""
    params = bench.params
    most = 2**SCALE_TOKEN_WIDTH - 1 if params.block_beats == 1 and params.lanes == 16 else 4200 // params.block_beats
    for valid, ready in sides(bench.rng).values():
        x = bench.rng.integers(-100, 100, (most if valid is ready is ALWAYS else 300, 1))
        await check(bench, [Case.of(params, x, 1), draw(bench, max_words=500)], valid, ready, name="long")
        await check(bench, [Case.of(params, x[:999], None), draw(bench, max_words=500)], valid, ready, name="long off")


@batch_test
async def a_reset_in_the_middle_leaves_nothing_behind(bench: BatchBench) -> None:
    for attempt in range(16):
        valid, ready = throttles(bench.rng)
        case = draw(bench, max_words=1500)
        total = hadamard_sim.timing(bench.params, [case.job], valid, ready).cycles
        await check(bench, [case], valid, ready, name=f"aborted {attempt}",
                    abort_at=int(bench.rng.integers(1, total + 1)))
        await bench.reset(1 + attempt % 3)
        await check(bench, [draw(bench, max_words=500)], name=f"after {attempt}")


@batch_test(trace=True)
async def tokens_of_the_shipped_trace_are_transformed_as_the_golden_model_does(bench: BatchBench) -> None:
    """Codes of every layer at the smallest shift that they fit, and one below it; a checkout without the trace has
    none."""
    if not TRACE.is_file():
        bench.nothing(f"{TRACE}: no such file")
        return
    params = bench.params
    with Trace.open(TRACE) as trace:
        for layer in trace:
            wire = arrange(layer, NpuConfig())
            top = (1 << params.width - 1) - 1
            s_x = float(np.abs(wire.x[wire.n_sink:]).max()) / top or 1.0
            x, _, _ = linear.quantize_input(wire.x, s_x, wire.n_sink, params.width)
            rows = np.linspace(0, len(x) - 1, min(TRACE_TOKENS, len(x))).astype(int)
            x = x[rows, : most_channels(params)].astype(np.int64)
            shift = hadamard.least_shift(x, params.block, params.width)
            for amount in {shift, max(shift - 1, 0)}:
                for valid, ready in sides(bench.rng).values():
                    await check(bench, [Case.of(params, x, amount)], valid, ready, name=layer.name)
