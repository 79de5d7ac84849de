"""Whole layers behind a Hadamard unit equal the scalar reference at every stage; which shift a job takes; what is
refused (docs/contract.md §3.9)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stamp_hw import hadamard
from stamp_hw.config import HwConfig, NpuConfig
from stamp_hw.engine.job import EngineJob
from stamp_hw.engine.linear import quantize_input, run_linear
from stamp_hw.engine.params import EngineParams
from stamp_hw.engine.streams import streams
from stamp_hw.engine.wire_layer import WireLayer, arrange
from stamp_hw.errors import ConfigError
from stamp_hw.formats.trace import Trace
from stamp_hw.layer import Layer
from tests.support import reference
from tests.support.compared import LAYERS, compared

HW = HwConfig(hadamard=16)
ROOT = Path(__file__).resolve().parents[2]


def drawn(rng: np.random.Generator, *, sinks: int = 0, grid: tuple[int, int] | None = None) -> WireLayer:
    """Weights of few bits, so that what they are folded into is exact in float32."""
    tokens = grid[0] * grid[1] if grid else int(rng.integers(1, 12))
    k, n = int(rng.integers(1, 40)), int(rng.integers(1, 5))
    x = rng.standard_normal((tokens + sinks, k)) * np.exp(rng.standard_normal(k)) + rng.choice([0, 0, 3])
    x[:sinks] *= 2.0 ** rng.integers(0, 18, (sinks, 1))
    weight = rng.integers(-255, 256, (n, k)) * 2.0**-9
    bias = rng.standard_normal(n) if rng.integers(2) else None
    return WireLayer("drawn", x.astype(np.float32), weight.astype(np.float32),
                     None if bias is None else bias.astype(np.float32), grid=grid, n_sink=sinks)


@pytest.mark.parametrize("axes", [1, 2])
def test_every_stage_of_a_layer_equals_the_reference(axes: int, rng: np.random.Generator) -> None:
    saturated = sunk = 0
    for _ in range(50):
        grid = (int(rng.integers(1, 4)), int(rng.integers(1, 5))) if axes == 2 else None
        layer = drawn(rng, sinks=0 if grid else int(rng.integers(0, 4)), grid=grid)
        shift = int(rng.choice([0, 1, 2, 3, 4]))
        tokens = len(layer.x) - layer.n_sink
        config = NpuConfig(hw=replace(HW, axes=axes, lanes=int(rng.choice([1, 4, 32])))).with_job(
            levels=int(rng.integers(0, 3)), n_hi=int(rng.integers(0, tokens + 1)), calibration="self", hadamard=shift,
            scale_mode=str(rng.choice(["minmax", "symmetric"])), weight_bits=int(rng.choice([4, 8])))
        got = run_linear(layer, config)
        expected = reference.run_linear(
            layer.x.tolist(), layer.weight.tolist(), None if layer.bias is None else layer.bias.tolist(), s_x=got.s_x,
            s_y=got.s_y, levels=got.job.levels, n_hi=got.job.n_hi, weight_bits=config.job.weight_bits, grid=layer.grid,
            n_sink=layer.n_sink, symmetric=config.job.symmetric, hadamard=(16, shift))
        assert got.rotation == (16, shift) and got.coefficients.shape[1] == hadamard.channels(layer.x.shape[1], 16)
        assert got.quantized.sink_shift.tolist() == expected.exponents
        assert got.coefficients.tolist() == expected.coefficients
        assert got.quantized.codes.tolist() == expected.codes
        assert got.weights.codes.tolist() == expected.weights
        assert got.acc[:, None].tolist() == expected.acc
        assert got.z.tolist() == expected.z and got.y.tolist() == expected.y
        compared(LAYERS)
        saturated += got.h_saturated > 0
        sunk += any(expected.exponents)
    assert saturated > 3 and (sunk > 5 or axes == 2)


def test_auto_takes_the_smallest_shift_at_which_the_sequence_does_not_saturate(rng: np.random.Generator) -> None:
    config = NpuConfig(hw=HW).with_job(calibration="self")
    seen = set()
    for _ in range(40):
        layer = drawn(rng, sinks=int(rng.integers(0, 3)))
        found = run_linear(layer, config)
        assert found.rotation is not None
        body = [quantize_input(layer.x, found.s_x, layer.n_sink, 16)[0][layer.n_sink :]][0]
        counts = [int(hadamard.transform(body, 16, shift, 16)[1].sum()) for shift in range(5)]
        assert found.rotation.shift == (counts.index(0) if 0 in counts else 4)
        seen.add(found.rotation.shift)
    assert len(seen) > 1
    static = replace(drawn(rng), s_x=0.01, s_y=0.5)
    assert run_linear(static, NpuConfig(hw=HW)).rotation == (16, 3), "of static scales: log2(B) / 2 + 1"
    assert run_linear(static, NpuConfig(hw=HW).with_job(hadamard=1)).rotation == (16, 1)


def test_static_scales_of_the_shipped_traces_leave_the_usual_shift_nearly_no_value_to_clip() -> None:
    """Counted in codes, which are the same everywhere."""
    counts = dict.fromkeys((16, 64, 256), 0)
    for path in sorted((ROOT / "models" / "traces").glob("*.safetensors")):
        with Trace.open(path) as trace:
            for layer in trace:
                wire = arrange(layer, NpuConfig())
                assert layer.s_x is not None
                codes, _, _ = quantize_input(wire.x[wire.n_sink :], layer.s_x, 0, 16)
                for block in counts:
                    shift = hadamard.usual_shift(block)
                    counts[block] += int(hadamard.transform(codes, block, shift, 16)[1].sum())
    assert counts == {16: 0, 64: 2, 256: 1}


def test_a_job_that_is_off_is_that_of_hardware_without_the_unit(rng: np.random.Generator) -> None:
    for _ in range(10):
        layer, job = drawn(rng, sinks=1), {"levels": 1, "calibration": "self", "n_hi": 2}
        plain, off = (NpuConfig(hw=replace(HW, hadamard=block)).with_job(**job, hadamard=how)
                      for block, how in ((None, "auto"), (16, "off")))
        one, other = run_linear(layer, plain), run_linear(layer, off)
        assert other.rotation is None and (one.y == other.y).all() and one.output_sqnr_db == other.output_sqnr_db
        sent, same = streams(layer, plain, one), streams(layer, off, other)
        for name in ("i", "w", "p", "o"):
            assert all(np.array_equal(sent[name][field], same[name][field]) for field in sent[name])
        more = {"hadamard": 0, "hadamard_shift": 0, "in_beats": sent["job"]["beats"][0],
                "in_tail": sent["job"]["tail"][0]}
        assert {name: value[0] for name, value in same["job"].items()} == {
            **{name: value[0] for name, value in sent["job"].items()}, **more}


def test_the_transform_takes_a_loud_channel_off_the_quantizer(rng: np.random.Generator) -> None:
    """A channel 50 times the others: at one scale a token the 4-bit codes of all others are lost without the unit."""
    x = rng.standard_normal((64, 64))
    x[:, 5] *= 50
    layer = Layer("loud", x.astype(np.float32), rng.standard_normal((32, 64)).astype(np.float32))
    job = {"levels": 0, "n_hi": 0, "calibration": "self", "weight_bits": 8}
    without, behind = (run_linear(layer, NpuConfig(hw=replace(HwConfig(), hadamard=block)).with_job(**job))
                       for block in (None, 64))
    quiet = np.delete(np.arange(64), 5)
    errors = []
    for found in (without, behind):
        weight = found.weights.real()
        weight = weight if found.rotation is None else hadamard.unfold(weight, 64, 64)
        errors.append(np.square(found.y * found.s_y - layer.x @ weight.T).mean())
    assert np.abs(layer.x[:, quiet]).max() < 6 and errors[1] < errors[0] / 3
    eight = run_linear(layer, NpuConfig(hw=replace(HwConfig(), hadamard=64)).with_job(**{**job, "n_hi": "1/1"}))
    assert eight.output_sqnr_db > 35 and eight.sqnr_db > 35, "the way back is the way there"


def test_what_the_job_says_beside_the_hardware_is_refused_in_one_line() -> None:
    layer = Layer("one", np.ones((4, 60), np.float32), np.ones((2, 60), np.float32))
    for hw, job, message in (
            (HwConfig(), {"hadamard": 3}, r"job\.hadamard.*auto or off: hw\.hadamard is null"),
            (HW, {"hadamard": 5}, r"job\.hadamard.*at most log2 of hw\.hadamard = 16"),
            (replace(HW, max_k=60), {}, r"job\.k.*whole blocks of hw\.hadamard = 16 within hw\.max_k = 60")):
        with pytest.raises(ConfigError, match=message):
            run_linear(layer, NpuConfig(hw=hw).with_job(**job))
    for value in ("on", 9, -1, 1.5, True, None):
        with pytest.raises(ConfigError, match=r"job\.hadamard.*auto, off or an integer in 0…8"):
            NpuConfig().with_job(hadamard=value)
    assert NpuConfig.from_dict({"job": {"hadamard": False}}).job.hadamard == "off", "YAML's off"
    resolved = NpuConfig(hw=HW).resolve(4, k=60)
    for hw, message in ((HwConfig(), "no Hadamard unit"), (HW, "impossible value")):
        with pytest.raises(ConfigError, match=message):
            EngineJob.of(resolved, k=60, n=2, params=EngineParams.of(hw), shift=5)


def test_the_registers_are_those_of_both_sides_of_the_unit() -> None:
    params = EngineParams.of(replace(HW, lanes=4))
    resolved = NpuConfig(hw=params.hw).resolve(4, k=37)
    on, off = (EngineJob.of(resolved, k=37, n=2, params=params, shift=shift) for shift in (2, None))
    assert (on.beats, on.tail, on.in_beats, on.in_tail, on.hadamard, on.hadamard_shift) == (12, 4, 10, 1, True, 2)
    assert (off.beats, off.tail, off.in_beats, off.in_tail, off.hadamard) == (10, 1, 10, 1, False)
    assert on.channels(params)[0] == 48 and on.in_channels(params) == off.channels(params)[0] == 37
    plain = EngineParams.of(replace(params.hw, hadamard=None))
    assert set(on.registers(params)) - set(on.registers(plain)) == {"hadamard", "hadamard_shift", "in_beats", "in_tail"}
