"""Testbench of the rescale unit: legal accumulators of every kind, against the golden model and `sim.rescale`.

A job is `tokens` rows of `columns` output channels. A channel's weights are a few blocks of equal weights and a token's
codes are constant on a block, so that acc and wsum are those of a legal layer of up to `max_k` input channels and reach
every extreme.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from rtl_gen.rescale import Rescale
from sim import rescale as rescale_sim
from stamp_hw import rescale as golden
from stamp_hw.config import NpuConfig
from stamp_hw.engine.linear import run_linear
from stamp_hw.formats.trace import Trace
from stamp_hw.params import RescaleParams
from stamp_hw.scale import Quantized, code_range
from tb.batch.bench import BatchBench, batch_test
from tb.bench.harness import TRACE, Expect, Feed
from tb.bench.patterns import ALWAYS, Pattern, listed, periodic, sides, throttles

PARAMETER_SETS = {
    "four": RescaleParams(lanes=4, acc_width=32, width=17, max_k=16384, mul_stages=1),
    "one": RescaleParams(lanes=1, acc_width=32, width=18, max_k=4096, mul_stages=2),
    "three": RescaleParams(lanes=3, acc_width=29, width=18, max_k=14336, mul_stages=3),
    "eleven": RescaleParams(lanes=11, acc_width=30, width=18, max_k=16384, mul_stages=4),
}
build = Rescale

TRACE_TOKENS, TRACE_CHANNELS = 24, 66  # of each layer and scale mode
BLOCKS = 4  # blocks of equal weights in a channel of a drawn job


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Job:
    """Operands of one matrix: `acc` int64[S, N]; `wsum`, and `mant`, `shift` of each table, [N]; the tokens' values."""

    acc: np.ndarray
    wsum: np.ndarray
    mant: np.ndarray
    shift: np.ndarray
    quantized: Quantized

    @property
    def shape(self) -> tuple[int, int]:
        return self.acc.shape

    def tables(self) -> tuple[np.ndarray, np.ndarray]:
        """mant and shift of each word, int64[S, N]."""
        row = np.where(self.quantized.bits == 8, 0, len(self.mant) - 1)
        return self.mant[row], self.shift[row]

    def expected(self) -> np.ndarray:
        """z of the golden model, int32[S, N]."""
        config = NpuConfig().with_job(scale_mode="symmetric" if self.quantized.symmetric else "minmax")
        return golden.rescale(self.acc, self.quantized, self.wsum, self.mant, self.shift, config)

    def totals(self) -> np.ndarray:
        """T' as the contract writes it, int64[S, N]."""
        of, qmax, mid = self.quantized, self.quantized.qmax[:, None], self.quantized.mid[:, None]
        lo, span = of.lo.astype(np.int64), of.span.astype(np.int64)
        total = span * (self.acc + mid * self.wsum) + qmax * lo * self.wsum
        found: np.ndarray = np.where((of.bits == 4)[:, None] & (not of.symmetric), 17 * total, total)
        return found

    def saturated(self) -> int:
        """Words whose exact value does not fit 24 bits, in unbounded integers."""
        mant, shift = (table.astype(object) for table in self.tables())
        sink = self.quantized.sink_shift.astype(object)[:, None]
        exact = ((self.totals().astype(object) * mant * 2**sink) + 2 ** (shift - 1)) // 2**shift
        return int(np.count_nonzero((exact < -(2**23)) | (exact >= 2**23)))

    def beats(self, lanes: int) -> dict[str, np.ndarray]:
        """Fields of the input stream, token after token."""
        tokens, columns = self.shape
        per_token = columns // lanes
        of = self.quantized
        mant, shift = self.tables()
        words = {"acc": self.acc, "wsum": np.broadcast_to(self.wsum, self.shape), "mant": mant, "shift": shift}
        token = {"lo": of.lo[:, 0], "span": of.span[:, 0], "hi": of.bits == 8, "sink_shift": of.sink_shift,
                 "symmetric": np.full(tokens, of.symmetric)}
        return ({name: values.reshape(-1, lanes) for name, values in words.items()}
                | {name: np.repeat(values.astype(np.int64), per_token) for name, values in token.items()}
                | {"last": last_flags(tokens, per_token)})


def last_flags(tokens: int, per_token: int) -> np.ndarray:
    """1 in the last beat of each token."""
    return np.tile(np.arange(per_token) == per_token - 1, tokens).astype(np.int64)


def pick(rng: np.random.Generator, special: list[int], low: int, high: int, shape: tuple[int, ...]) -> np.ndarray:
    """Integers in low…high (inclusive), half of them out of `special`."""
    return np.where(rng.random(shape) < 0.5, rng.choice(special, shape), rng.integers(low, high + 1, shape))


def draw(params: RescaleParams, rng: np.random.Generator, tokens: int, per_token: int, symmetric: bool) -> Job:
    """A random legal job in which every operand reaches its extremes."""
    columns = per_token * params.lanes
    sizes = rng.multinomial(params.max_k if rng.random() < 0.5 else int(rng.integers(1, params.max_k + 1)),
                            rng.dirichlet(np.full(BLOCKS, 0.5)))
    weights = pick(rng, [-128, 127, -1, 0, 1], -128, 127, (BLOCKS, columns))
    if rng.random() < 0.5:
        weights[:, rng.random(columns) < 0.3] = rng.choice([-128, 127])
    bits = rng.choice(np.array([4, 8], np.int8), tokens)
    qmax = code_range(bits, symmetric)
    q = np.where(rng.random((tokens, BLOCKS)) < 0.5, rng.integers(0, 2, (tokens, BLOCKS)) * qmax[:, None],
                 rng.integers(0, 1 << 30, (tokens, BLOCKS)) % (qmax[:, None] + 1))
    q[rng.random(tokens) < 0.3] *= 0
    lo, span = draw_range(params, rng, tokens, symmetric)
    sink_shift = np.where(rng.random(tokens) < 0.3, rng.integers(0, 16, tokens), 0).astype(np.int8)
    quantized = Quantized(np.zeros((tokens, 1), np.int8), lo[:, None], span[:, None], bits, 1, symmetric, sink_shift)
    work = Job(acc=(q - quantized.mid[:, None]) @ (sizes[:, None] * weights), wsum=sizes @ weights,
               mant=np.ones((1, columns), np.int64), shift=np.ones((1, columns), np.int64), quantized=quantized)
    mant = pick(rng, [1 << 15, (1 << 16) - 1, 0xAAAB], 1 << 15, (1 << 16) - 1, (1 + symmetric, columns))
    # About half of the channels get a shift at which the drawn sums fill 24 bits, where saturation and rounding meet.
    magnitude = np.log2(np.maximum(np.abs(work.totals()).max(axis=0), 1)) + 16
    fitting = np.rint(magnitude - rng.uniform(18, 26, (1 + symmetric, columns))).astype(np.int64)
    shift = np.where(rng.random(fitting.shape) < 0.6, fitting, rng.integers(1, 64, fitting.shape))
    return Job(acc=work.acc, wsum=work.wsum, mant=mant, shift=np.clip(shift, 1, 63), quantized=quantized)


def draw_range(params: RescaleParams, rng: np.random.Generator, tokens: int, symmetric: bool
               ) -> tuple[np.ndarray, np.ndarray]:
    """(lo, span) of each token, int64[tokens]."""
    top = (1 << (params.width - 1)) - 1
    if symmetric:
        absmax = pick(rng, [0, 1, top], 0, top, (tokens,))
        return -absmax, 2 * absmax
    lo = pick(rng, [-top - 1, -1, 0, 1, top], -top - 1, top, (tokens,))
    hi = np.maximum(pick(rng, [top, 0, -1, -top - 1], -top - 1, top, (tokens,)), lo)
    return lo, hi - lo


async def check(bench: BatchBench, jobs: list[Job], name: str, valid: Pattern = ALWAYS, ready: Pattern = ALWAYS
                ) -> None:
    """Send the jobs one behind the other without a gap and compare values, cycles and events."""
    params = bench.params
    beats = [job.beats(params.lanes) for job in jobs]
    feed = {field: np.concatenate([part[field] for part in beats]) for field in beats[0]}
    z = np.concatenate([job.expected().reshape(-1, params.lanes) for job in jobs])
    timing = rescale_sim.timing(params, len(z), valid, ready)
    if valid is ALWAYS and ready is ALWAYS:
        assert timing.cycles == rescale_sim.cycles(params, len(z))
    events = rescale_sim.events(params, len(z), sum(job.saturated() for job in jobs))
    await bench.run({"i": Feed(feed, valid)}, {"o": Expect({"z": z, "last": feed["last"]}, ready)},
                    job=f"{name} {[job.shape for job in jobs]} {valid} {ready}",
                    timing={"i": timing.inputs, "o": timing.outputs}, events=events)


def corners(params: RescaleParams, symmetric: bool) -> Job:
    """Every shift with every sink exponent that sits at an edge, on sums from 0 to both ends of T'."""
    top = (1 << (params.width - 1)) - 1
    ranges = [(-top, 2 * top), (0, 0), (-1, 2)] if symmetric else [
        (-top - 1, 0), (-top - 1, 2 * top + 1), (top, 0), (0, 1), (-1, 1), (0, 0)]
    exponents = [0, 1, 8, 15]
    rows = [(lo, span, bits, q, e) for (lo, span), bits, q, e in
            product(ranges, (4, 8), (0, 1, 2), exponents)]
    lo, span, bits, level, sink = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    qmax = code_range(bits, symmetric)
    q = np.choose(level, [0 * qmax, qmax, 0 * qmax + 1])
    quantized = Quantized(np.zeros((len(rows), 1), np.int8), lo[:, None], span[:, None], bits.astype(np.int8), 1,
                          symmetric, sink.astype(np.int8))
    shifts = [1, 2, 7, 8, 15, 16, 31, 33, 48, 63]
    columns = [(k, w, mant, shift) for k, w, mant, shift in
               product((1, params.max_k), (-128, -1, 0, 127), (1 << 15, (1 << 16) - 1), shifts)]
    columns += columns[:-len(columns) % params.lanes]
    k, w, mant, shift = (np.array(column, np.int64) for column in zip(*columns, strict=True))
    tables = 1 + symmetric
    return Job(acc=(q[:, None] - quantized.mid[:, None]) * (k * w), wsum=k * w, mant=np.tile(mant, (tables, 1)),
               shift=np.tile(shift, (tables, 1)), quantized=quantized)


def powers(params: RescaleParams) -> Job:
    """T' = ±2^j with mantissas 2^15 and 2^15 + 1 at every shift: one bit alone beyond z_width is set, or clear."""
    span = 1 << np.arange(params.width - 1, dtype=np.int64)
    quantized = Quantized(np.zeros((len(span), 1), np.int8), np.zeros((len(span), 1), np.int64), span[:, None],
                          np.full(len(span), 8, np.int8), 1, False, np.zeros(len(span), np.int8))
    largest = 1 << ((127 * params.max_k).bit_length() - 1)
    columns = list(product((1, -1, largest, -largest), (1 << 15, (1 << 15) + 1), range(1, 64)))
    columns += columns[:-len(columns) % params.lanes]
    wsum, mant, shift = (np.array(column, np.int64) for column in zip(*columns, strict=True))
    return Job(acc=(1 - quantized.mid[:, None].astype(np.int64)) * wsum, wsum=wsum, mant=mant[None], shift=shift[None],
               quantized=quantized)


@batch_test
async def corners_of_every_operand(bench: BatchBench) -> None:
    params, top = bench.params, (1 << (bench.params.width - 1)) - 1
    for symmetric in (False, True):
        job = corners(params, symmetric)
        if not symmetric:
            totals = job.totals()
            assert totals.max() == 255 * (top + 1) * 128 * params.max_k
            assert totals.min() == -255 * top * 128 * params.max_k
            assert job.acc.max() == 128 * 128 * params.max_k
        for valid, ready in sides(bench.rng).values():
            await check(bench, [job], f"symmetric {symmetric}", valid, ready)
    await check(bench, [powers(params)], "powers of two")


@batch_test
async def half_steps_round_up_and_their_neighbours_do_not(bench: BatchBench) -> None:
    """T' = ±1, ±2, ±3 (17 times that in 4-bit tokens) halved: products that lie on, below and above a half."""
    lanes, values = bench.params.lanes, np.array([-3, -2, -1, 0, 1, 2, 3])
    columns, wsum = len(values) * lanes, np.repeat(values, lanes)
    for symmetric in (False, True):
        lo, span = np.full((4, 1), -int(symmetric)), np.full((4, 1), 1 + symmetric)
        quantized = Quantized(np.zeros((4, 1), np.int8), lo, span, np.array([8, 8, 4, 4], np.int8), 1, symmetric,
                              np.array([0, 1, 0, 1], np.int8))
        codes = np.ones((4, 1), np.int64) if symmetric else 1 - quantized.mid[:, None]
        job = Job(acc=codes * wsum, wsum=wsum, mant=np.full((1 + symmetric, columns), 1 << 15),
                  shift=np.full((1 + symmetric, columns), 16 + symmetric), quantized=quantized)
        assert job.expected()[0, ::lanes].tolist() == [-1, -1, 0, 0, 1, 1, 2]
        for valid, ready in sides(bench.rng).values():
            await check(bench, [job], "halves", valid, ready)


@batch_test(quota=0.8)
async def random_jobs_back_to_back_under_stalls(bench: BatchBench) -> None:
    for index in bench.jobs():
        jobs = [draw(bench.params, bench.rng, int(bench.rng.integers(1, 400)), int(bench.rng.integers(1, 12)),
                     bool(bench.rng.integers(2))) for _ in range(int(bench.rng.integers(1, 4)))]
        await check(bench, jobs, str(index), *throttles(bench.rng))


@batch_test(quota=0.2)
async def a_full_stream_takes_a_beat_every_cycle(bench: BatchBench) -> None:
    for index in bench.jobs():
        await check(bench, [draw(bench.params, bench.rng, 997, 7, bool(index % 2))], str(index))


@batch_test
async def every_pair_of_stall_patterns(bench: BatchBench) -> None:
    rng = bench.rng
    patterns = [ALWAYS, periodic(1, 1), periodic(1, 7, first_off=True), periodic(5, 2),
                listed([*(rng.random(61) < 0.5), 1], "bits")]
    for valid, ready in product(patterns, patterns):
        jobs = [draw(bench.params, rng, 9, 3, False), draw(bench.params, rng, 1, 1, True)]
        await check(bench, jobs, "pair", valid, ready)


@batch_test
async def a_reset_in_the_middle_leaves_nothing_behind(bench: BatchBench) -> None:
    params = bench.params
    for abort_at in (1, params.latency - 1, params.latency, params.latency + 1, 40):
        job = draw(params, bench.rng, 30, 2, bool(abort_at % 2))
        feed, z = job.beats(params.lanes), job.expected().reshape(-1, params.lanes)
        ready = periodic(1, 3)
        timing = rescale_sim.timing(params, len(z), ALWAYS, ready)
        expect = Expect({"z": z, "last": feed["last"]}, ready)
        await bench.run({"i": Feed(feed)}, {"o": expect}, job=f"until {abort_at}", abort_at=abort_at,
                        timing={"i": timing.inputs, "o": timing.outputs})
        await bench.reset(1)
        await check(bench, [draw(params, bench.rng, 5, 2, True)], f"after a reset at {abort_at}")


@batch_test(trace=True)
async def layers_of_the_shipped_trace_rescale_as_the_golden_model_does(bench: BatchBench) -> None:
    """Accumulators, factors and shifts of real layers; a checkout without the trace has none."""
    if not TRACE.is_file():
        bench.nothing(f"{TRACE}: no such file")
        return
    params = bench.params
    with Trace.open(TRACE) as trace:
        for layer in trace:
            axes = 2 if params.width == 18 else 1
            if len(layer.weight) < params.lanes or (layer.grid is not None and axes == 1
                                                    ) or layer.x.shape[1] > params.max_k:
                continue  # not a whole beat of outputs; a grid, which only a width for 2-D lifting takes; too long
            for mode in ("minmax", "symmetric"):
                config = NpuConfig().with_hw(axes=axes, in_width=params.width - axes).with_job(scale_mode=mode)
                result = run_linear(layer, config)
                rows = np.linspace(0, len(result.acc) - 1, TRACE_TOKENS).astype(int)
                mant, shift = golden.factors(result.s_x, result.weights.scale, result.s_y, config)
                columns = min(TRACE_CHANNELS, result.acc.shape[1])
                of, cut = result.quantized, slice(0, columns - columns % params.lanes)
                wsum = result.weights.sums(layer.x.shape[1])[0, cut]
                chosen = Quantized(of.codes[rows], of.lo[rows], of.span[rows], of.bits[rows], of.group, of.symmetric,
                                   of.sink_shift[rows])
                job = Job(acc=result.acc[rows, cut].astype(np.int64), wsum=wsum, mant=mant[:, cut],
                          shift=shift[:, cut], quantized=chosen)
                assert np.array_equal(job.expected(), result.z[rows, cut])
                for valid, ready in sides(bench.rng).values():
                    await check(bench, [job], f"{layer.name} {mode}", valid, ready)
    if not bench.words:
        bench.nothing(f"no layer has {params.max_k} channels at most, {params.lanes} outputs and the right axes")
