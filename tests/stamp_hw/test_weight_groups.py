"""4-bit weights in groups: which pairs are legal, what they expand to, the nearest ones, and those that come ready."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stamp_hw.config import ConfigError, NpuConfig
from stamp_hw.engine.linear import run_linear
from stamp_hw.engine.wire_layer import WireLayer
from stamp_hw.errors import LayerError
from stamp_hw.ready_weights import ready, ready_groups
from stamp_hw.weight_fit import fit, nearest
from stamp_hw.weight_groups import MOST_U, SIZES, Groups, expand, legal
from stamp_hw.weights import Weights, quantize_weights
from tests.support import reference


def all_pairs() -> list[tuple[int, int]]:
    return [(u, z) for u in range(1, 17) for z in range(16)]


def drawn(rng: np.random.Generator, outputs: int, channels: int, size: int) -> tuple[np.ndarray, Groups]:
    """Any nibbles and any legal pairs."""
    z = rng.integers(0, 16, (outputs, -(-channels // size))).astype(np.uint8)
    u = rng.integers(1, np.array(MOST_U)[z] + 1).astype(np.uint8)
    return rng.integers(0, 16, (outputs, channels)).astype(np.uint8), Groups(size, u, z)


def test_177_of_256_pairs_keep_every_weight_within_int8() -> None:
    within = {(u, z) for u, z in all_pairs() if all(-128 <= u * (q - z) <= 127 for q in range(16))}
    found = {(u, z) for u, z in all_pairs() if legal(np.array(u), np.array(z))}
    assert found == within and len(within) == 177
    assert [z for u, z in within if u == 16] == [8]


def test_every_pair_expands_as_the_reference_says_saturated_where_it_is_illegal() -> None:
    for u, z in all_pairs():
        q = np.arange(16, dtype=np.uint8)[None]
        got = expand(q, Groups(32, np.array([[u]], np.uint8), np.array([[z]], np.uint8)))
        assert got.dtype == np.int8 and got.tolist() == [[reference.expand_weight(n, u, z) for n in range(16)]]


def test_nibbles_and_pairs_come_back_from_the_codes(rng: np.random.Generator) -> None:
    for size in SIZES:
        q, groups = drawn(rng, 5, int(rng.integers(1, 300)), size)
        codes = expand(q, groups)
        assert (groups.nibbles(codes) == q).all()
        expected = [[reference.expand_weight(int(n), int(groups.u[row, k // size]), int(groups.z[row, k // size]))
                     for k, n in enumerate(line)] for row, line in enumerate(q)]
        assert codes.tolist() == expected


def test_the_search_of_a_pair_comes_close_to_the_best_of_all_legal_ones(rng: np.random.Generator) -> None:
    values = rng.standard_normal((60, 32)) * rng.uniform(1, 50, (60, 1)) + rng.uniform(-20, 20, (60, 1))
    values *= np.minimum(127 / np.abs(values).max(axis=1, keepdims=True), 1)  # as many steps as a weight has at most
    u, z, error = fit(values)
    assert legal(u, z).all() and np.allclose(error, np.square(values - nearest(values, u, z)).sum(axis=1), rtol=1e-12)
    best = np.full(60, np.inf)
    for u_, z_ in all_pairs():
        if legal(np.array(u_), np.array(z_)):
            q = np.clip(np.rint(values / u_) + z_, 0, 15)
            best = np.minimum(best, np.square(values - u_ * (q - z_)).sum(axis=1))
    assert (error >= best * (1 - 1e-12)).all()
    # Of 400 draws the 0.9 quantile was 1.09 at most, and one in 40 had a group over 1.5. Of any group the error is not
    # over half a step of a grid that covers it.
    assert np.median(error / best) < 1.02 and np.quantile(error / best, 0.8) < 1.1
    covers = np.ceil((np.maximum(values.max(axis=1), 0) - np.minimum(values.min(axis=1), 0)) / 15)
    assert (error <= 32 * (covers / 2) ** 2).all()


def test_the_nearest_weights_of_a_pair_are_the_nearest_of_its_sixteen(rng: np.random.Generator) -> None:
    values = rng.uniform(-140, 140, (40, 32))
    _, groups = drawn(rng, 40, 32, 32)
    got = nearest(values, groups.u[:, 0], groups.z[:, 0])
    for line, weights, u, z in zip(values, got, groups.u[:, 0].tolist(), groups.z[:, 0].tolist(), strict=True):
        grid = [u * (q - z) for q in range(16)]
        assert all(abs(value - weight) == min(abs(value - point) for point in grid)
                   for value, weight in zip(line, weights, strict=True))


@pytest.mark.parametrize("size", SIZES)
def test_weights_in_groups_are_on_their_grid_and_nearer_than_without(rng: np.random.Generator, size: int) -> None:
    weight = (rng.standard_normal((12, 200)) * np.exp(rng.standard_normal((1, 200)))).astype(np.float32)
    weight[3] = 0
    got, channel = quantize_weights(weight, 4, size), quantize_weights(weight, 4)
    assert got.groups is not None and legal(got.groups.u, got.groups.z).all()
    assert got.groups.u.shape == (12, -(-200 // size))
    assert (expand(got.groups.nibbles(got.codes), got.groups) == got.codes).all()
    assert not got.codes[3].any() and got.scale.min() > 0
    again = quantize_weights(weight.copy(), 4, size)
    assert (again.codes == got.codes).all() and (again.scale == got.scale).all()
    errors = [np.square(weight - one.real()).sum() for one in (got, channel)]
    assert errors[0] < errors[1]


@pytest.mark.parametrize("size", SIZES)
def test_a_layer_of_ready_weights_equals_the_reference(rng: np.random.Generator, size: int) -> None:
    q, groups = drawn(rng, 4, 70, size)
    scale = rng.uniform(0.001, 0.01, 4)
    weights = ready_groups(q, groups.u, groups.z, size, scale)
    x = rng.standard_normal((11, 70)).astype(np.float32)
    layer = WireLayer("ready", x, weights.real(), n_sink=0, quantized=weights)
    config = NpuConfig().with_job(weight_group=size, levels=2, n_hi=3, calibration="self")
    got = run_linear(layer, config)
    rows = [[reference.expand_weight(int(n), int(groups.u[row, k // size]), int(groups.z[row, k // size]))
             for k, n in enumerate(line)] for row, line in enumerate(q)]
    expected = reference.run_linear(
        x.tolist(), layer.weight.tolist(), None, s_x=got.s_x, s_y=got.s_y, levels=2, n_hi=3, weight_bits=4,
        ready=list(zip(rows, scale.tolist(), strict=True)))
    assert got.weights.codes.tolist() == expected.weights
    assert got.z.tolist() == expected.z and got.y.tolist() == expected.y


def test_ready_weights_run_on_the_job_that_they_are_for_alone(rng: np.random.Generator) -> None:
    q, groups = drawn(rng, 4, 40, 32)
    weights = ready_groups(q, groups.u, groups.z, 32, np.full(4, 0.01))
    layer = WireLayer("ready", rng.standard_normal((3, 40)).astype(np.float32), weights.real(), quantized=weights)
    for job in ({"weight_group": 64}, {"weight_group": None}, {"weight_bits": 8}):
        with pytest.raises(LayerError, match=r"layer ready: groups of the weights and of the job differ; got 32"):
            run_linear(layer, NpuConfig().with_job(**job))
    wide = ready(np.full((4, 40), 8, np.int8), np.full(4, 0.01))
    with pytest.raises(LayerError, match="codes do not fit weight_bits; got 8…8; expected -8…7"):
        run_linear(replace(layer, quantized=wide), NpuConfig().with_job(weight_bits=4))
    with pytest.raises(LayerError, match="quantized does not fit weight"):
        replace(layer, quantized=ready(np.zeros((4, 39), np.int8), np.ones(4)))
    with pytest.raises(LayerError, match="quantized does not fit weight"):
        replace(layer, quantized=weights.codes)


WHOLE: dict[str, Any] = {
    "q": np.zeros((3, 40), np.uint8), "u": np.ones((3, 2), np.uint8), "z": np.zeros((3, 2), np.uint8), "size": 32,
    "scale": np.ones(3)}


def changed(array: np.ndarray, value: int, *place: int) -> np.ndarray:
    other = array.copy()
    other[place] = value
    return other


@pytest.mark.parametrize(("change", "message"), [
    ({"size": 48}, "no size of a group; got 48; expected 32, 64 or 128"),
    ({"q": np.zeros((3, 40), np.int8)}, "q are no nibbles; got int8[3, 40]; expected uint8[N, K]"),
    ({"q": np.zeros((0, 40), np.uint8)}, "q are no nibbles"), ({"q": [[1]]}, "q are no nibbles; got list"),
    ({"q": changed(WHOLE["q"], 16, 1, 2)}, "q are no nibbles; got 0…16; expected 0…15"),
    ({"u": np.ones((3, 1), np.uint8)}, "u does not fit q; got uint8[3, 1]; expected uint8[3, 2], a value a"),
    ({"u": changed(WHOLE["u"], 0, 0, 0)}, "u out of range; got 0…1; expected 1…16"),
    ({"u": changed(WHOLE["u"], 17, 0, 0)}, "u out of range; got 1…17"),
    ({"z": changed(WHOLE["z"], 16, 2, 1)}, "z out of range; got 0…16; expected 0…15"),
    ({"u": changed(WHOLE["u"], 9, 2, 1)},
     "layer 7, channel 2, group 1: u·(q − z) leaves INT8; got u = 9, z = 0; expected −128…127 for q in 0…15"),
    ({"scale": np.ones(2)}, "scale does not fit the channels; got [2]; expected [3]"),
    ({"scale": np.array([1, 0, 1])}, "scale out of range; got 0…1; expected positive numbers"),
    ({"scale": np.array([1, np.nan, 1])}, "scale out of range"),
])
def test_ready_weights_that_do_not_fit_are_refused_in_one_line(change: dict[str, Any], message: str) -> None:
    assert isinstance(ready_groups(**WHOLE), Weights)
    with pytest.raises(LayerError) as caught:
        ready_groups(**WHOLE | change, where="layer 7")
    line = str(caught.value)
    assert "layer 7" in line and message in line and "\n" not in line


def test_codes_without_groups_that_are_no_int8_are_refused() -> None:
    for codes in (np.zeros((3, 4), np.int16), np.zeros(4, np.int8), [[1]]):
        with pytest.raises(LayerError, match="codes are no weights"):
            ready(codes, np.ones(3))  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["job.weight_group: impossible value; got 48; expected 32, 64, 128 or null"])
def test_a_job_takes_groups_of_three_sizes_and_of_4_bit_weights_only(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        NpuConfig().with_job(weight_group=48)
    assert str(caught.value) == text or "32, 64, 128 or null" in str(caught.value)
    for value in (32.0, True, "32", 0):
        with pytest.raises(ConfigError, match=r"job\.weight_group"):
            NpuConfig().with_job(weight_group=value)
    with pytest.raises(ConfigError, match="weights of 8 bits have no groups"):
        NpuConfig().with_job(weight_group=32, weight_bits=8)
    kinds = {"job": {"weight_group": 64}, "kinds": {"lm_head": {"weight_bits": 8, "weight_group": None}}}
    assert NpuConfig.from_dict(kinds).for_kind("lm_head").job.weight_group is None
    with pytest.raises(ConfigError, match=r"kinds\.lm_head\.weight_group.*have no groups"):
        NpuConfig.from_dict({"job": {"weight_group": 64}, "kinds": {"lm_head": {"weight_bits": 8}}})
    with pytest.raises(ConfigError, match=r"hw\.packed_weights.*true or false"):
        NpuConfig().with_hw(packed_weights=1)
