"""The external memory's rate (sim/dram.py): the closed forms against every beat's cycle under the same stall patterns,
and what a report says is due to it."""

from __future__ import annotations

import csv
import json
import time
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim import dram, memory
from sim.dram import FULL, Memory, Rate
from sim.engine import closed_form
from sim.engine import timing as engine_timing
from sim.engine.front import Source
from sim.task import Task
from stamp_hw.cli.main import main
from stamp_hw.config import HwConfig, NpuConfig, ResolvedJob
from stamp_hw.engine import super_tile
from stamp_hw.engine.job import EngineJob
from stamp_hw.engine.params import EngineParams
from stamp_hw.errors import ConfigError
from tests.support.rotated_cases import perhaps_in_blocks, perhaps_rotated, registers_of, task_of

CASES = 2000
NPU32 = ("--config", str(Path(__file__).parents[2] / "configs" / "npu32.yaml"))


def draw_rate(rng: np.random.Generator) -> Rate:
    den = int(rng.choice([1, 2, 7, 64, 1000, 10**9 + 7]))
    return Rate.of(Fraction(int(rng.integers(1, den + 1)), den))


def draw_hw(rng: np.random.Generator) -> HwConfig:
    """Small arrays and buffers; from a beat in some hundred cycles to far more than a beat a cycle."""
    cols = int(rng.choice([1, 2, 3, 6, 8]))
    whole = rng.random() < 0.5  # short periods, so that passes repeat; else periods longer than any layer
    rate = float(rng.choice([1, 2, 3, 4, 5, 7, 8, 12, 16, 24, 51.2])) if whole else 10 ** rng.uniform(-1, 3)
    freq = float(rng.choice([1e8, 5e8, 8e8]))
    return perhaps_in_blocks(rng, perhaps_rotated(rng, HwConfig(
        rows=int(rng.choice([1, 2, 3, 8])), cols=cols, lanes=int(rng.choice([1, 2, 3, 8, 16])),
        axes=int(rng.choice([1, 2])), max_levels=6, max_k=64, max_tokens=200,
        act_slots=int(rng.choice([20, 40, 64, 200])), in_width=int(rng.choice([8, 9, 16])),
        rescale_lanes=int(rng.choice([lanes for lanes in range(1, cols + 1) if cols % lanes == 0])),
        mul_stages=int(rng.integers(1, 4)), freq_hz=freq, dram_bytes_per_s=max(1e3, round(rate * freq)),
        packed_weights=bool(rng.integers(2)))))


def draw_task(rng: np.random.Generator, hw: HwConfig) -> Task:
    grid, n_sink, tokens = None, int(rng.choice([0, 0, 1, 4])), int(rng.integers(1, 60))
    levels = int(rng.integers(0, 5))
    if hw.axes == 2 and rng.random() < 0.6:
        grid, n_sink, levels = (int(rng.integers(1, 9)), int(rng.integers(1, 9))), 0, min(levels, 3)
        tokens = grid[0] * grid[1]
    job = ResolvedJob(tokens=tokens, grid=grid, levels=levels, n_sink=n_sink,
                      n_hi=int(rng.choice([0, tokens, rng.integers(0, tokens + 1)])))
    return task_of(rng, hw, job, int(rng.integers(1, hw.max_k + 1)), int(rng.integers(1, 5 * hw.cols + 2)))


def test_a_rate_offers_as_many_beats_as_the_memory_had_time_for_and_never_sooner(rng: np.random.Generator) -> None:
    for _ in range(100):
        rate = draw_rate(rng)
        bits = [rate(cycle) for cycle in range(500)]
        assert np.cumsum(bits).tolist() == [(cycle + 1) * rate.num // rate.den for cycle in range(500)]
        if rate.den <= dram.MAX_PERIOD:
            assert len(rate.bits) == rate.den and sum(rate.bits) == rate.num
            assert bits == [bool(rate.bits[cycle % rate.den]) for cycle in range(500)]
    with pytest.raises(ValueError, match="cycles; at most"):
        _ = Rate.of(Fraction(1, 10**9 + 7)).bits


def test_a_rate_offers_a_beat_in_the_cycle_before_it_counts(rng: np.random.Generator) -> None:
    assert all(rate(-1) for rate in (draw_rate(rng) for _ in range(100)))


def test_a_rate_is_the_part_of_a_beat_that_the_memory_moves_in_a_cycle() -> None:
    hw = HwConfig(lanes=64, cols=32, freq_hz=800e6, dram_bytes_per_s=12.8e9)  # 16 bytes a cycle
    assert Memory.of(hw) == Memory(i=Rate(1, 8), w=Rate(1, 2), p=FULL)
    assert Memory.of(replace(hw, in_width=8)).i == Rate(1, 4)
    assert Memory.of(replace(hw, dram_bytes_per_s=1e12)) == Memory(FULL, FULL, FULL)
    assert dram.cycles(33, hw) == 3


def test_beats_at_a_rate_are_taken_as_a_source_under_that_pattern_gives_them(rng: np.random.Generator) -> None:
    for _ in range(200):
        rate = draw_rate(rng)
        if rate.num * 1000 < rate.den:
            continue
        source, last, earliest = Source(rate), -1, 0
        for _ in range(10):
            earliest += int(rng.integers(0, 60))
            count = int(rng.integers(1, 9))
            last = rate.take(last, earliest, count)
            assert source.take(earliest, count) == last


def test_the_closed_forms_are_the_engine_followed_beat_by_beat_at_the_memorys_rate(rng: np.random.Generator) -> None:
    seen: Counter[str] = Counter()
    while seen["cases"] < CASES:
        hw = draw_hw(rng)
        drawn, params = draw_task(rng, hw), EngineParams.of(hw)
        limit = int(rng.choice([4, 8, 16, 50, super_tile.token_limit(drawn.job, hw)]))
        try:
            registers = registers_of(rng, hw, drawn, limit)
        except ConfigError:  # a Haar tile beyond the buffer
            continue
        rates = Memory.of(hw)
        found = closed_form.simulate(drawn, hw, limit)
        timing = engine_timing.timing(params, [registers], rates.patterns)
        parts = {part: getattr(found, part) for part in closed_form.PARTS}
        bytes_ = memory.dram_bytes(drawn, hw, found.super_tiles).total
        assert found.total == max(timing.cycles, dram.cycles(bytes_, hw)), (drawn, hw, limit)
        assert found.total - found.wait_dram_bytes == timing.cycles, (drawn, hw, limit)
        assert sum(parts.values()) == found.total and min(parts.values()) >= 0, (drawn, hw, limit)
        assert sum(cycles for _, cycles in found.critical_path) == timing.cycles, (drawn, hw, limit)
        seen.update({"cases": 1, found.bottleneck: 1, **{part: 1 for part, cycles in parts.items() if cycles},
                     **{f"slow {name}": 1 for name, rate in rates.patterns.items() if rate != FULL},
                     "packed": int(drawn.weights.packed), "groups": int(drawn.weights.group is not None),
                     "packed, beats close together": int(drawn.weights.packed and 2 * rates.w.num > rates.w.den
                                                          and not rates.w.full),
                     "rotated": int(registers.hadamard),
                     "2-D": int(drawn.job.grid is not None), "sinks": int(drawn.job.n_sink > 0),
                     "blocks": int(registers.blocks),
                     "gates": int(found.super_tiles > 2), "many passes": int(found.column_tiles > 3)})
    # Every cause, every stream, every kind of layer many times: nothing was equal for want of something to differ.
    wanted = (*closed_form.PARTS, "slow i", "slow w", "slow p", "rotated", "blocks", "2-D", "sinks", "gates",
              "many passes", "packed", "groups", "packed, beats close together")
    assert min(seen[name] for name in wanted) > CASES // 200, seen
    assert {"array", "drain", "activations", "dram_activations", "dram_weights", "dram_bytes", "back"} <= seen.keys()


def test_the_first_token_behind_a_hadamard_unit_is_not_taken_for_a_later_one(rng: np.random.Generator) -> None:
    """It waits for the job's start; one that comes as long behind the beat before it, at the same place of the memory's
    period, does not."""
    hw = HwConfig(rows=3, cols=6, lanes=2, axes=1, max_levels=6, max_k=64, max_tokens=200, act_slots=64,
                  rescale_lanes=1, in_width=9, mul_stages=3, hadamard=16, freq_hz=5e8, dram_bytes_per_s=1.5e9)
    drawn = Task(job=ResolvedJob(tokens=11, grid=None, levels=0, n_hi=11, n_sink=4), k=32, n=11, k_in=31)
    timing = engine_timing.timing(EngineParams.of(hw), [registers_of(rng, hw, drawn, 8)], Memory.of(hw).patterns)
    found = closed_form.simulate(drawn, hw, 8)
    assert found.total - found.wait_dram_bytes == timing.cycles


def test_a_full_size_layer_takes_little_time_at_any_rate() -> None:
    # 16 bytes a cycle, and a rate whose pattern repeats after no layer.
    for rate in (12.8e9, 1.234567891e9):
        hw = replace(NpuConfig.load(NPU32[1]).hw, dram_bytes_per_s=rate)
        closed_form._simulate.cache_clear()
        start = time.process_time()
        for tokens, k, n in ((2048, 4096, 14336), (2048, 14336, 4096), (1, 4096, 128256)):
            job = ResolvedJob(tokens=tokens, grid=None, levels=5, n_hi=64, n_sink=0)
            closed_form.simulate(Task(job=job, k=k, n=n), hw)
        assert time.process_time() - start < 1.5  # 0.1 s on an idle core


def figures_of(folder: Path, shape: str, *options: str) -> dict[str, Any]:
    """Of a layer of that shape under `a4`, as the command writes them; the CSV says the same."""
    document, lines = folder / "report.json", folder / "report.csv"
    assert main(["simulate", "--shape", shape, "--schemes", "a4", "--json", str(document), "--csv", str(lines),
                 *options]) == 0
    report = json.loads(document.read_text(encoding="utf-8"))
    figures = dict(report["layers"][shape]["a4"])
    assert report["totals"]["a4"]["bottleneck"] == figures["bottleneck"]
    assert sum(figures["critical_path"].values()) == figures["cycles"] - figures["cycles_by_part"]["wait_dram_bytes"]
    for row in csv.DictReader(lines.read_text(encoding="utf-8").splitlines()):
        assert row["bottleneck"] == figures["bottleneck"]
        assert {part: int(row[f"cycles_{part}"]) for part in closed_form.PARTS} == figures["cycles_by_part"]
    return figures


def test_tokens_of_fewer_beats_than_their_slots_wait_for_their_own_beats_only(tmp_path: Path) -> None:
    # Three beats of 128 bytes at 16 bytes a cycle in a slot of 18 cycles: a token every 24 cycles, not every 18 * 8.
    found = figures_of(tmp_path, "2048x192x32", *NPU32, "--hw", "dram_bytes_per_s=12.8e9")
    hw = HwConfig(rows=32, cols=32, lanes=64, max_k=14336, max_tokens=16384, act_slots=1056, rescale_lanes=4,
                  freq_hz=800e6, dram_bytes_per_s=12.8e9)
    params = EngineParams.of(hw)
    job = EngineJob.of(ResolvedJob(tokens=2048, grid=None, levels=0, n_hi=0, n_sink=0), k=192, n=32, params=params,
                       limit=2 * 32 * 32)  # of the super-tiles that the transform has
    assert found["cycles"] == engine_timing.timing(params, [job], Memory.of(hw).patterns).cycles
    assert 24 * 2048 < found["fill_cycles"] < 24 * 2048 + 100 and found["bottleneck"] == "dram_activations"


def test_an_array_that_waits_for_its_drain_is_not_streaming_and_the_drain_is_its_bottleneck(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = figures_of(tmp_path, "2048x4096x4096", *NPU32, *(
        word for value in ("rows=128", "cols=128", "rescale_lanes=4", "act_slots=4224") for word in ("--hw", value)))
    parts = found["cycles_by_part"]
    # 2 * 128 * 128 / 4 sums to drain and the skew, against 4096 steps
    assert parts["streaming"] + parts["wait_drain"] == 256 * (8192 + 254) - (8192 + 254 - 4096)
    assert parts["streaming"] == 256 * 4096 and parts["streaming"] / found["cycles"] < 0.5
    assert found["bottleneck"] == "drain"
    assert "2048x4096x4096  drain" in capsys.readouterr().out


def test_weights_that_wait_for_the_dram_are_what_decoding_at_a_low_rate_is_bound_by(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = figures_of(tmp_path, "1x4096x4096", *NPU32, "--hw", "dram_bytes_per_s=1e9")
    parts = found["cycles_by_part"]
    # 32 bytes a step at 1.25 bytes a cycle; a cycle of each is the array's own
    assert parts["wait_dram_weights"] / found["cycles"] > 0.9 and found["bottleneck"] == "dram_weights"
    assert "1x4096x4096  DRAM (weights)" in capsys.readouterr().out
    fast = figures_of(tmp_path, "1x4096x4096", *NPU32, "--hw", "dram_bytes_per_s=1e12")
    dues = [part for part in closed_form.PARTS if "dram" in part]
    assert len(dues) == 3 and not any(fast["cycles_by_part"][part] for part in dues)
    assert fast["cycles_by_part"]["streaming"] == parts["streaming"] and fast["bottleneck"] == "weights"


def test_a_layer_whose_weights_come_a_little_late_is_bound_by_them_though_the_array_mostly_streams() -> None:
    hw = HwConfig(freq_hz=500e6, dram_bytes_per_s=0.75 * 8 * 500e6, max_k=1024)  # three beats of weights in four cycles
    job = ResolvedJob(tokens=16, grid=None, levels=0, n_hi=0, n_sink=0)
    found = closed_form.simulate(Task(job=job, k=1024, n=512), hw)
    assert found.streaming > 2 * found.wait_dram_weights > 0 and found.bottleneck == "dram_weights"


def test_weights_that_are_late_once_are_no_bottleneck() -> None:
    # One pass of 32 array tiles, which begins 13 cycles after its tokens because its own weights are being loaded.
    job = ResolvedJob(tokens=256, grid=(16, 16), levels=0, n_hi=256, n_sink=0)
    found = closed_form.simulate(Task(job=job, k=192, n=8), HwConfig())
    assert found.column_tiles == found.super_tiles == 1 and found.wait_weights > 0 and found.bottleneck == "array"
