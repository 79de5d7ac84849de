"""Feature transforms: orthonormal rotations, SmoothQuant's scales; folding them leaves the product unchanged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from stamp_hw import features
from stamp_hw.config import NpuConfig
from stamp_hw.engine.linear import run_linear
from stamp_hw.errors import LayerError
from stamp_hw.layer import Layer

#: Channels → size of the blocks that R mixes: all where there is a Hadamard matrix.
MIXED = {1: 1, 2: 2, 8: 8, 12: 12, 20: 20, 24: 24, 28: 28, 36: 36, 44: 44, 52: 4, 76: 76, 92: 4, 96: 96, 100: 4,
         184: 8, 192: 192, 320: 320, 512: 512, 576: 576, 768: 768, 1152: 1152, 7: 1, 6: 2, 22: 2}


def layer_of(rng: np.random.Generator, tokens: int = 48, channels: int = 24, **fields: object) -> Layer:
    spread = np.exp(rng.standard_normal(channels))
    return Layer(name="one", x=(rng.standard_normal((tokens, channels)) * spread + 0.5).astype(np.float32),
                 weight=rng.standard_normal((16, channels)).astype(np.float32),
                 bias=rng.standard_normal(16).astype(np.float32), **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("channels", MIXED)
def test_a_rotation_is_orthonormal_and_mixes_the_blocks_that_its_docstring_says(channels: int) -> None:
    rotation = features.hadamard(channels, seed=3)
    assert rotation.shape == (channels, channels) and rotation.dtype == np.float64
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(channels), atol=1e-12)
    block = MIXED[channels]
    assert np.count_nonzero(rotation) == channels * block, "every entry inside a block is ± 1 / sqrt(block)"
    np.testing.assert_allclose(np.abs(rotation[rotation != 0]), block**-0.5, rtol=1e-12)
    if block < channels:
        where = np.argwhere(rotation)
        assert (where[:, 0] // block == where[:, 1] // block).all()


def test_every_order_of_a_paley_matrix_below_256_gives_a_hadamard_matrix() -> None:
    orders = {n for channels in range(1, 256) if (n := features.paley_order(channels))}
    assert {12, 20, 28, 36, 44, 60, 76, 84, 108} <= orders
    for order in orders:
        matrix = features._paley(order)
        assert set(np.unique(matrix)) == {-1.0, 1.0}
        assert (matrix @ matrix.T == order * np.eye(order)).all(), order


def test_the_signs_are_drawn_from_the_seed_and_spread_a_mean_that_all_channels_share() -> None:
    """Behind H, or without signs, the mean of 64 channels would go into one channel whole."""
    shared = np.ones((1, 64))
    rotated = shared @ features.hadamard(64, seed=1)
    assert np.abs(rotated).max() < 4 < 8 == np.linalg.norm(rotated).round(6)
    assert np.array_equal(features.hadamard(64, 1), features.hadamard(64, 1))
    assert not np.array_equal(features.hadamard(64, 1), features.hadamard(64, 2))


def test_folding_leaves_the_float_product_unchanged(rng: np.random.Generator) -> None:
    layer = layer_of(rng, outliers=(0, 3), s_x=1e-3, s_y=1e-2)
    scales = features.smooth_scales(np.abs(layer.x).max(axis=0), np.abs(layer.weight).max(axis=0))
    want = layer.x.astype(np.float64) @ layer.weight.T.astype(np.float64)
    for rotation, smooth in ((features.hadamard(24), None), (None, scales), (features.hadamard(24), scales)):
        folded = features.apply(layer, rotation, smooth)
        assert not np.allclose(folded.x, layer.x) and not np.allclose(folded.weight, layer.weight)
        got = folded.x.astype(np.float64) @ folded.weight.T.astype(np.float64)
        assert np.linalg.norm(got - want) < 1e-6 * np.linalg.norm(want)
        assert (folded.outliers, folded.grid, folded.kind) == ((0, 3), None, layer.kind) and folded.bias is layer.bias


def test_a_folded_layer_has_scales_of_its_own(rng: np.random.Generator) -> None:
    """The static scale was measured on other values: used on the rotated ones, it would saturate or waste codes."""
    layer = layer_of(rng, s_x=1e-4, s_y=1e-3)
    folded = features.apply(layer, features.hadamard(24))
    assert (folded.s_x, folded.s_y) == (None, None)
    result = run_linear(folded, NpuConfig())
    assert result.calibration == "self" and result.x_saturated == 0


def test_smooth_scales_are_the_formula_and_even_out_input_and_weights() -> None:
    x, w = np.array([8.0, 2.0, 0.5]), np.array([0.5, 2.0, 8.0])
    np.testing.assert_allclose(features.smooth_scales(x, w), [4.0, 1.0, 0.25])
    np.testing.assert_allclose(features.smooth_scales(x, w, 1.0), x)
    np.testing.assert_allclose(features.smooth_scales(x, w, 0.0), 1 / w)
    scales = features.smooth_scales(x, w)
    np.testing.assert_allclose(x / scales, w * scales)


def test_channels_of_zeros_have_finite_scales() -> None:
    scales = features.smooth_scales(np.array([0.0, 1.0, 2.0]), np.array([1.0, 0.0, 2.0]))
    assert np.isfinite(scales).all() and (scales > 0).all()
    assert (features.smooth_scales(np.zeros(3), np.zeros(3)) == 1).all()


def test_wrong_input_is_refused_in_one_line(rng: np.random.Generator) -> None:
    layer = layer_of(rng)
    ones = np.ones(24)
    for call, said in (
        (lambda: features.hadamard(0), "at least 1"),
        (lambda: features.smooth_scales(ones, ones[:5]), "do not fit"),
        (lambda: features.smooth_scales(ones, ones, 1.5), "alpha"),
        (lambda: features.smooth_scales(ones, -ones), "magnitude"),
        (lambda: features.smooth_scales(ones * np.inf, ones), "magnitude"),
        (lambda: features.apply(layer, features.hadamard(12)), "does not fit"),
        (lambda: features.apply(layer, 2 * features.hadamard(24)), "not orthonormal"),
        (lambda: features.apply(layer, scales=ones[:5]), "do not fit"),
        (lambda: features.apply(layer, scales=0 * ones), "not positive"),
        (lambda: features.apply(replace(layer, name="two"), scales=-ones), "layer two"),
    ):
        with pytest.raises(LayerError, match=said) as caught:
            call()
        assert "\n" not in str(caught.value)
