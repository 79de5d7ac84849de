"""The engine's cycles of a layer (sim/engine/closed_form.py), against counts made another way and against every beat's
cycle."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sim import haar, mac, memory, scale
from sim.cost import activity
from sim.division import Division
from sim.dram import FULL
from sim.engine import closed_form
from sim.engine import front as engine_front
from sim.engine import timing as engine_timing
from sim.engine.arrivals import Arrivals
from sim.engine.front import CODED
from sim.engine.passes import Behind, Rates, State, one_pass
from sim.task import Shape, Task
from stamp_hw import schemes
from stamp_hw.config import HwConfig, NpuConfig, ResolvedJob
from stamp_hw.engine import super_tile
from stamp_hw.engine.params import EngineParams
from stamp_hw.errors import ConfigError
from stamp_hw.haar_slots import HaarJob
from stamp_hw.params import MacParams, ScaleParams
from tests.support.rotated_cases import perhaps_in_blocks, perhaps_rotated, registers_of, task_of

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
    return task_of(rng, hw, job(tokens, levels, n_hi, grid, n_sink), int(rng.integers(1, hw.max_k + 1)),
                   int(rng.integers(1, 90)))


def random_hw(rng: np.random.Generator) -> HwConfig:
    cols = int(rng.choice([1, 2, 6, 8]))
    divisors = [lanes for lanes in range(1, cols + 1) if cols % lanes == 0]
    return perhaps_in_blocks(rng, perhaps_rotated(rng, HwConfig(
        rows=int(rng.choice([1, 2, 3, 8])), cols=cols, lanes=int(rng.choice([1, 4, 7, 16, 32])), max_k=200,
        act_slots=int(rng.choice([300, 600])), rescale_lanes=int(rng.choice(divisors)),
        dram_bytes_per_s=float(rng.choice([1e8, 2e9, 1e12])))))


def parts_of(cycles: closed_form.EngineCycles) -> dict[str, int]:
    return {part: getattr(cycles, part) for part in closed_form.PARTS}


def prompt_arrivals(drawn: Task, hw: HwConfig, limit: int) -> np.ndarray:
    """From when each token counts as there without stalls and gates."""
    front = Arrivals(drawn, hw, super_tile.split(drawn.job, hw, limit), FULL)
    front.take_all()
    return front.ready


def test_a_small_case_takes_the_cycles_counted_by_hand() -> None:
    hw = HwConfig(rows=2, cols=2, lanes=2, axes=1, max_levels=1, max_k=64, max_tokens=64, act_slots=4, rescale_lanes=1,
                  dram_bytes_per_s=1e15)
    drawn = Task(job=job(4, 0, 0), k=64, n=4)
    found = closed_form.simulate(drawn, hw)
    # The job is taken in cycle 0 and checked in 1, the lifting unit has its registers in 2 and the first beat in 4.
    # Token i's last of 32 beats comes in 35 + 32 i, leaves in 40 + 32 i (latency 5); scale: 31 to the first code
    # (input, tree 1, min/max, bounds, range: 5; 2; 17 quotient bits; 7), 31 more to the last one, and it counts from
    # the second cycle on: 40 + 32 i + 64 = 104 + 32 i, the last one (i = 3) from 200 on.
    assert prompt_arrivals(drawn, hw, 64).tolist() == [104, 136, 168, 200]
    # Four 4-bit tokens are two row slots: one array tile of 64 steps (its drain needs but 2·2·2 + 2 + 2 − 2 = 10), in
    # both passes, two registers behind its rows: 202…265 and 266…329. Behind a last step: 4 to the array, drain latency
    # (4 + 2 + 2 − 3) + 2 = 7, 8 beats, so 18 to the last of them; the memories, a register behind them and one behind
    # the choice 3, rescale 10 + 2·2 = 14, the flag: complete from 329 + 36 = 365 on. Inverse: registers 2, four tokens
    # of max(2 beats, 4) cycles from 367 on, the last beat issued in 380; latency 4, finish 2: out in 386.
    # What came last was waited for: all four tokens, the steps behind the first one's, what is behind the last one.
    assert found == closed_form.EngineCycles(
        total=387, streaming=128, wait_drain=0, wait_activations=202, wait_weights=0, wait_output=0,
        wait_dram_activations=0, wait_dram_weights=0, wait_dram_bytes=0, tail=57, fill=200, first_fill=202, steps=64,
        array_tiles=2, super_tiles=1, column_tiles=2, bottleneck="activations",
        critical_path=(("tiles", 63 + 64), ("tokens", 202), ("loads", 0), ("back", 58)))
    assert (found.overlapped, found.exposed) == (0, 200)


def test_a_full_buffer_stalls_the_stream_for_the_cycles_counted_by_hand() -> None:
    hw = HwConfig(rows=2, cols=2, lanes=1, axes=1, max_levels=1, max_k=64, max_tokens=64, act_slots=4, rescale_lanes=1,
                  dram_bytes_per_s=1e15)
    found = closed_form.simulate(Task(job=job(12, 0, 4), k=64, n=6), hw)
    # As above with one lane: token i is taken from 4 + 64 i on and counts from 4 + 64 i + 63 + 5 + 30 + 63 + 2 =
    # 167 + 64 i on. Super-tiles of four tokens; the first holds 8-bit tokens, two array tiles; the others 4-bit tokens,
    # one array tile. Weights of a pass: 64 beats; loaded 2 after the last one, the next pass's first beat 1 later.
    # First: tiles complete from 231 and 359 on, so 233…296, 361…424; then 425…552, 553…680. Its half is free from 680 +
    # 20 (the drain, as above 18; its flag, the gate) = 700 on.
    # Second: complete from 615 on, waits for the array: 681…744. The pass after it: its half of the weight buffer is
    # left in 680, so 682…745 and loaded from 747 on, 2 late: 747…810; the next one as well: 813…876.
    # Third: its first token (i = 8) would be taken in 516, but its half is the first one's: 184 cycles of stall.
    # Complete from 871 + 184 = 1055 on, 180 late: 1057…1120, 1121…1184; weights 2 late, 1187…1250.
    # The last pass waits for its weights (66 from the release of the pass before the last in 1120), that one for its
    # tokens from 700 to 1057, those for the array, from the first super-tile's second tile (tokens until 361) to 700.
    # Behind it 36 until complete, 2 + 3·4 + 1 to the last beat issued, 4 + 2 to the output, and the cycle itself.
    assert found == closed_form.EngineCycles(
        total=1250 + 36 + 15 + 6 + 1, streaming=3 * (128 + 64 + 64), wait_drain=0, wait_activations=233 + 64 + 180,
        wait_weights=3 * 2, wait_output=0, wait_dram_activations=0, wait_dram_weights=0, wait_dram_bytes=0, tail=57,
        fill=871, first_fill=233 + 64, array_tiles=3 * 4, steps=64, super_tiles=3, column_tiles=3,
        critical_path=(("tiles", 63 + 256 + 20 + 63 + 1 + 63), ("tokens", 361 + 357), ("loads", 66), ("back", 58)),
        bottleneck="activations")


def test_the_closed_forms_are_the_engine_followed_beat_by_beat(rng: np.random.Generator) -> None:
    rotated = 0
    for _ in range(80):
        hw = replace(random_hw(rng), dram_bytes_per_s=1e15)
        drawn = random_task(rng, hw)
        limit = int(rng.choice([8, 16, 50, super_tile.token_limit(drawn.job, hw)]))
        params = EngineParams.of(hw)
        registers = registers_of(rng, hw, drawn, limit)
        rotated += registers.hadamard
        found = closed_form.simulate(drawn, hw, limit)
        assert found.total == engine_timing.timing(params, [registers]).cycles == sum(parts_of(found).values())
    assert rotated > 5


def test_parts_add_up_and_no_bound_is_undercut_on_random_shapes(rng: np.random.Generator) -> None:
    for _ in range(60):
        hw = random_hw(rng)
        drawn = random_task(rng, hw)
        found = closed_form.simulate(drawn, hw)
        assert sum(parts_of(found).values()) == found.total and min(parts_of(found).values()) >= 0
        # The first tile has no drain in front of it.
        span, least = EngineParams.of(hw).tile_cycles(drawn.k)
        assert found.streaming == found.array_tiles * drawn.k
        assert found.busy == found.array_tiles * least - (least - span)
        if not hw.block:
            assert (span, least) == (drawn.k, mac.tile_cycles(MacParams.of(hw), drawn.k))
            assert found.total >= mac.cycles(MacParams.of(hw), [drawn.k] * found.array_tiles)
        moved = memory.dram_bytes(drawn, hw, found.super_tiles).total
        assert found.total >= moved * hw.freq_hz / hw.dram_bytes_per_s
        assert found.total > found.fill


def test_the_shortcut_over_repeating_passes_changes_no_cycle(rng: np.random.Generator,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    for _ in range(40):
        hw = random_hw(rng)
        drawn.append((random_task(rng, hw), hw))
    quick = [closed_form.simulate(*pair) for pair in drawn]

    def every_pass(state: State, rates: Rates, tiles: int, behind: Behind, count: int) -> None:
        for _ in range(count):
            one_pass(state, rates, tiles, behind)

    monkeypatch.setattr(closed_form, "more_passes", every_pass)
    closed_form._simulate.cache_clear()
    slow = [closed_form.simulate(*pair) for pair in drawn]
    closed_form._simulate.cache_clear()
    assert quick == slow


@pytest.mark.parametrize(("tokens", "levels", "k", "n_sink"), [
    (64, 3, 100, 0), (37, 2, 64, 3), (50, 0, 33, 0), (20, 4, 250, 1), (60, 3, 9, 2), (17, 1, 1, 0)])
def test_arrivals_are_the_two_front_units_in_a_row_and_the_second_never_stops_the_first(
        tokens: int, levels: int, k: int, n_sink: int) -> None:
    hw = HwConfig(lanes=2, axes=1, max_k=256, dram_bytes_per_s=1e15)
    params, drawn = EngineParams.of(hw), Task(job=job(tokens, levels, 3, n_sink=n_sink), k=k, n=8)
    beats = math.ceil(k / hw.lanes)
    jobs = [HaarJob(tokens=n_sink, levels=0, beats=beats)] if n_sink else []
    leaving = haar.timing(params.haar, [*jobs, drawn.haar_job(beats)]).outputs + 2  # the job is taken and checked
    offered = set(leaving.tolist())
    timing = scale.timing(params.scale, [params.scale.job(tokens=tokens + n_sink, k=k)],
                          valid=lambda cycle: cycle in offered)
    assert timing.inputs.tolist() == leaving.tolist()
    ready = prompt_arrivals(drawn, hw, 1000)
    assert np.sort(ready).tolist() == (timing.outputs[beats - 1 :: beats] + CODED).tolist()


def test_the_divider_sets_the_pace_of_narrow_tokens() -> None:
    hw = HwConfig(axes=1)  # 16 lanes: 2 beats a token, 17 quotient bits
    drawn = Task(job=job(100, 0, 0), k=32, n=8)
    unit = ScaleParams.of(hw)
    _, first = scale.group_times(unit, unit.job(tokens=100, k=32))
    assert set(np.diff(prompt_arrivals(drawn, hw, 1000))) == {unit.recip_width} == set(np.diff(first))


@pytest.mark.parametrize("block", [32, 64, 128])
@pytest.mark.parametrize("size", [8, 16, 32])
def test_blocks_cost_the_array_no_cycle_where_a_row_drains_under_them(size: int, block: int) -> None:
    """A block's steps hide its drain, 2 · rows beats; where 32 rows take 64 of a block of 32 the report says so."""
    hw = HwConfig(rows=size, cols=size, lanes=2 * size if size < 32 else 32, axes=1, act_slots=2048, block=block)
    drawn = job(2048, 8, 64)
    plain = closed_form.simulate(Task(job=drawn, k=4096, n=4096), hw)
    found = closed_form.simulate(Task(job=drawn, k=4096, n=4096, group=block), hw)
    steps = max(1, 2 * size / block)
    assert found.busy == pytest.approx(steps * found.streaming, rel=1e-3)
    assert found.total == pytest.approx(plain.total, rel=0.001), "one scale a token takes the same blocks"
    assert found.utilization * steps > 0.98


@pytest.mark.parametrize(("preset", "k", "n", "levels", "grid"), [
    ("language", 576, 1536, 5, None), ("language", 1536, 576, 5, None), ("image", 1152, 4608, 3, (64, 64)),
    ("image", 4608, 1152, 3, (64, 64))])
def test_the_presets_with_blocks_keep_their_arrays_busy(preset: str, k: int, n: int, levels: int,
                                                        grid: tuple[int, int] | None) -> None:
    """Layers of SmolLM2-135M and of PixArt, 4096 tokens, scales of blocks behind a Hadamard unit."""
    config = NpuConfig.load(Path(__file__).parents[2] / "configs" / f"{preset}.yaml")
    found = closed_form.simulate(Task.of(Shape(name="layer", tokens=4096, k=k, n=n, grid=grid), config), config.hw)
    assert found.steps == -(-k // 64) * 64 and found.utilization > 0.98


def test_a_ragged_block_and_a_slow_rescale_unit_cost_what_the_contract_says() -> None:
    """40 channels in blocks of 32 on 8 × 8: 32 + max(8, 2 · 8) steps, but the T of a tile leave in 128 + 7 cycles, the
    read and the skew; only the first tile of all is not behind another one."""
    hw = HwConfig(axes=1, block=32)
    found = closed_form.simulate(Task(job=job(256, 0, 0), k=40, n=64, group=32), hw)
    assert EngineParams.of(hw).tile_cycles(40) == (32 + 16, 128 + 16 + 7 - 16)
    assert found.busy == 135 * found.array_tiles - (135 - 48)
    with pytest.raises(ConfigError, match="group"):
        closed_form.simulate(Task(job=job(64, 2, 2), k=512, n=16, group=24), HwConfig(lanes=8, block=32))


def test_stamp_stays_within_five_percent_of_uniform_4_bits_and_8_bits_take_twice_as_long() -> None:
    for tokens, k, n in ((512, 192, 192), (512, 256, 688), (2048, 4096, 4096), (2048, 14336, 4096)):
        limit = super_tile.token_limit(task(tokens, k, n).job, HwConfig())
        cycles = {scheme: closed_form.simulate(task(tokens, k, n, scheme=scheme), HwConfig(max_k=16384), limit).total
                  for scheme in ("a8", "a4", "first_n", "stamp")}
        assert cycles["a4"] < cycles["first_n"] <= cycles["stamp"] <= 1.05 * cycles["a4"]
        assert 1.9 < cycles["a8"] / cycles["a4"] <= 2.01
    assert 1.999 < cycles["a8"] / cycles["a4"] < 2.001


def test_more_work_never_takes_fewer_cycles() -> None:
    base = closed_form.simulate(task(512, 512, 256), HwConfig(max_k=16384))
    for more in (task(1024, 512, 256), task(512, 640, 256), task(512, 512, 512)):
        assert closed_form.simulate(more, HwConfig(max_k=16384)).total > base.total


def test_the_next_super_tile_fills_under_this_one() -> None:
    one, four = (closed_form.simulate(task(tokens, 1024, 1024), HwConfig()) for tokens in (512, 2048))
    assert (one.super_tiles, four.super_tiles) == (1, 4)
    # Behind the first of four, the last low-pass tokens come between tokens of the second, not in a quiet flush.
    assert one.wait_activations <= four.wait_activations < 2 * one.wait_activations and four.busy == 4 * one.busy
    # With one column tile there is next to nothing to hide under: the fill is what takes long.
    narrow = closed_form.simulate(task(2048, 1024, 8), HwConfig())
    assert narrow.total > narrow.fill and narrow.overlapped > 0.5 * narrow.fill


def test_a_slow_dram_bounds_the_layer_and_a_slow_weight_stream_the_passes() -> None:
    drawn = task(512, 256, 256)
    fast = closed_form.simulate(drawn, HwConfig())
    starved = HwConfig(dram_bytes_per_s=2e8)
    found = closed_form.simulate(drawn, starved)
    moved = memory.dram_bytes(drawn, starved, 1).total
    assert found.total > fast.total and found.total >= math.ceil(moved * 500e6 / 2e8)
    few = Task(job=job(16, 0, 0), k=256, n=256)  # one array tile a pass: 256 steps against 8 + 256 beats of weights
    assert closed_form.simulate(few, HwConfig()).wait_weights > 0


def test_sinks_are_8_bit_rows_in_front_of_the_first_super_tile() -> None:
    hw = HwConfig()
    plain, sunk = job(512, 5, 16), job(512, 5, 16, n_sink=8)
    first = super_tile.split(sunk, hw, 512)[0]
    assert first.rows[:8].tolist() == [[sink, -1] for sink in range(8)]
    tiles = {numbers: closed_form.simulate(Task(job=numbers, k=256, n=64), hw).array_tiles for numbers in (plain, sunk)}
    assert tiles[sunk] - tiles[plain] == 8  # eight more rows: one more array tile in each of the eight column tiles


def test_a_llama_3_8b_layer_takes_little_time() -> None:
    for cached in (closed_form._simulate, engine_front.slots, super_tile._divide, super_tile._tile_size, haar._slots):
        cached.cache_clear()
    hw = NpuConfig.load(Path(__file__).parents[2] / "configs" / "npu32.yaml").hw
    drawn = [task(2048, k, n, hw=hw) for k, n in LLAMA_3_8B]
    start = time.process_time()
    for one in drawn:
        closed_form.simulate(one, hw)
    assert time.process_time() - start < 0.25  # 6 ms on an idle core
    for one in drawn:
        activity.events(one, hw, Division.of(super_tile.split(one.job, hw, super_tile.token_limit(one.job, hw))))
    assert time.process_time() - start < 1.0
