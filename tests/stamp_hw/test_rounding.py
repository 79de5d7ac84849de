"""Codes of weights and of inputs are what the contract says (§3.1, §3.5), to the last tie.

Weights: the nearest integer to the exact quotient, ties to even. Inputs: that of the quotient as a float64 holds it.
Both against `fractions.Fraction` and Python's own rounding, on values made to be ties or next to one.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from stamp_hw.engine.linear import quantize_input
from stamp_hw.errors import LayerError
from stamp_hw.layer import Layer
from stamp_hw.weights import quantize_weights
from tests.support import reference
from tests.support.golden_cases import SEED, reproduce

__all__ = ["reproduce"]


def next_to_ties(rng: np.random.Generator, absmax: np.ndarray, top: int, count: int) -> np.ndarray:
    """float32[N, count + 1]: a channel's absmax, and weights whose quotient is a tie or a float32 away from one."""
    ties = (rng.integers(-top, top, (len(absmax), count)) + 0.5) * (absmax[:, None].astype(np.float64) / top)
    near = ties.astype(np.float32)
    for _ in range(2):
        near = np.where(rng.integers(0, 2, near.shape), near, np.nextafter(near, np.float32(rng.choice([-9e29, 9e29]))))
    return np.concatenate([absmax[:, None], near], axis=1).astype(np.float32)


@pytest.mark.parametrize("bits", [4, 8])
def test_weight_codes_are_nearest_to_the_exact_quotient_with_ties_to_even(bits: int) -> None:
    rng, top = np.random.default_rng([SEED, bits]), 2 ** (bits - 1) - 1
    whole = top * 2.0 ** rng.integers(-90, 90, 40)  # every half step is a float32: exact ties
    absmax = np.concatenate([whole, np.ldexp(rng.uniform(1, 2, 160), rng.integers(-90, 90, 160))]).astype(np.float32)
    weight = next_to_ties(rng, absmax, top, 60)
    got = quantize_weights(weight, bits)
    exact = ties = 0
    for row, codes, scale in zip(weight.tolist(), got.codes.tolist(), got.scale.tolist(), strict=True):
        expected, step = reference.quantize_weight(row, bits)
        assert (codes, scale) == (expected, step)
        quotients = [Fraction(value) * top / Fraction(row[0]) for value in row]
        ties += sum(quotient.denominator == 2 for quotient in quotients)
        exact += len(row)
    assert exact > 12_000 and ties > 500, "hard cases, many of them ties"


def test_half_of_the_largest_weight_is_a_tie() -> None:
    assert quantize_weights(np.array([[1, 0.5, -0.5, 3.5 / 7]], np.float32), 4).codes.tolist() == [[7, 4, -4, 4]]
    assert quantize_weights(np.array([[1, 0.5, -0.5]], np.float32), 8).codes.tolist() == [[127, 64, -64]]
    for top, bits in ((7, 4), (127, 8)):
        row = np.array([[top, *(k + 0.5 for k in range(-top, top))]], np.float32)
        for gain in (1.0, 3.0, 2.0**-60):
            codes = quantize_weights(row * np.float32(gain), bits).codes[0, 1:].tolist()
            assert codes == [round(k + 0.5) for k in range(-top, top)], "Python rounds ties to even"


def test_wide_and_narrow_layers_take_the_same_codes() -> None:
    """Blocks of rows do not show: a layer's codes are those of its channels alone."""
    rng = np.random.default_rng(SEED)
    for shape in ((3, 100_000), (700, 300), (5000, 1)):
        weight = rng.standard_normal(shape).astype(np.float32)
        whole = quantize_weights(weight, 4)
        rows = rng.choice(shape[0], min(3, shape[0]), replace=False)
        for row in rows:
            alone = quantize_weights(weight[row : row + 1], 4)
            assert np.array_equal(alone.codes[0], whole.codes[row]) and alone.scale[0] == whole.scale[row]


def hard_inputs(rng: np.random.Generator, s_x: float) -> np.ndarray:
    """float32[200, 8]: quotients at ties, next to them, beyond the limits."""
    codes = rng.integers(-32770, 32770, (200, 8)) + rng.choice([0.0, 0.5, 0.5, 0.5], (200, 8))
    near = (codes * s_x).astype(np.float32)
    return np.where(rng.integers(0, 3, near.shape) > 0, near, np.nextafter(near, np.float32(9e29)))


def scales(rng: np.random.Generator) -> list[float]:
    """Steps of two kinds: those of which an absmax is 32767, and any."""
    absmax = np.ldexp(rng.uniform(1, 2, 6), rng.integers(-20, 20, 6)).astype(np.float32)
    return [*(float(value) / 32767 for value in absmax), *np.ldexp(rng.uniform(1, 2, 4), -13).tolist(), 1.0, 2.0**-9]


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_input_codes_are_the_rounded_float64_quotient(backend: str) -> None:
    rng = np.random.default_rng(SEED)
    seen = ties = 0
    for s_x in scales(rng):
        x = hard_inputs(rng, s_x)
        if backend == "numpy":
            codes, _, count = quantize_input(x, s_x, 0, 16)
        else:
            torch = pytest.importorskip("torch")
            from stamp_hw.torch import engine

            found, _, count = engine.quantize_input(torch.from_numpy(x), s_x, 0, 16)
            codes = found.numpy()
        saturated = int(count.sum())
        # The quotient of a float64 is the one nearest to the exact quotient: Fraction's own division is exact.
        quotients = [float(Fraction(value) / Fraction(s_x)) for value in x.ravel().tolist()]
        wanted = [round(value) for value in quotients]
        assert codes.ravel().tolist() == [max(-32768, min(32767, code)) for code in wanted]
        assert saturated == sum(not -32768 <= code <= 32767 for code in wanted)
        seen += len(wanted)
        ties += sum(math.modf(value)[0] in (0.5, -0.5) for value in quotients)
    assert seen > 15_000 and ties > 1000, "hard cases, many of them ties"


@pytest.mark.parametrize("field", ["x", "weight", "bias"])
def test_a_layer_takes_float32_alone(field: str) -> None:
    """Values of another type would have other quotients."""
    tensors = {"x": np.ones((2, 3), np.float32), "weight": np.ones((1, 3), np.float32), "bias": np.ones(1, np.float32)}
    with pytest.raises(LayerError, match=f"layer one: {field} is not float32; got float64"):
        Layer("one", **(tensors | {field: tensors[field].astype(np.float64)}))
