"""The linear engine: whole layers, back-to-back jobs, errors and resets; values, the cycle of every beat, events."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rtl_gen.engine import Engine
from stamp_hw import engine
from stamp_hw.config import HwConfig, JobConfig, NpuConfig
from stamp_hw.engine_params import EngineParams
from stamp_hw.engine_streams import Beats, streams
from stamp_hw.errors import ConfigError
from stamp_hw.layer import Layer
from tb.batch.bench import BatchBench, batch_test
from tb.harness import Expect, Feed
from tb.patterns import ALWAYS, throttles

# Small buffers, so that small jobs have many super-tiles; sizes that are no powers of two; every width once.
PARAMETER_SETS = {name: EngineParams.of(hw) for name, hw in {
    "2x2": HwConfig(rows=2, cols=2, lanes=3, axes=1, max_levels=5, max_k=50, max_tokens=90, act_slots=33,
                    rescale_lanes=1, mul_stages=1, recip_frac=6, z_frac=2),
    "1x3": HwConfig(rows=1, cols=3, lanes=2, axes=2, max_levels=3, max_k=24, max_tokens=64, act_slots=40,
                    rescale_lanes=3, in_width=9, acc_width=24, z_frac=0),
    "3x6": HwConfig(rows=3, cols=6, lanes=1, axes=2, max_levels=4, max_k=31, max_tokens=70, act_slots=50,
                    rescale_lanes=2, mul_stages=3),
    "4x4": HwConfig(rows=4, cols=4, lanes=4, axes=2, max_levels=6, max_k=64, max_tokens=160, act_slots=40,
                    rescale_lanes=2),
    "6x5": HwConfig(rows=6, cols=5, lanes=5, axes=1, max_levels=8, max_k=66, max_tokens=300, act_slots=140,
                    rescale_lanes=5, in_width=12, acc_width=29, mul_stages=4),
    "8x8": HwConfig(rows=8, cols=8, lanes=16, axes=2, max_levels=6, max_k=192, max_tokens=512, act_slots=144),
    "16x16": HwConfig(rows=16, cols=16, lanes=32, axes=2, max_levels=8, max_k=512, max_tokens=512, act_slots=320),
}.items()}
build = Engine


@dataclass(frozen=True, slots=True)
class Case:
    """One layer, its configuration, what the engine must say."""

    layer: Layer
    config: NpuConfig
    beats: dict[str, Beats]

    def __str__(self) -> str:
        job, grid = self.config.job, self.layer.grid
        shape = "x".join(map(str, grid)) if grid else str(len(self.layer.x))
        return (f"{shape} tokens ({job.n_sink} sinks) * {self.layer.x.shape[1]} -> {self.layer.weight.shape[0]}, "
                f"levels {job.levels}, n_hi {job.n_hi}, {job.scale_mode}")


def pick(rng: np.random.Generator, *options: int) -> int:
    """One of the options."""
    return int(options[int(rng.integers(len(options)))])


def draw(rng: np.random.Generator, params: EngineParams) -> Case:
    """A random layer that the engine can take; draws again where its buffers are too small for it."""
    while True:
        case = _draw(rng, params)
        if case is not None:
            return case


def _draw(rng: np.random.Generator, params: EngineParams) -> Case | None:
    two_d = params.axes == 2 and bool(rng.integers(2))
    limit = params.max_tokens
    if two_d:
        height = int(rng.integers(1, max(2, int(limit**0.5) + 1)))
        width = int(rng.integers(1, limit // height + 1))
        grid: tuple[int, int] | None = (height, width)
        tokens, sinks = height * width, 0
    else:
        tokens, grid = pick(rng, 1, 2, int(rng.integers(1, limit + 1)), limit), None
        sinks = pick(rng, 0, 0, 1, int(rng.integers(0, 5)))
    k = pick(rng, 1, params.lanes, int(rng.integers(1, params.max_k + 1)), params.max_k)
    n = int(rng.integers(1, 3 * params.cols + 2))
    levels = int(rng.integers(0, params.max_levels // (2 if two_d else 1) + 1))
    n_hi = pick(rng, 0, tokens, int(rng.integers(0, tokens + 1)), -(-tokens // 8))
    job = JobConfig(levels=levels, n_hi=n_hi, n_sink=sinks, scale_mode=str(rng.choice(["minmax", "symmetric"])),
                    weight_bits=pick(rng, 4, 8), calibration="self")
    x = rng.standard_normal((tokens + sinks, k)).astype(np.float32) * np.exp(rng.standard_normal(k)).astype(np.float32)
    x[:sinks] *= 100
    layer = Layer(name="drawn", kind="drawn", x=x, grid=grid, n_sink=sinks,
                  weight=rng.standard_normal((n, k)).astype(np.float32),
                  bias=rng.standard_normal(n).astype(np.float32) if rng.integers(2) else None)
    config = NpuConfig(hw=params.hw, job=job)
    try:
        return Case(layer, config, streams(layer, config, engine.run_linear(layer, config)))
    except ConfigError:
        return None


def joined(cases: list[Case], stream: str) -> Beats:
    """The beats of several jobs one after the other."""
    return {name: np.concatenate([case.beats[stream][name] for case in cases])
            for name in cases[0].beats[stream]}


@batch_test(quota=1.0)
async def layers_equal_the_golden_model(bench: BatchBench) -> None:
    for job in bench.jobs():
        cases = [draw(bench.rng, bench.params) for _ in range(int(bench.rng.integers(1, 4)))]
        stalls = {name: throttles(bench.rng)[0] if job % 2 else ALWAYS for name in ("job", "i", "w", "p", "o")}
        await bench.run({name: Feed(joined(cases, name), stalls[name]) for name in ("job", "i", "w", "p")},
                        {"o": Expect(joined(cases, "o"), stalls["o"])},
                        job=f"{job}: {'; '.join(map(str, cases))}; {' '.join(map(str, stalls.values()))}")
        assert int(bench.dut.status.value) == 1, f"job {job}: status {int(bench.dut.status.value):#x}"
