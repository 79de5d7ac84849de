"""The linear engine: whole layers, back-to-back jobs, errors and resets; values, the cycle of every beat, events."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rtl_gen.engine.top import Engine
from sim.engine.timing import timing
from stamp_hw.config import HwConfig, JobConfig, NpuConfig
from stamp_hw.engine.job import COLUMNS_WIDTH
from stamp_hw.engine.linear import INT16_WIDTH, run_linear
from stamp_hw.engine.params import MANT_WIDTH, SINK_WIDTH, EngineParams
from stamp_hw.engine.super_tile import divide
from stamp_hw.engine.wire_layer import WireLayer
from stamp_hw.formats.trace import Trace
from stamp_hw.layer import Layer
from stamp_hw.params import Z_WIDTH
from stamp_hw.weight_groups import SIZES
from tb.batch.bench import BatchBench, batch_test
from tb.bench.harness import TRACE, Expect, Feed
from tb.bench.patterns import ALWAYS, Pattern, listed, random_bits
from tb.engine.cases import Case, draw, joined, small_case
from tb.engine.draws import Shape, ends_that_meet, filled, pick, plain, shapes_that_fill
from tb.engine.fit import DEEP, unfit
from tb.engine.illegal_pairs import ZEROS, illegal_pairs
from tb.engine.memories import (  # noqa: F401  tests of this bench
    inputs_at_the_memorys_rate_take_the_cycles_of_the_closed_form,
    jobs_behind_one_port_take_the_cycles_of_its_model,
    jobs_that_wait_for_results_take_the_cycles_of_those_that_are_prefetched,
)
from tb.engine.play import INPUTS, check_status, clear_errors, cycles, play, several, stalls_of
from tb.engine.refused import illegal, sinks_beyond, too_large

# Small buffers, so that small jobs have many super-tiles; sizes that are no powers of two; every width once.
PARAMETER_SETS = {name: EngineParams.of(hw) for name, hw in {
    "2x2": HwConfig(rows=2, cols=2, lanes=3, axes=1, max_levels=5, max_k=50, max_tokens=90, act_slots=33,
                    rescale_lanes=1, mul_stages=1, recip_frac=6, z_frac=2),
    "1x3": HwConfig(rows=1, cols=3, lanes=2, axes=2, max_levels=3, max_k=24, max_tokens=64, act_slots=40,
                    rescale_lanes=3, in_width=9, acc_width=24, z_frac=0),
    "3x6": HwConfig(rows=3, cols=6, lanes=1, axes=2, max_levels=4, max_k=60, max_tokens=70, act_slots=50,
                    rescale_lanes=2, mul_stages=3),
    "4x4": HwConfig(rows=4, cols=4, lanes=4, axes=2, max_levels=6, max_k=64, max_tokens=160, act_slots=40,
                    rescale_lanes=2, packed_weights=True),
    "6x5": HwConfig(rows=6, cols=5, lanes=5, axes=1, max_levels=8, max_k=66, max_tokens=300, act_slots=140,
                    rescale_lanes=5, in_width=12, acc_width=29, mul_stages=4, packed_weights=True),
    "rotated": HwConfig(rows=2, cols=3, lanes=4, axes=2, max_levels=4, max_k=64, max_tokens=70, act_slots=40,
                        rescale_lanes=3, mul_stages=1, in_width=12, hadamard=16),
    "two_blocks": HwConfig(rows=3, cols=4, lanes=32, axes=1, max_levels=5, max_k=96, max_tokens=120, act_slots=70,
                           rescale_lanes=2, hadamard=16),
    "8x8": HwConfig(rows=8, cols=8, lanes=16, axes=2, max_levels=6, max_k=192, max_tokens=512, act_slots=144,
                    packed_weights=True),
    "2x3 blocks": HwConfig(rows=2, cols=3, lanes=2, axes=1, max_levels=5, max_k=50, max_tokens=90, act_slots=33,
                           block=6, rescale_lanes=1, mul_stages=1, recip_frac=6),
    "4x4 blocks": HwConfig(rows=4, cols=4, lanes=4, axes=2, max_levels=4, max_k=112, max_tokens=100, act_slots=40,
                           block=32, rescale_lanes=2, packed_weights=True, hadamard=16),
    "2x2 split": HwConfig(rows=2, cols=2, lanes=3, axes=1, max_levels=4, max_k=40, max_tokens=70, act_slots=33,
                          rescale_lanes=1, mul_stages=2, multiplier="split"),
    "2x2 split blocks": HwConfig(rows=2, cols=2, lanes=2, axes=1, max_levels=4, max_k=40, max_tokens=60, act_slots=33,
                                 block=8, rescale_lanes=1, mul_stages=3, multiplier="split"),
    "16x16": HwConfig(rows=16, cols=16, lanes=32, axes=2, max_levels=8, max_k=512, max_tokens=512, act_slots=320),
}.items()}
build = Engine
WORDS = 100_000  # output words of random layers that a whole regression compares, in all sets together
STALL_CYCLES = 100_000
SMALL_ARRAY, MIDDLE_ARRAY = 8, 64  # PEs of an array that has time for many column tiles
FILLS, OFFERS, RESETS = 16, 200, 8  # rounds of some tests


@batch_test(quota=0.4)
async def jobs_in_a_row_equal_the_models(bench: BatchBench) -> None:
    for job in bench.jobs():
        await play(bench, several(bench), job)


@batch_test(quota=0.6)
async def jobs_under_stalls_equal_the_models(bench: BatchBench) -> None:
    for job in bench.jobs():
        await play(bench, several(bench), job, stalls_of(bench))


@batch_test(trace=True)
async def a_layer_of_the_trace_equals_the_golden_model(bench: BatchBench) -> None:
    """One layer, at random among those that the build can take and a test has time for; all of them in `make regress`.
    """
    if not TRACE.exists():
        bench.nothing(f"{TRACE}: no such file")
        return
    with Trace(TRACE) as trace:
        refused = {name: unfit(trace, name, bench.params) for name in trace.layer_names}
        names = [name for name, why in refused.items() if not why]
        if not names:
            name, why = next(iter(refused.items()))
            bench.nothing(f"layer {name}: {why}" + (f"; so are {len(refused) - 1} others" if len(refused) > 1 else ""))
        for name in names if DEEP else bench.rng.permutation(names)[:1]:
            await play(bench, [Case.of(trace.layer(str(name)), NpuConfig(hw=bench.params.hw))], str(name))


@batch_test
async def a_consumer_that_stalls_for_100000_cycles_loses_nothing(bench: BatchBench) -> None:
    first = int(bench.rng.integers(50))
    bits = np.repeat([1, 0, 1], [first, STALL_CYCLES, STALL_CYCLES])
    long = {"o": listed(bits, f"{first}on{STALL_CYCLES}off")}
    await play(bench, several(bench), "long stall", long)
    await play(bench, several(bench), "long stall among others", stalls_of(bench) | long)


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


@batch_test
async def thousands_of_column_tiles_are_counted(bench: BatchBench) -> None:
    """A token of one channel, once under stalls: every bit of the number of column tiles is 1 in one job and 0 in the
    other, and alone in one of many; eleven or ten bits of it where the array is too large for more. Small arrays count
    on to any number of ten bits with one stream slower than they are, so that passes take any number of cycles, even
    and odd."""
    params, size = bench.params, bench.params.rows * bench.params.cols
    bits = COLUMNS_WIDTH if size <= SMALL_ARRAY else 11 if size <= MIDDLE_ARRAY else 10
    jobs = [((1 << bits) // 3, {}), ((2 << bits) // 3, stalls_of_many_beats(bench))]
    for name, beats in (("o", params.chunks), ("p", params.cols), ("w", 1)) * (2 if size <= SMALL_ARRAY else 0):
        slow = random_bits(bench.rng, density=beats / (1.5 * params.mac.min_tile_cycles))
        jobs.append((int(bench.rng.integers(512, 1024)), {name: slow}))
    for tiles, stalls in jobs:
        shape = Shape(tokens=1, grid=None, sinks=0, k=1, n=tiles * params.cols)
        job = JobConfig(levels=0, n_hi=int(bench.rng.integers(2)), calibration="self")
        await play(bench, [Case.of(plain(bench.rng, shape), NpuConfig(hw=params.hw, job=job))], "wide", stalls)
    alone = [Shape(tokens=1, grid=None, sinks=0, k=1, n=params.cols << bit) for bit in range(bits)]
    config = NpuConfig(hw=params.hw, job=JobConfig(levels=0, n_hi=1, calibration="self"))
    await play(bench, [Case.of(plain(bench.rng, shape), config) for shape in alone], "one bit of them")


def stalls_of_many_beats(bench: BatchBench) -> dict[str, Pattern]:
    """Stalls that let a long job end: of each stream, a few cycles in ten."""
    return {name: random_bits(bench.rng, density=float(bench.rng.choice([0.7, 0.8, 0.9]))) for name in (*INPUTS, "o")}


@batch_test
async def every_bit_of_the_first_4_bit_token_counts(bench: BatchBench) -> None:
    """As many tokens as the hardware takes, without lifting, a row and a column of them: 8 bits for 1, 2, 4, …, in
    super-tiles of as many tokens or of all that fit."""
    most = bench.params.max_tokens
    for grid in (None, (1, most), (most, 1))[: 1 if bench.params.axes == 1 else 3]:
        cases = []
        for bit in range(most.bit_length()):
            shape = Shape(tokens=most, grid=grid, sinks=0, k=min(bench.params.max_k, 5), n=1)
            job = JobConfig(levels=0, n_hi=1 << bit, calibration="self")
            limit = 1 << bit if bench.rng.integers(2) else bench.params.out_slots
            cases.append(Case.of(plain(bench.rng, shape), NpuConfig(hw=bench.params.hw, job=job), limit))
        for stalls in ({}, stalls_of(bench)):
            await play(bench, cases, f"grid {grid}", stalls)


@batch_test
async def sums_and_products_fill_their_registers(bench: BatchBench) -> None:
    """The longest tokens of nothing but the lowest and the highest code, weights of one sign and the largest magnitude;
    factors, biases and exponents of sinks to match: both modes, both precisions, every direction of lifting."""
    rng, params = bench.rng, bench.params
    for turn in range(FILLS):
        cases = []
        for shape in shapes_that_fill(rng, params):
            for mode in ("minmax", "symmetric"):
                most = params.max_levels // (1 if shape.grid is None else 2)
                job = JobConfig(levels=int(rng.integers(min(1, most), most + 1)),
                                n_hi=pick(rng, 0, shape.tokens), scale_mode=mode, weight_bits=8, calibration="static",
                                hadamard=("off", "auto")[turn % 3 % 2])
                layer = filled(rng, params, shape, job, extreme=True)
                case = Case.of_one_that_fits(layer, NpuConfig(hw=params.hw, job=job))
                cases += [] if case is None else [case]
        if cases:
            await play(bench, cases, f"fill {turn}", stalls_of(bench) if turn % 2 else {})
    if not bench.words:
        bench.nothing("no layer of the longest tokens fits the buffers")


@batch_test
async def a_coefficient_at_its_lowest_value_is_seen_in_the_result(bench: BatchBench) -> None:
    """Two equal tokens but for one step: the coefficient of their mean lies below the range and becomes its lowest
    value, and of the factors near the least that does so one lets its last bit decide how a result is rounded."""
    params, seen = bench.params, 0
    if not params.max_levels or min(params.act_slots, params.max_tokens) < 2:
        bench.nothing("no level, or no room for two tokens: without a difference no last bit reaches a result")
        return
    unit = 1 << params.z_frac  # of a result, in steps of a coefficient
    low, lowest = -(1 << (params.in_width - 1)), -(1 << (Z_WIDTH - 1))
    config = NpuConfig(hw=params.hw, job=JobConfig(levels=1, n_hi=2, weight_bits=8, calibration="static",
                                                   hadamard="off"))
    x = np.array([[low], [low + 1]], np.float32)
    for step in range(64):
        factor = lowest // low + step  # of a coefficient to an input code
        s_y = unit / factor
        bias = np.full(params.cols, -lowest // unit * s_y, np.float32)
        layer = Layer("lowest", x, np.ones((params.cols, 1), np.float32), bias,
                      s_x=2.0 ** (params.in_width - INT16_WIDTH), s_y=s_y)
        result = run_linear(layer, config)
        mean, difference = result.z[:, 0].tolist()
        if mean == lowest and (mean - (difference >> 1) + unit // 2 + 1) % unit == 0:
            await play(bench, [Case.of(layer, config)], f"factor {factor}")
            seen += 1
    assert seen, "no factor lets the last bit of the lowest coefficient decide"


@batch_test
async def a_token_of_the_least_range_takes_the_largest_shift(bench: BatchBench) -> None:
    """Codes 0 and 1, or 0 and -1, without lifting: a range of one step has as many leading zeros as there may be."""
    params, job = bench.params, JobConfig(levels=0, n_hi=2, calibration="static", hadamard="off")
    x = np.zeros((min(4, params.max_tokens), min(2, params.max_k)), np.float32)
    x[:, 0] = (1.0, -1.0, 1.0, -1.0)[: len(x)]
    weight = bench.rng.standard_normal((params.cols, x.shape[1])).astype(np.float32)
    layer = Layer("least", x, weight, s_x=2.0 ** (params.in_width - INT16_WIDTH), s_y=2.0**-6)
    await play(bench, [Case.of(layer, NpuConfig(hw=params.hw, job=job))], "a range of one step")


@batch_test
async def a_sink_of_every_exponent_meets_the_least_shift(bench: BatchBench) -> None:
    """Sinks of the lowest and of the highest code times 2^e, each behind a factor of a shift by 1: what saturates first
    is then raised by e − 1."""
    params = bench.params
    top, sinks = 1 << (params.in_width - 1), min(1 << SINK_WIDTH, params.max_tokens - 1, params.act_slots - 1)
    job = JobConfig(levels=0, n_hi=1, weight_bits=8, calibration="static", hadamard="off")
    s_y = 1 / ((1 << MANT_WIDTH) - 1) * 2 ** (params.z_frac + 1) / 255
    for code in (-top, top - 1):
        x = np.append(2.0 ** np.arange(sinks), 0)[:, None] * code
        layer = WireLayer(name="raised", x=x.astype(np.float32), weight=np.full((4 * params.cols, 1), 127, np.float32),
                          n_sink=sinks, s_x=2.0 ** (params.in_width - INT16_WIDTH), s_y=s_y)
        case = Case.of_one_that_fits(layer, NpuConfig(hw=params.hw, job=job))
        if case is not None:
            for stalls in ({}, {"o": random_bits(bench.rng, density=0.3)}):
                await play(bench, [case], f"sinks of {code}", stalls)
    if not bench.words:
        bench.nothing("no room for sinks")


@batch_test
async def super_tiles_fill_every_row_slot_and_every_place(bench: BatchBench) -> None:
    """A half of the buffers filled by pairs of 4-bit tokens, by all but one of them, by sinks; then the other half. And
    sequences, rows and columns of as many tokens as the build holds, at every number of levels."""
    rng, params = bench.rng, bench.params
    slots, most = params.act_slots, params.max_tokens
    full = ((2 * slots, 0), (2 * slots - 1, 0), (2 * slots - 2, 1), (1, slots - 1))  # tokens, sinks
    k = min(params.max_k, params.lanes * params.haar.min_slot_cycles)  # most tokens in the scale unit
    shapes = [(Shape(tokens=max(1, min(tokens, most)), grid=None, sinks=min(sinks, most - 1), k=k,
                     n=params.cols + 1), 0) for tokens, sinks in full]
    for grid in (None, (1, most), (most, 1))[: 1 if params.axes == 1 else 3]:
        longest = Shape(tokens=most, grid=grid, sinks=0, k=1, n=1)
        shapes += [(longest, levels) for levels in range(params.max_levels // (1 if grid is None else 2) + 1)]
    for shape, levels in shapes:
        job = JobConfig(levels=levels, n_hi=0, calibration="static")
        config = NpuConfig(hw=params.hw, job=job)
        case = Case.of_one_that_fits(filled(rng, params, shape, job), config, params.out_slots)
        if case is not None:
            await play(bench, [case, case, draw(rng, params)], f"full at levels {levels}", stalls_of(bench))


@batch_test
async def the_last_step_of_a_pass_may_end_a_group_or_a_short_block(bench: BatchBench) -> None:
    """Then the next pass's (u, z) is offered while that step is written, and sums follow those of the block before as
    closely as they may, tile after tile. Tokens that come slowly have codes long before their last beat."""
    rng, params = bench.rng, bench.params
    if not (ends := ends_that_meet(params)):
        bench.nothing("neither packed weights nor blocks")
    for turn, (k, given) in enumerate(ends):
        tokens = int(rng.integers(1, min(params.max_tokens, 8 * params.rows) + 1))
        shape = Shape(tokens=tokens, grid=None, sinks=0, k=k, n=2 * params.cols + 1)
        job = JobConfig(levels=0, n_hi=pick(rng, 0, tokens // 2, tokens), calibration="static", hadamard="off", **given)
        if case := Case.of_one_that_fits(filled(rng, params, shape, job), NpuConfig(hw=params.hw, job=job)):
            await play(bench, [case, case], f"end {turn}")
            stalls = stalls_of(bench) | {"i": random_bits(bench.rng, density=0.125)}
            await play(bench, [case], f"end {turn} under stalls", stalls)


@batch_test
async def a_job_offered_in_any_cycle_behind_the_one_before_is_right(bench: BatchBench) -> None:
    """Small jobs whose registers come later by a cycle from turn to turn, from the last token of the job before to some
    cycles after its last result; every second turn under stalls of the other streams."""
    rng, params = bench.rng, bench.params
    jobs = [small_case(rng, params) for _ in range(3)]
    alone = timing(params, [jobs[0].job])
    first, last = int(alone.tokens[-1]), alone.cycles + (1 << params.max_levels)
    offers = range(first, last) if last - first <= OFFERS else sorted(rng.choice(range(first, last), OFFERS, False))
    for turn, offer in enumerate(offers):
        cases = [jobs[0], small_case(rng, params), jobs[1 + turn % 2]]
        late = listed(np.repeat([1, 0, 1], [1, max(0, int(offer) - 1), last]), f"late{offer}")
        stalls = stalls_of(bench) if turn % 2 else {}
        await play(bench, cases, f"offered in cycle {offer}", stalls | {"job": late})


@batch_test
async def weights_that_leave_int8_saturate_and_are_an_error(bench: BatchBench) -> None:
    """Pairs (u, z) at the limit, which is no error, one of them beyond it, of each z too, any pairs, one in a channel
    beyond N; where weights are bytes, these."""
    params, turns = bench.params, [*((turn % 4, None) for turn in range(FILLS)), *((1, zero) for zero in ZEROS)]
    for turn, (kind, zero) in enumerate(turns):
        case, errors = illegal_pairs(bench.rng, params, SIZES[turn % len(SIZES)], kind, zero)
        await play(bench, [case], f"pairs {turn}", stalls_of(bench) if turn % 3 else {}, errors=errors)
        await clear_errors(bench)


@batch_test
async def a_wrong_last_is_an_error_and_changes_nothing(bench: BatchBench) -> None:
    case = draw(bench.rng, bench.params)
    beats = {name: np.array(values) for name, values in case.beats["i"].items()}
    beats["last"][int(bench.rng.integers(len(beats["last"])))] ^= 1
    wrong = replace(case, beats=case.beats | {"i": beats})
    for stalls in ({}, stalls_of(bench)):
        await play(bench, [wrong], "wrong last", stalls, errors=("framing",))
        await bench.reset()
        await check_status(bench, "reset")


def super_tiles(case: Case, params: EngineParams) -> int:
    """How many times a layer changes between the halves of the buffers."""
    job = case.job
    return len(divide(job.resolved, job.tile_width, job.tile_height, params.rows))


@batch_test
async def a_super_tile_beyond_the_buffers_is_an_error_and_the_next_job_is_right(bench: BatchBench) -> None:
    """In either half of the buffers."""
    rng, params = bench.rng, bench.params
    found = (too_large(rng, params, False), too_large(rng, params, True) if params.axes == 2 else None,
             sinks_beyond(rng, params))
    if not any(found):
        bench.nothing("every super-tile that its registers can say fits the buffers")
    for case in filter(None, found):
        for _ in range(2):
            stalls = stalls_of(bench) if rng.integers(2) else dict.fromkeys((*INPUTS, "o"), ALWAYS)
            nothing = {name: np.zeros((), bool) for name in case.beats["o"]}
            await bench.run({name: Feed(case.beats[name], stalls[name]) for name in INPUTS},
                            {"o": Expect(case.beats["o"], stalls["o"], care=nothing)}, job=f"overflow {case.name}")
            await check_status(bench, case.name, "overflow")
            await clear_errors(bench)
            after = several(bench)
            # An odd number in all: the next time it is the other half's turn.
            while sum(super_tiles(one, params) for one in (case, *after)) % 2 == 0:
                after.append(small_case(rng, params))
            await play(bench, after, "after an overflow")


@batch_test
async def a_reset_in_the_middle_of_a_job_leaves_nothing_behind(bench: BatchBench) -> None:
    for attempt in range(RESETS):
        cases = several(bench)
        stalls = stalls_of(bench) if attempt % 2 else dict.fromkeys((*INPUTS, "o"), ALWAYS)
        wanted = cycles(bench, [case.job for case in cases], stalls)
        total = wanted.cycles
        stop = int(bench.rng.integers(int(wanted.jobs[0]) + 1, total))
        await bench.run({name: Feed(joined(cases, name), stalls[name]) for name in INPUTS},
                        {"o": Expect(joined(cases, "o"), stalls["o"])}, job=f"reset {attempt} in cycle {stop}",
                        timing=wanted.streams, abort_at=stop)
        assert not int(bench.dut.status.value) & 1, f"idle in cycle {stop} of {total}"
        await bench.reset()
        await play(bench, several(bench), f"after reset {attempt} in cycle {stop}")
