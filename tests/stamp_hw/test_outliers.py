"""Outlier tokens (docs/contract.md §3.1): which tokens are, where they and what fills their places go, whole layers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import strategies as st

from stamp_hw import outliers
from stamp_hw.config import NpuConfig
from stamp_hw.engine import streams as engine_streams
from stamp_hw.engine.linear import run_linear
from stamp_hw.engine.wire_layer import arrange
from stamp_hw.layer import Layer
from stamp_hw.positions import most_outliers
from tests.support import reference
from tests.support.compared import LAYERS
from tests.support.golden_cases import MODES, cases, npu, reproduce

__all__ = ["reproduce"]


@st.composite
def sequences(draw: st.DrawFn, longest: int = 40) -> tuple[int, tuple[int, ...]]:
    """A length, and any tokens of it: none, one, most, all."""
    tokens = draw(st.integers(1, longest))
    chosen = draw(st.sets(st.integers(0, tokens - 1)) | st.just(set(range(tokens))))
    return tokens, tuple(sorted(chosen))


@cases(3000, case=sequences())
def test_outliers_come_first_and_their_places_are_filled(case: tuple[int, tuple[int, ...]]) -> None:
    tokens, chosen = case
    order, rows = outliers.places(tokens, chosen)
    assert order.tolist() == [*chosen, *(reference.filler(place, tokens, chosen) for place in range(tokens))]
    assert sorted(rows) == sorted(set(rows)), "each token has a result of its own"
    assert [order[row] for row in rows] == list(range(tokens))
    assert all(row < len(chosen) if token in chosen else row == len(chosen) + token for token, row in enumerate(rows))


@cases(400, LAYERS, case=sequences(24), mode=MODES, levels=st.integers(0, 5), seed=st.integers(0, 2**31))
def test_a_layer_with_outliers_anywhere_equals_the_reference(case: tuple[int, tuple[int, ...]], mode: str, levels: int,
                                                             seed: int) -> None:
    tokens, chosen = case
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(tokens, 5)) * 0.3
    x[list(chosen)] *= rng.choice([0.5, 3, 40, 1e4, 1e6], (len(chosen), 1))
    bias = rng.normal(size=4).astype(np.float32)
    layer = Layer("drawn", x.astype(np.float32), rng.normal(size=(4, 5)).astype(np.float32), bias, outliers=chosen,
                  s_x=2.0**-15, s_y=2.0**-11)
    config = npu(mode, levels=levels, n_hi=int(rng.integers(0, tokens + 1)))
    got = run_linear(layer, config)
    on_the_wire = [*chosen, *(reference.filler(place, tokens, chosen) for place in range(tokens))]
    expected = reference.run_linear(
        [layer.x.tolist()[token] for token in on_the_wire], layer.weight.tolist(), bias.tolist(), s_x=2.0**-15,
        s_y=2.0**-11, levels=levels, n_hi=got.job.n_hi, weight_bits=4, n_sink=len(chosen),
        symmetric=config.job.symmetric)
    assert got.sent.tolist() == expected.y and got.coefficients.tolist() == expected.coefficients
    own = [chosen.index(token) if token in chosen else len(chosen) + token for token in range(tokens)]
    assert got.y.tolist() == [expected.y[row] for row in own]
    exact = [round(value / (2.0**-15 * 2.0 ** expected.exponents[row])) for token, row in enumerate(own)
             for value in layer.x.tolist()[token]]
    assert got.x_saturated == sum(not -32768 <= code <= 32767 for code in exact), "filled places are not counted"
    assert got.job.average_bits == (8 * (got.job.n_hi + len(chosen)) + 4 * (tokens - got.job.n_hi)) / tokens


def test_filled_places_neither_take_the_range_nor_count_in_a_figure() -> None:
    rng = np.random.default_rng(5)
    x = np.cumsum(rng.normal(size=(64, 16)), axis=0).astype(np.float32)
    x[[3, 40]] *= 300
    layer = Layer("one", x, rng.normal(size=(8, 16)).astype(np.float32), None, outliers=(3, 40))
    got, plain = run_linear(layer, NpuConfig()), run_linear(replace(layer, outliers=()), NpuConfig())
    ordinary = np.delete(x, [3, 40], axis=0)
    assert got.s_x == float(np.abs(ordinary).max()) / 32767
    # The same figures over the ordinary tokens alone: what a filled place costs or gains is in none of them.
    wire = arrange(layer, NpuConfig())
    assert np.array_equal(wire.x[wire.rows], x) and len(wire.x) == 66
    assert np.array_equal(wire.x[[2 + 3, 2 + 40]], x[[2, 41]]), "the partners of the first level"
    error = got.y * got.s_y - x @ got.weights.real().T
    power = np.square(x @ got.weights.real().T).sum()
    assert got.output_sqnr_db == pytest.approx(10 * np.log10(power / np.square(error).sum()), abs=0.01)
    quiet = [np.square(np.delete(one.y * one.s_y - x @ one.weights.real().T, [3, 40], axis=0)).sum()
             for one in (got, plain)]
    assert quiet[0] < quiet[1] / 100, "with the outliers in the transform the other tokens lose their range"


def test_scales_that_were_taken_without_an_outlier_do_not_hold_with_it() -> None:
    rng = np.random.default_rng(7)
    x = rng.normal(size=(64, 8)).astype(np.float32)
    x[9] *= 500
    layer = Layer("one", x, np.eye(8, dtype=np.float32), outliers=(9,), s_x=2.0**-13, s_y=2.0**-5)
    assert run_linear(layer, NpuConfig()).calibration == "static"
    off = run_linear(layer, NpuConfig().with_job(outliers="off"))
    assert off.calibration == "self" and off.x_saturated == 0
    assert run_linear(layer, NpuConfig().with_job(outliers=[3, 9])).calibration == "static"


def test_the_streams_send_them_first_and_all_results_come_back() -> None:
    rng = np.random.default_rng(6)
    layer = Layer("one", rng.normal(size=(40, 20)).astype(np.float32), rng.normal(size=(9, 20)).astype(np.float32),
                  outliers=(7, 38))
    config = NpuConfig().with_job(levels=2)
    result = run_linear(layer, config)
    beats = engine_streams.streams(layer, config, result)
    params_lanes = config.hw.lanes
    assert beats["job"]["n_sink"].tolist() == [2] and beats["job"]["width"].tolist() == [40]
    assert len(beats["i"]["x"]) == (2 + 40) * -(-20 // params_lanes)
    first = beats["i"]["x"].reshape(42, -1)[:2, :20]
    codes = np.rint(layer.x[[7, 38]] / result.s_x / 2.0 ** result.quantized.sink_shift[:2, None])
    assert np.array_equal(first, codes)
    assert np.array_equal(result.y[[7, 38]], result.sent[:2])
    assert np.array_equal(np.delete(result.y, [7, 38], axis=0), np.delete(result.sent[2:], [7, 38], axis=0))


@pytest.mark.parametrize(("tokens", "loud", "found"), [
    (64, {}, (0,)), (64, {9: 7.9}, (0,)), (64, {9: 8.2}, (0, 9)), (64, {0: 50.0, 9: 20.0}, (0, 9)),
    (96, {5: 30.0, 9: 20.0, 50: 40.0}, (0, 5, 50)), (64, {5: 30.0, 9: 30.0}, (0, 5)), (32, {5: 30.0}, (0,)),
    (1, {0: 9.0}, ())])
def test_a_look_takes_the_first_and_the_largest_of_those_beyond_eight_times_the_median(
        tokens: int, loud: dict[int, float], found: tuple[int, ...]) -> None:
    absmax = np.ones(tokens)
    for token, size in loud.items():
        absmax[token] = size
    assert outliers.find(absmax, outliers.threshold(absmax)) == found
    assert len(found) <= most_outliers(tokens)


def test_silent_tokens_do_not_make_the_others_loud() -> None:
    absmax = np.concatenate([np.zeros(50), np.ones(14)])
    assert outliers.loud(absmax, outliers.threshold(absmax)) == ()
    assert outliers.loud(np.zeros(8), outliers.threshold(np.zeros(8))) == ()


def test_a_single_token_is_one_where_a_threshold_says_so() -> None:
    assert outliers.find(np.array([9.0]), 8.0) == (0,) and outliers.find(np.array([9.0]), 10.0) == ()
    layer = Layer("one", np.full((1, 4), 9.0, np.float32), np.eye(4, dtype=np.float32), outliers=(0,), s_x=2.0**-14,
                  s_y=2.0**-10)
    got = run_linear(layer, NpuConfig())
    assert got.x_saturated == 0 and np.allclose(got.y * got.s_y, 9.0, rtol=0.01), "its own scale holds it"
