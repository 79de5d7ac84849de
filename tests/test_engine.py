"""The engine's cycle model (sim/engine.py) and its division into super-tiles, against counts made another way."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from sim import activity, engine, haar, mac, memory, scale, schemes
from sim.task import Shape, Task
from stamp_hw import super_tile
from stamp_hw.config import HwConfig, NpuConfig, ResolvedJob
from stamp_hw.errors import ConfigError
from stamp_hw.params import HaarParams, MacParams, ScaleParams

LLAMA_3_8B = [(4096, 4096), (4096, 1024), (4096, 1024), (4096, 4096), (4096, 14336), (4096, 14336), (14336, 4096)]


def job(tokens: int, levels: int, n_hi: int, grid: tuple[int, int] | None = None, n_sink: int = 0) -> ResolvedJob:
    return ResolvedJob(tokens=tokens, grid=grid, levels=levels, n_hi=n_hi, n_sink=n_sink)


def task(tokens: int, k: int, n: int, *, scheme: str = "stamp", hw: HwConfig | None = None) -> Task:
    """A task with the automatic job, or that of a scheme without transform."""
    config = schemes.configure(scheme, NpuConfig(hw=hw or HwConfig(max_k=16384)))
    return Task.of(Shape(name="layer", tokens=tokens, k=k, n=n), config)


def random_task(rng: np.random.Generator, hw: HwConfig) -> Task:
    """Ragged shapes in one and two dimensions, sinks, any levels and precision mix."""
    levels = int(rng.integers(0, 5))
    if rng.random() < 0.4:
        grid = (int(rng.integers(1, 13)), int(rng.integers(1, 13)))
        tokens, n_sink, levels = grid[0] * grid[1], 0, min(levels, 3)
    else:
        grid, tokens, n_sink = None, int(rng.integers(1, 150)), int(rng.choice([0, 0, 1, 5]))
    n_hi = int(rng.choice([0, tokens, rng.integers(0, tokens + 1)]))
    return Task(job=job(tokens, levels, n_hi, grid, n_sink), k=int(rng.integers(1, hw.max_k + 1)),
                n=int(rng.integers(1, 90)), weight_bits=int(rng.choice([4, 8])), symmetric=bool(rng.random() < 0.5))


def random_hw(rng: np.random.Generator) -> HwConfig:
    cols = int(rng.choice([1, 2, 6, 8]))
    divisors = [lanes for lanes in range(1, cols + 1) if cols % lanes == 0]
    return HwConfig(rows=int(rng.choice([1, 2, 3, 8])), cols=cols, lanes=int(rng.choice([1, 4, 7, 16])), max_k=200,
                    act_slots=int(rng.choice([300, 600])), rescale_lanes=int(rng.choice(divisors)),
                    dram_bytes_per_s=float(rng.choice([1e8, 2e9, 1e12])))


def parts_add_up(cycles: engine.EngineCycles) -> bool:
    return cycles.total == (cycles.busy + cycles.wait_activations + cycles.wait_weights + cycles.wait_output
                            + cycles.wait_dram + cycles.tail)


def test_a_small_case_takes_the_cycles_counted_by_hand() -> None:
    hw = HwConfig(rows=2, cols=2, lanes=2, axes=1, max_levels=1, max_k=64, max_tokens=64, act_slots=4, rescale_lanes=1,
                  dram_bytes_per_s=1e15)
    found = engine.simulate(Task(job=job(4, 0, 0), k=64, n=4), hw)
    # Lifting: registers 2, then 32 beats a token; the last beat of token i is out in cycle 2 + 32 i + 31 + latency 4 =
    # 37 + 32 i. Scale: latency 5 (input, tree 1, min/max, bounds, range) + 2 + 17 quotient bits + 6 = 30 to the first
    # code, the last one 31 cycles later. So token i is complete after 37 + 32 i + 30 + 31 + 1 = 99 + 32 i cycles, the
    # last one (i = 3) after 195.
    assert engine.arrivals(Task(job=job(4, 0, 0), k=64, n=4), hw).tolist() == [99, 131, 163, 195]
    # Four 4-bit tokens are two row slots: one array tile of 64 steps (its drain needs but 2·2·2 + 2 + 2 − 2 = 10).
    # Weights of a pass: 2 parameter words + 64 beats, long there. Passes: 195…259 and 259…323. Behind a pass: drain
    # latency (4 + 2 + 2 − 3) + 2 = 7, 8 beats, rescale 9 + 2·2 = 13: its last z is there 7 + 8 − 1 + 13 = 27 later.
    # Inverse: registers 2, four tokens of max(2 beats, 4): 18. Second pass: 323 + 27 + 18 = 368; latency 4, finish 2.
    assert found == engine.EngineCycles(
        total=374, busy=128, wait_activations=195, wait_weights=0, wait_output=0, wait_dram=0, tail=51, fill=195,
        array_tiles=2, super_tiles=1, column_tiles=2)


def test_a_full_buffer_stalls_the_stream_for_the_cycles_counted_by_hand() -> None:
    hw = HwConfig(rows=2, cols=2, lanes=1, axes=1, max_levels=1, max_k=64, max_tokens=64, act_slots=4, rescale_lanes=1,
                  dram_bytes_per_s=1e15)
    found = engine.simulate(Task(job=job(12, 0, 4), k=64, n=6), hw)
    # As above with one lane: token i is complete after 2 + 64 i + 63 + 4 + 29 + 63 + 1 = 162 + 64 i cycles. Super-tiles
    # of four tokens; the first holds 8-bit tokens, two array tiles; the others 4-bit tokens, one array tile.
    # First: tiles full after 226 and 354, so 226…290, 354…418; then 418…546…674. Its half is free at 674.
    # Second: full after 610. Weights take 66 cycles a pass and are 2 late twice: 674…738, 740…804, 806…870.
    # Third: its first token (i = 8) would be written from 674 − 64 = 610 on, but its half is the first one's: 64 cycles
    # of stall. Full after 866 + 64 = 930; the array, done at 870, waits 60: 930…994…1058, weights 2 late, 1060…1124.
    # Behind it 27 to the last z, 18 for the inverse lifting, 4 + 2 to the output.
    assert found == engine.EngineCycles(
        total=1124 + 27 + 18 + 6, busy=3 * (128 + 64 + 64), wait_activations=(226 + 64) + 60, wait_weights=3 * 2,
        wait_output=0, wait_dram=0, tail=51, fill=866, array_tiles=3 * 4, super_tiles=3, column_tiles=3)


def test_parts_add_up_and_no_bound_is_undercut_on_random_shapes(rng: np.random.Generator) -> None:
    for _ in range(60):
        hw = random_hw(rng)
        drawn = random_task(rng, hw)
        found = engine.simulate(drawn, hw)
        array = MacParams.of(hw)
        assert parts_add_up(found)
        assert min(found.wait_activations, found.wait_weights, found.wait_output, found.wait_dram, found.tail) >= 0
        assert found.busy == found.array_tiles * mac.tile_cycles(array, drawn.k)
        assert found.total >= mac.cycles(array, [drawn.k] * found.array_tiles)
        moved = memory.dram_bytes(drawn, hw, found.super_tiles).total
        assert found.total >= moved * hw.freq_hz / hw.dram_bytes_per_s
        assert found.total > found.fill


def test_the_shortcut_over_repeating_passes_changes_no_cycle(rng: np.random.Generator,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    for _ in range(40):
        hw = random_hw(rng)
        drawn.append((random_task(rng, hw), hw))
    quick = [engine.simulate(*pair) for pair in drawn]

    def every_pass(state: engine._State, rates: engine.Rates, work: int, inverse: int, count: int) -> None:
        for _ in range(count):
            engine._pass(state, rates, work, inverse)

    monkeypatch.setattr(engine, "_more_passes", every_pass)
    engine._simulate.cache_clear()
    slow = [engine.simulate(*pair) for pair in drawn]
    engine._simulate.cache_clear()
    assert quick == slow


@pytest.mark.parametrize(("tokens", "levels", "k"), [(64, 3, 100), (37, 2, 64), (50, 0, 33), (20, 4, 250)])
def test_arrivals_are_the_two_front_units_in_a_row_where_scale_keeps_up(tokens: int, levels: int, k: int) -> None:
    hw = HwConfig(lanes=2, axes=1, max_k=256, dram_bytes_per_s=1e15)
    drawn = Task(job=job(tokens, levels, 3), k=k, n=8)
    unit = ScaleParams.of(hw)
    beats = math.ceil(k / hw.lanes)
    leaving = haar.timing(HaarParams.forward(hw), [drawn.haar_job(beats)]).outputs
    offered = set(leaving.tolist())
    timing = scale.timing(unit, [unit.job(tokens=tokens, k=k)], valid=lambda cycle: cycle in offered)
    assert beats >= unit.recip_width  # else the divider is slower than the tokens
    assert timing.inputs.tolist() == leaving.tolist()
    assert np.sort(engine.arrivals(drawn, hw)).tolist() == (timing.outputs[beats - 1 :: beats] + 1).tolist()


def test_the_divider_sets_the_pace_of_narrow_tokens() -> None:
    hw = HwConfig(axes=1)  # 16 lanes: 2 beats a token, 17 quotient bits
    ready = engine.arrivals(Task(job=job(100, 0, 0), k=32, n=8), hw)
    unit = ScaleParams.of(hw)
    _, first = scale.group_times(unit, unit.job(tokens=100, k=32))
    assert set(np.diff(ready)) == {unit.recip_width} == set(np.diff(first))


def test_groups_of_channels_cost_a_division_and_an_array_run_each() -> None:
    hw = HwConfig(axes=1, max_k=1024)
    whole = engine.simulate(Task(job=job(64, 2, 2), k=512, n=16), hw)
    grouped = Task(job=job(64, 2, 2), k=512, n=16, group=64)
    found = engine.simulate(grouped, hw)
    assert grouped.groups == (64,) * 8
    # 64 steps are fewer than a drain takes: 2·8·8 + 8 + 8 − 2 = 142 cycles a run instead.
    assert whole.busy == whole.array_tiles * 512 and found.busy == found.array_tiles * 8 * 142
    with pytest.raises(ConfigError, match="group"):
        engine.simulate(Task(job=job(64, 2, 2), k=512, n=16, group=24), hw)


def test_stamp_stays_within_five_percent_of_uniform_4_bits_and_8_bits_take_twice_as_long() -> None:
    for tokens, k, n in ((512, 192, 192), (512, 256, 688), (2048, 4096, 4096), (2048, 14336, 4096)):
        limit = super_tile.token_limit(task(tokens, k, n).job, HwConfig())
        cycles = {scheme: engine.simulate(task(tokens, k, n, scheme=scheme), HwConfig(max_k=16384), limit).total
                  for scheme in ("a8", "a4", "first_n", "stamp")}
        assert cycles["a4"] < cycles["first_n"] <= cycles["stamp"] <= 1.05 * cycles["a4"]
        assert 1.9 < cycles["a8"] / cycles["a4"] <= 2.01
    assert 1.999 < cycles["a8"] / cycles["a4"] < 2.001


def test_more_work_never_takes_fewer_cycles() -> None:
    base = engine.simulate(task(512, 512, 256), HwConfig(max_k=16384))
    for more in (task(1024, 512, 256), task(512, 640, 256), task(512, 512, 512)):
        assert engine.simulate(more, HwConfig(max_k=16384)).total > base.total


def test_the_next_super_tile_fills_under_this_one() -> None:
    one, four = (engine.simulate(task(tokens, 1024, 1024), HwConfig()) for tokens in (512, 2048))
    assert (one.super_tiles, four.super_tiles) == (1, 4)
    # Behind the first of four, the last low-pass tokens come between tokens of the second, not in a quiet flush.
    assert one.wait_activations <= four.wait_activations < 2 * one.wait_activations and four.busy == 4 * one.busy
    # With one column tile there is next to nothing to hide under: the fill is what takes long.
    narrow = engine.simulate(task(2048, 1024, 8), HwConfig())
    assert narrow.total > narrow.fill and narrow.overlapped > 0.5 * narrow.fill


def test_a_slow_dram_bounds_the_layer_and_a_slow_weight_stream_the_passes() -> None:
    drawn = task(512, 256, 256)
    fast = engine.simulate(drawn, HwConfig())
    starved = HwConfig(dram_bytes_per_s=2e8)
    found = engine.simulate(drawn, starved)
    moved = memory.dram_bytes(drawn, starved, 1).total
    assert found.total > fast.total and found.total >= math.ceil(moved * 500e6 / 2e8)
    few = Task(job=job(16, 0, 0), k=256, n=256)  # one array tile a pass: 256 steps against 8 + 256 beats of weights
    assert engine.simulate(few, HwConfig()).wait_weights > 0


def test_sinks_are_8_bit_rows_in_front_of_the_first_super_tile() -> None:
    hw = HwConfig()
    plain, sunk = job(512, 5, 16), job(512, 5, 16, n_sink=8)
    first = super_tile.split(sunk, hw, 512)[0]
    assert first.rows[:8].tolist() == [[sink, -1] for sink in range(8)]
    tiles = {numbers: engine.simulate(Task(job=numbers, k=256, n=64), hw).array_tiles for numbers in (plain, sunk)}
    assert tiles[sunk] - tiles[plain] == 8  # eight more rows: one more array tile in each of the eight column tiles


def test_a_llama_3_8b_layer_takes_little_time() -> None:
    engine._simulate.cache_clear()
    hw = HwConfig(max_k=16384)
    start = time.process_time()
    for k, n in LLAMA_3_8B:
        drawn = task(2048, k, n, hw=hw)
        engine.simulate(drawn, hw)
        activity.events(drawn, hw, super_tile.split(drawn.job, hw, 512))
    assert time.process_time() - start < 1.0  # 10 ms on an idle core
