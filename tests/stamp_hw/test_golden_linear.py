"""Whole layers through `engine.run_linear` equal the scalar reference at every stage (docs/contract.md §3).

Sequences and grids of any shape, sinks, groups, both scale modes, static and self-made scales; the two signal-to-noise
figures are computed again from their definitions.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume
from hypothesis import strategies as st

from stamp_hw.config import NpuConfig
from stamp_hw.engine.linear import LinearResult, run_linear
from stamp_hw.engine.wire_layer import WireLayer
from stamp_hw.errors import LayerError
from tests.support import reference
from tests.support.compared import LAYERS
from tests.support.golden_cases import GRIDS, LENGTHS, MODES, SEED, Grid, cases, npu, reproduce, tensors

__all__ = ["reproduce"]


def resolved(layer: WireLayer, config: NpuConfig) -> tuple[int, int]:
    """(levels, n_hi) of the reference."""
    tokens, job = len(layer.x) - layer.n_sink, config.job
    n_hi = reference.default_n_hi(tokens) if job.n_hi == "auto" else job.n_hi
    levels = reference.default_levels(tokens, n_hi, layer.grid is not None) if job.levels == "auto" else job.levels
    return levels, n_hi


def expect(layer: WireLayer, config: NpuConfig, s_x: float, s_y: float, levels: int, n_hi: int) -> reference.Linear:
    job = config.job
    return reference.run_linear(
        layer.x.tolist(), layer.weight.tolist(), None if layer.bias is None else layer.bias.tolist(), s_x=s_x, s_y=s_y,
        levels=levels, n_hi=n_hi, weight_bits=job.weight_bits, grid=layer.grid, n_sink=layer.n_sink,
        symmetric=job.symmetric, group=job.group)


def check(layer: WireLayer, config: NpuConfig) -> tuple[LinearResult, reference.Linear]:
    """Run both models, compare every stage, and return both results."""
    got = run_linear(layer, config)
    assert (got.job.levels, got.job.n_hi) == resolved(layer, config)
    expected = expect(layer, config, got.s_x, got.s_y, *resolved(layer, config))
    assert got.coefficients.tolist() == expected.coefficients
    assert got.quantized.sink_shift.tolist() == expected.exponents
    assert got.quantized.codes.tolist() == expected.codes
    assert got.quantized.lo.tolist() == [[group.lo for group in row] for row in expected.groups]
    assert got.quantized.span.tolist() == [[group.span for group in row] for row in expected.groups]
    assert got.weights.codes.tolist() == expected.weights
    acc = got.acc[:, None] if got.acc.ndim == 2 else got.acc
    assert acc.tolist() == expected.acc
    assert got.z.tolist() == expected.z
    assert got.y.dtype == np.int16 and got.y.tolist() == expected.y
    return got, expected


@st.composite
def layers(draw: st.DrawFn) -> tuple[WireLayer, NpuConfig]:
    grid: Grid = draw(st.none() | GRIDS)
    tokens = draw(LENGTHS) if grid is None else grid[0] * grid[1]
    sinks = draw(st.integers(0, 3)) if grid is None else 0
    channels, outputs = draw(st.integers(1, 12)), draw(st.integers(1, 5))
    s_x = draw(st.sampled_from([2.0**-9, 1.0, 0.0123, 3.7e-5]))
    x = draw(tensors(tokens + sinks, channels)).astype(np.float64) * s_x * draw(st.sampled_from([1.0, 0.37, 1.2]))
    for token in range(sinks):
        x[token] *= draw(st.sampled_from([1.0, 2.0, 5.3, 1000.0, 2.0**15, 2.0**17]))
    weight = draw(tensors(outputs, channels, 512)) * draw(st.sampled_from([2.0**-8, 0.011]))
    static = draw(st.booleans())
    typical = max(1.0, float(np.abs(x).max() * np.abs(weight).max()) / s_x) * s_x * channels / 32767
    s_y = typical * draw(st.sampled_from([1.0, 0.1, 0.003, 7.0]))
    bias = draw(tensors(1, outputs))[0] * s_y * draw(st.sampled_from([0.7, 1.0, 40.3])) if draw(st.booleans()) else None
    group = draw(st.none() | st.integers(1, channels + 1))
    config = npu(draw(MODES), group, levels=draw(st.just("auto") | st.integers(0, 8 if grid is None else 4)),
                 n_hi=draw(st.just("auto") | st.integers(0, tokens)), weight_bits=draw(st.sampled_from([4, 8])))
    layer = WireLayer("drawn", x.astype(np.float32), weight.astype(np.float32), None if bias is None else
                  bias.astype(np.float32), grid, n_sink=sinks, s_x=s_x if static else None, s_y=s_y if static else None)
    return layer, config


@cases(700, LAYERS, case=layers())
def test_every_stage_of_a_layer_equals_the_reference(case: tuple[WireLayer, NpuConfig]) -> None:
    layer, config = case
    try:
        got, expected = check(layer, config)
    except LayerError as error:
        # Outputs that cancel, or a weight of zeros (s_w = 1) beside a tiny s_y: refused, and rightly so.
        assert "rescale factor out of reach" in str(error)
        if layer.s_x and layer.s_y:
            with pytest.raises(ValueError, match="shift"):
                expect(layer, config, layer.s_x, layer.s_y, *resolved(layer, config))
        assume(False)
    body = layer.x[layer.n_sink :].astype(np.float64)
    if got.calibration == "self":
        assert got.s_x == (np.abs(body).max() / 32767 or 1.0)
    else:
        assert (got.s_x, got.s_y) == (layer.s_x, layer.s_y)
    codes = [reference.quantize_input(row, got.s_x * 2.0**e)
             for row, e in zip(layer.x.tolist(), expected.exponents, strict=True)]
    exact = [round(value / (got.s_x * 2.0**e)) for row, e in zip(layer.x.tolist(), expected.exponents, strict=True)
             for value in row]
    flat = [code for row in codes for code in row]
    assert got.x_saturated == sum(a != b for a, b in zip(exact, flat, strict=True))


def floats(rng: np.random.Generator, tokens: int, channels: int, outputs: int, **fields: Any) -> WireLayer:
    """Correlated tokens with a spread of channel scales."""
    x = np.cumsum(rng.normal(size=(tokens, channels)), axis=0) * np.exp(rng.normal(size=channels))
    return WireLayer("floats", x.astype(np.float32), rng.normal(size=(outputs, channels)).astype(np.float32),
                 rng.normal(size=outputs).astype(np.float32), **fields)


@pytest.mark.parametrize("mode", ["minmax", "symmetric"])
@pytest.mark.parametrize(("tokens", "grid", "sinks", "group"), [
    (128, None, 0, None), (97, None, 1, None), (133, None, 4, 5), (121, (11, 11), 0, None), (60, (4, 15), 0, 7),
    (1, None, 0, None), (65, None, 64, None),
])
def test_a_real_valued_layer_equals_the_reference_and_its_figures_their_definitions(
        mode: str, tokens: int, grid: Grid, sinks: int, group: int | None) -> None:
    rng = np.random.default_rng(SEED)
    layer = floats(rng, tokens, 17, 6, grid=grid, n_sink=sinks)
    got, expected = check(layer, npu(mode, group))
    x, weight = layer.x.tolist(), [
        [code * s_w for code in row] for row, s_w in zip(expected.weights, got.weights.scale.tolist(), strict=True)]
    assert layer.bias is not None
    float_layer = [[math.fsum(a * b for a, b in zip(row, w, strict=True)) + bias
                    for w, bias in zip(weight, layer.bias.tolist(), strict=True)] for row in x]
    assert got.s_y == pytest.approx(max(abs(v) for row in float_layer for v in row) / 32767, rel=1e-5)
    assert got.output_sqnr_db == pytest.approx(
        sqnr(float_layer, [[v * got.s_y for v in row] for row in expected.y]), abs=0.02)
    assert got.sqnr_db == pytest.approx(sqnr(x, reconstruction(expected, got)), abs=0.02)


def sqnr(signal: list[list[float]], other: list[list[float]]) -> float:
    """10·log10 of the power of the signal over that of the difference, in dB."""
    power = math.fsum(v * v for row in signal for v in row)
    noise = math.fsum((v - w) ** 2 for row, near in zip(signal, other, strict=True) for v, w in
                      zip(row, near, strict=True))
    return 10 * math.log10(power / noise)


def reconstruction(expected: reference.Linear, got: LinearResult) -> list[list[float]]:
    """The quantized input, dequantized and transformed back; integers of 2^-40 steps make the floors vanish."""
    fine = [[round((part.span * a if part.zero is not None else part.lo * part.qmax + part.span * q)
                   * 2**40 / part.qmax) << e for part in parts for q, a in zip(part.q, part.codes, strict=True)]
            for parts, e in zip(expected.groups, expected.exponents, strict=True)]
    sinks = got.job.n_sink
    fine = fine[:sinks] + reference.inverse(fine[sinks:], got.job.levels, got.job.grid)
    return [[v * 2.0**-40 * got.s_x for v in row] for row in fine]


@pytest.mark.parametrize("mode", ["minmax", "symmetric"])
@pytest.mark.parametrize("grid", [None, (6, 6)])
@pytest.mark.parametrize("levels", [0, 1, 4])
def test_alternating_int16_extremes_pass_every_stage(mode: str, grid: Grid, levels: int) -> None:
    # Checkerboards and alternations reach the largest d (and HH) and so the widest span; s_y makes z and y saturate.
    i = np.arange(36)
    sign = (-1.0) ** (i if grid is None else i // 6 + i % 6)
    x = np.where(sign[:, None] > 0, [32767, -32768, -1, 0], [-32768, 32767, -1, 0])
    weight = np.array([[127, -127, 127, 127], [127, 127, 1, -1], [0, 0, 0, 0], [-127, 127, 0, 0]])
    layer = WireLayer("extremes", x.astype(np.float32), weight.astype(np.float32), None, grid, s_x=1.0, s_y=300.0)
    for weight_bits, s_y in ((8, 300.0), (4, 300.0), (8, 0.004), (8, 1e5)):
        got, _ = check(replace(layer, s_y=s_y), npu(mode, levels=levels, n_hi=9, weight_bits=weight_bits))
        if s_y == 0.004:
            assert got.z_saturated and got.y_saturated, "the case reaches saturation"
    if levels:
        assert int(np.abs(got.coefficients).max()) == (65535 if grid is None else 131070)


@pytest.mark.parametrize("grid", [None, (1, 1), (2, 1)])
def test_a_layer_of_zeros_gives_its_bias(grid: Grid) -> None:
    tokens = 5 if grid is None else grid[0] * grid[1]
    layer = WireLayer("zeros", np.zeros((tokens, 3), np.float32), np.zeros((2, 3), np.float32),
                  np.array([1, -2], np.float32), grid)
    got, _ = check(layer, npu("minmax"))
    assert (got.s_x, got.weights.scale.tolist()) == (1.0, [1.0, 1.0])
    assert got.y.tolist() == [[16384, -32767]] * tokens and got.sqnr_db == math.inf


@pytest.mark.parametrize(("absmax", "exponent"), [
    (32767.0, 0), (32768.0, 1), (65534.0, 1), (65535.0, 2), (32767.0 * 2**15, 15), (32767.0 * 2**15 + 2**15, 15),
    (1e12, 15), (0.0, 0),
])
def test_a_sink_takes_the_least_shift_that_holds_it_and_saturates_at_15(absmax: float, exponent: int) -> None:
    x = np.array([[absmax, -absmax / 3, 5], [-absmax, 1, absmax / 7], [32767, -9, 0], [3, 4, -32767]], np.float32)
    layer = WireLayer("sinks", x, np.array([[1, 2, 3], [-3, 1, 0]], np.float32), None, n_sink=2, s_x=1.0, s_y=3.0)
    got, _ = check(layer, npu("minmax", weight_bits=8))
    assert got.quantized.sink_shift.tolist()[:2] == [exponent, exponent]
    assert (got.x_saturated > 0) == (absmax > 32767.5 * 2**15)


@pytest.mark.parametrize("s_x", [0.1, 1 / 3, 0.7, 1e-3, 2.3e-7])
@pytest.mark.parametrize("power", [0, 1, 2, 3, 7, 15])
def test_a_sink_as_large_as_the_body_times_a_power_of_two_takes_that_power(s_x: float, power: int) -> None:
    body = np.float32(s_x * 1000)
    x = np.array([[np.ldexp(body, power), 0], [body, 1e-9]], np.float32)
    layer = WireLayer("sink", x, np.ones((1, 2), np.float32), None, n_sink=1)
    got, _ = check(layer, npu("minmax"))
    assert got.quantized.sink_shift.tolist() == [power, 0]


@pytest.mark.parametrize(("axes", "channels"), [(2, 16384), (1, 32768)])
def test_t_of_the_largest_layer_is_exact(axes: int, channels: int) -> None:
    # T of the worst coefficients at the largest K of a grid and of a sequence: 46 bits, 62 with mant.
    x = np.repeat(np.array([32767, -32768, -32768, 32767], np.float32)[:, None], channels, axis=1)
    grid = (2, 2) if axes == 2 else None
    weight = np.stack([np.full(channels, 127), np.full(channels, -127)]).astype(np.float32)
    for s_y in (127.0 * 32768 * channels / 32767, 3e6):
        layer = WireLayer("wide", x, weight, None, grid, s_x=1.0, s_y=s_y)
        for mode in ("minmax", "symmetric"):
            config = npu(mode, weight_bits=8, levels=1, n_hi=4).with_hw(max_k=channels, axes=axes)
            _, expected = check(layer, config)
            if mode == "minmax":
                assert max(abs(t) for row in expected.t for t in row).bit_length() == 46


@pytest.mark.parametrize(("x_power", "w_power"), [(60, 0), (80, -90), (-70, 0), (-60, -10), (0, -70), (-10, 60)])
def test_powers_of_two_on_the_floats_change_no_integer_and_no_figure(x_power: int, w_power: int) -> None:
    layer = floats(np.random.default_rng(SEED), 40, 9, 3)
    layer = replace(layer, bias=None)
    plain = run_linear(layer, npu("minmax"))
    moved = run_linear(replace(layer, x=np.ldexp(layer.x, x_power), weight=np.ldexp(layer.weight, w_power)),
                       npu("minmax"))
    assert (moved.y == plain.y).all() and (moved.z == plain.z).all()
    assert (moved.sqnr_db, moved.output_sqnr_db) == pytest.approx((plain.sqnr_db, plain.output_sqnr_db), abs=1e-3)


def test_an_output_beyond_float32_is_refused() -> None:
    layer = WireLayer("huge", np.full((3, 2), 1e30, np.float32), np.full((1, 2), 1e30, np.float32))
    with pytest.raises(LayerError, match="layer huge: the output is beyond float32"):
        run_linear(layer, npu("minmax"))


def test_a_bias_beyond_int32_is_refused() -> None:
    layer = WireLayer("bias", np.ones((2, 2), np.float32), np.ones((1, 2), np.float32), np.array([3e9], np.float32),
                  s_x=1.0, s_y=1.0)
    with pytest.raises(LayerError, match="INT32"):
        run_linear(layer, npu("minmax"))
    with pytest.raises(ValueError, match="INT32"):
        reference.integer_bias(3e9, 1.0)


@pytest.mark.parametrize("width", [8, 11, 15, 16])
def test_narrow_inputs_take_static_scales_as_well_as_their_own(width: int) -> None:
    layer = floats(np.random.default_rng(SEED), 64, 17, 6)
    config = npu("minmax", n_hi=64, weight_bits=8).with_hw(in_width=width)
    own = run_linear(layer, config)
    s_x, s_y = float(np.abs(layer.x).max()) / 32767, own.s_y
    static = run_linear(replace(layer, s_x=s_x, s_y=s_y), config)
    assert static.calibration == "static" and static.s_x == s_x * 2 ** (16 - width)
    assert static.s_x == pytest.approx(own.s_x, rel=0.01)
    assert static.sqnr_db == pytest.approx(own.sqnr_db, abs=3.0)  # without the power of two it is off by tens
    assert static.output_sqnr_db == pytest.approx(own.output_sqnr_db, abs=3.0)
    assert static.x_saturated <= layer.x.size // 20  # only what lies within half a step of absmax


@pytest.mark.parametrize("gain", [1e-12, 1.0, 1e6])
@pytest.mark.parametrize("pruned", [0.0, 1e-45, -1e-31])
def test_a_pruned_channel_takes_the_largest_scale_and_changes_no_other(gain: float, pruned: float) -> None:
    layer = floats(np.random.default_rng(SEED), 40, 17, 4)
    layer = replace(layer, bias=None, weight=np.float32(gain) * layer.weight)
    config = npu("minmax")
    whole = run_linear(layer, config)
    weight = np.insert(layer.weight, 2, np.float32(pruned), axis=0)
    got, _ = check(replace(layer, weight=weight), config)
    assert got.weights.scale[2] == whole.weights.scale.max() and not got.weights.codes[2].any()
    assert not got.y[:, 2].any() and (np.delete(got.y, 2, axis=1) == whole.y).all()


def test_a_weight_of_zeros_takes_scale_one() -> None:
    layer = replace(floats(np.random.default_rng(SEED), 40, 17, 4), bias=None)
    got, _ = check(replace(layer, weight=np.zeros_like(layer.weight), s_x=1.0, s_y=1.0), npu("minmax"))
    assert got.weights.scale.tolist() == [1.0] * 4 and not got.y.any()


EXTREME = [0.0, 1e-45, 1e-38, 2.0**-100, 1e-20, 1.0, 1e20, 2.0**100]


@pytest.mark.parametrize("x", EXTREME)
@pytest.mark.parametrize("weight", EXTREME)
def test_extreme_values_run_or_are_refused_in_one_line(x: float, weight: float) -> None:
    """Every warning is an error in these tests."""
    for scale in (None, 2.0**-100, 1.0, 2.0**100):
        for mode, bias in (("minmax", 1.0), ("symmetric", -x)):
            for sign in (1, -1):
                columns = np.array([[x, sign * x, 0.5 * x]] * 4, np.float32)
                layer = WireLayer("extreme", columns, np.full((2, 3), sign * weight, np.float32),
                              np.full(2, bias, np.float32), n_sink=1, s_x=scale, s_y=scale)
                try:
                    assert run_linear(layer, npu(mode)).y.dtype == np.int16
                except LayerError as error:
                    assert "\n" not in str(error)


@pytest.mark.parametrize("power", [-100, 100])
def test_a_signal_far_from_its_static_step_still_gives_its_figure(power: int) -> None:
    """All codes are 0 when the step is too large, all of them saturate when it is too small."""
    x = np.full((4, 3), 2.0**40 if power < 0 else 2.0**-40, np.float32)
    found = run_linear(WireLayer("far", x, np.ones((1, 3), np.float32), s_x=2.0**power, s_y=2.0**power), npu("minmax"))
    assert found.sqnr_db == pytest.approx(0.0, abs=1e-6)


def test_a_scale_of_its_own_that_is_out_of_range_is_refused() -> None:
    with pytest.raises(LayerError, match="layer tiny: scale of the input is out of range"):
        run_linear(WireLayer("tiny", np.full((2, 2), 1e-45, np.float32), np.ones((1, 2), np.float32)), npu("minmax"))
