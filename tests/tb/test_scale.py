"""Scale unit: the RTL against the golden model and `sim/`, and the two halves of `sim/` against each other."""

from __future__ import annotations

import numpy as np
import pytest
from amaranth.hdl import Fragment
from amaranth.sim import Simulator

from rtl_gen.scale.unit import Scale
from sim import scale as scale_sim
from stamp_hw.config import NpuConfig
from stamp_hw.errors import ConfigError
from stamp_hw.params import ScaleJob, ScaleParams
from tb import tb_scale
from tb.formal.checker import named_signals
from tb.run.block import fresh_seed, run_block

# Output words of the random tests; directed ones and the trace bring the block to about 1.4 million.
WORDS = {"lanes16": 380_000, "lanes4": 110_000, "lanes3": 90_000, "lane": 20_000, "lane_deep": 10_000,
         "blocks16": 200_000, "blocks4": 60_000, "blocks3": 50_000, "blocks": 20_000}
FIXED_SHAPES = "a_full_buffer_and_full_queues_stop_the_input_and_lose_nothing"
TRACE_TEST = "tokens_of_the_shipped_trace_are_quantized_as_the_golden_model_does"


def draw_jobs(rng: np.random.Generator) -> tuple[ScaleParams, list[ScaleJob]]:
    """Hardware, every other with blocks, and jobs that it takes."""
    lanes = int(rng.integers(1, 20))
    block = int(rng.choice([0, 0, 0, 1, int(rng.integers(2, 9)), int(rng.integers(9, 30))]))
    params = ScaleParams(lanes=lanes, width=18, recip_frac=int(rng.integers(0, 9)), block_beats=block,
                         max_beats=int(rng.integers(1, 50)), mul_stages=int(rng.integers(1, 5)))
    jobs = []
    for _ in range(rng.integers(1, 4)):
        groups = (lanes, lanes * int(rng.integers(1, params.max_beats + 1))) if not block else (lanes * block,) * 2
        group = (None, *groups)[rng.integers(3)]
        jobs.append(params.job(tokens=int(rng.integers(1, 12)), k=int(rng.integers(1, params.max_beats * lanes + 1)),
                               group=group))
    return params, jobs


def test_the_recurrence_equals_the_stepper_on_every_group_without_stalls(rng: np.random.Generator) -> None:
    for _ in range(400):
        params, jobs = draw_jobs(rng)
        timing = scale_sim.timing(params, jobs)
        assert timing.cycles == scale_sim.cycles(params, *jobs), (params, jobs)
        sizes = np.concatenate([scale_sim.group_beats(job) * job.tokens for job in jobs])
        ends = np.cumsum(sizes)
        last, first = scale_sim.group_times(params, *jobs)
        assert (timing.inputs[ends - 1] == last).all()
        assert (timing.outputs[ends - sizes] == first).all()


def test_a_lone_group_comes_out_after_the_latency_of_the_parameters(rng: np.random.Generator) -> None:
    for _ in range(50):
        params, _ = draw_jobs(rng)
        k = int(rng.integers(1, params.max_beats * params.lanes + 1))
        timing = scale_sim.timing(params, [params.job(tokens=1, k=k)])
        assert timing.outputs[0] - timing.inputs[-1] == params.latency
        assert timing.cycles == 1 + 2 * -(-k // params.lanes) + params.latency - 1


def test_a_stall_never_makes_a_beat_earlier_and_keeps_the_order(rng: np.random.Generator) -> None:
    for _ in range(100):
        params, jobs = draw_jobs(rng)
        valid, ready = (bits.astype(bool) for bits in rng.integers(0, 2, (2, 101)))
        valid[-1] = ready[-1] = True
        free = scale_sim.timing(params, jobs)
        held = scale_sim.timing(params, jobs, lambda c, v=valid: bool(v[c % 101]), lambda c, r=ready: bool(r[c % 101]))
        for side in ("inputs", "outputs", "jobs"):
            assert (np.diff(getattr(held, side)) > 0).all()
            assert (getattr(held, side) >= getattr(free, side)).all()
        assert (ready[held.outputs % 101]).all()


@pytest.mark.parametrize("beats", [4, 16, 17, 18, 64])
def test_the_rate_of_groups_is_the_larger_of_beats_and_division(beats: int) -> None:
    params = ScaleParams(lanes=8, width=18, recip_frac=8, max_beats=256, mul_stages=2)
    k = beats * 8
    few, many = (scale_sim.cycles(params, params.job(tokens=tokens, k=k)) for tokens in (100, 200))
    assert many - few == 100 * max(beats, params.recip_width)


@pytest.mark.parametrize("block", [1, 2, 3, 4, 8, 16, 17])
def test_blocks_come_at_the_rate_of_their_beats(block: int) -> None:
    """Whatever the last block of a token is: there are dividers enough."""
    for beats in {block, block + 1, 2 * block, 3 * block - 1, 40}:
        params = ScaleParams(lanes=8, width=18, recip_frac=8, max_beats=256, mul_stages=2, block_beats=block)
        few, many = (scale_sim.timing(params, [params.job(tokens=tokens, k=beats * 8, group=block * 8)]).cycles
                     for tokens in (40, 80))
        if beats >= params.recip_width:
            assert many - few == 40 * beats


def test_one_divider_less_is_too_few_for_blocks() -> None:
    """A whole block and a single beat, in turn: two divisions in the time of the two."""
    class Fewer(ScaleParams):
        @property
        def dividers(self) -> int:
            return ScaleParams.dividers.fget(self) - 1  # type: ignore[attr-defined]

    rates = []
    for kind in (ScaleParams, Fewer):
        params = kind(lanes=8, width=18, recip_frac=8, max_beats=256, mul_stages=2, block_beats=4)
        few, many = (scale_sim.cycles(params, params.job(tokens=tokens, k=17 * 8, group=32)) for tokens in (400, 800))
        rates.append((many - few) / 400)
    assert rates[0] == 17 < rates[1]


def test_events_are_those_of_counting_beat_by_beat(rng: np.random.Generator) -> None:
    for _ in range(50):
        params, jobs = draw_jobs(rng)
        beats = len(scale_sim.timing(params, jobs).outputs)
        groups = sum(job.tokens for job in jobs for beat in range(job.beats)
                     if beat + 1 == job.beats or (beat + 1) % job.group_beats == 0)
        assert scale_sim.events(params, *jobs) == scale_sim.ScaleEvents(
            compares=beats, buffer_writes=beats, buffer_reads=beats, divisions=groups,
            divide_steps=groups * (params.recip_frac + 9), multiplies=beats)


@pytest.mark.parametrize(("change", "where"), [
    ({"k": 0}, "ScaleJob.k"), ({"k": 129}, "ScaleJob.k"), ({"tokens": 0}, "ScaleJob.tokens"),
    ({"tokens": 1 << 17}, "ScaleJob.tokens"), ({"group": 6}, "ScaleJob.group"), ({"group": 0}, "ScaleJob.group"),
    ({"group": 4, "block_beats": 2}, "ScaleJob.group"), ({"group": 12, "block_beats": 2}, "ScaleJob.group"),
])
def test_a_job_that_the_unit_cannot_take_is_refused_by_name(change: dict[str, int], where: str) -> None:
    block = change.get("block_beats", 0)
    params = ScaleParams(lanes=4, width=18, recip_frac=8, max_beats=32, mul_stages=2, block_beats=block)
    with pytest.raises(ConfigError) as error:
        params.job(**{"tokens": 2, "k": 16, **{name: value for name, value in change.items() if name != "block_beats"}})
    assert error.value.where == where
    assert error.value.expected


def test_blocks_alone_have_an_integer_zero_and_only_where_zero_is_no_code_already() -> None:
    """In min-max mode, in hardware for them, below a token."""
    with_blocks, without = (ScaleParams(lanes=4, width=18, recip_frac=8, max_beats=32, mul_stages=2, block_beats=beats)
                            for beats in (2, 0))
    assert with_blocks.job(tokens=1, k=16, group=8).zeros
    assert not with_blocks.job(tokens=1, k=16, group=8, symmetric=True).zeros
    assert not with_blocks.job(tokens=1, k=8, group=8).zeros
    assert not with_blocks.job(tokens=1, k=16).zeros
    assert not without.job(tokens=1, k=16, group=8).zeros


def test_a_last_group_may_be_short_and_a_group_beyond_k_is_the_token() -> None:
    params = ScaleParams(lanes=4, width=18, recip_frac=8, max_beats=32, mul_stages=2)
    ragged = params.job(tokens=1, k=21, group=8)
    assert (ragged.beats, ragged.group_beats, ragged.tail) == (6, 2, 1)
    assert scale_sim.group_beats(params.job(tokens=1, k=17, group=8)) == [2, 2, 1]
    assert params.job(tokens=1, k=21, group=22) == params.job(tokens=1, k=21)


def test_the_default_hardware_hides_the_division_of_a_whole_token() -> None:
    params = ScaleParams.of(NpuConfig().hw)
    job = params.job(tokens=64, k=4096)
    assert scale_sim.cycles(params, job) == 1 + 64 * 256 + params.latency - 1 + 256


@pytest.mark.parametrize("block", [0, 2])
def test_nothing_moves_at_the_multipliers_while_a_token_waits_for_its_division(rng: np.random.Generator, block: int
                                                                               ) -> None:
    """Tokens of two beats, each of which waits for most of a division: what a register behind the ring buffer holds of
    a group changes with a beat that is read, whatever the divider shows on the way to its quotient."""
    params = ScaleParams(lanes=2, width=18, recip_frac=8, max_beats=4, mul_stages=1, block_beats=block)
    dut, tokens, read, moved = Scale(params), 12, [], []
    fragment = Fragment.get(dut, None)
    signals = named_signals(fragment)
    (issue,), held = signals["issue"], [signals[f"read_{name}"][0] for name in ("lo", "span", "lz", "recip")]
    values = rng.integers(-50_000, 50_000, (2 * tokens, params.lanes))

    async def drive(ctx) -> None:  # type: ignore[no-untyped-def]
        job = params.job(tokens=tokens, k=2 * params.lanes)
        for name in ("tokens", "beats", "group_beats", "tail"):
            ctx.set(getattr(dut.job.payload, name), getattr(job, name))
        ctx.set(dut.job.valid, 1)
        ctx.set(dut.o.ready, 1)
        fed, cycle, before = 0, 0, None
        while len(read) < 2 * tokens:
            ctx.set(dut.i.valid, fed < len(values))
            ctx.set(dut.i.payload.values, values[min(fed, len(values) - 1)].tolist())
            now = [ctx.get(signal) for signal in held]
            if before is not None and now != before:
                moved.append(cycle - 1)
            if ctx.get(issue):
                read.append(cycle)
            fed, before, cycle = fed + ctx.get(dut.i.valid & dut.i.ready), now, cycle + 1
            await ctx.tick()

    simulator = Simulator(fragment)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()
    assert moved and set(moved) <= set(read)


@pytest.mark.rtl
@pytest.mark.parametrize("name", tb_scale.PARAMETER_SETS)
def test_rtl_equals_the_golden_model_in_values_cycles_and_events(name: str) -> None:
    result = run_block("scale", name, fresh_seed(), words=WORDS[name])
    assert result.tests[TRACE_TEST] > 0 or not tb_scale.TRACE.is_file() or tb_scale.PARAMETER_SETS[name].width < 17


@pytest.mark.rtl
def test_a_deeper_multiplier_moves_hardware_and_model_alike() -> None:
    shallow, deep = (run_block("scale", name, fresh_seed(), tests=(FIXED_SHAPES,), words=0)
                     for name in ("lane", "lane_deep"))
    assert shallow.timed_beats == deep.timed_beats > 0
    assert shallow.cycle_differences == deep.cycle_differences == 0
    assert deep.cycles > shallow.cycles
    job = tb_scale.PARAMETER_SETS["lane"].job(tokens=3, k=5)
    predicted = [scale_sim.cycles(tb_scale.PARAMETER_SETS[name], job) for name in ("lane", "lane_deep")]
    assert predicted[1] - predicted[0] == 3
