"""The block Hadamard transform equals a scalar reference that multiplies by the matrix, and undoes itself in the
weights (docs/contract.md §3.9)."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import strategies as st

from stamp_hw import hadamard
from tests.support import reference_hadamard as reference
from tests.support.golden_cases import cases, reproduce, tensors

__all__ = ["reproduce"]

BLOCKS = st.sampled_from([16, 16, 64])  # those of 256 are below, as many but by the matrix alone


@st.composite
def tokens(draw: st.DrawFn) -> tuple[np.ndarray, int, int, int]:
    """(x, block, shift, width)"""
    block, width = draw(BLOCKS), draw(st.integers(4, 16))
    count, channels = draw(st.integers(1, 2)), draw(st.integers(1, block + 40))
    return draw(tensors(count, channels, 2 ** (width - 1) - 1)), block, draw(
        st.integers(0, block.bit_length() - 1)), width


@cases(1200, case=tokens())
def test_the_transform_equals_the_reference(case: tuple[np.ndarray, int, int, int]) -> None:
    x, block, shift, width = case
    y, saturated = hadamard.transform(x, block, shift, width)
    expected = [reference.transform(row, block, shift, width) for row in x.tolist()]
    assert y.dtype == np.int32 and y.shape == (len(x), hadamard.channels(x.shape[1], block))
    assert y.tolist() == [row for row, _ in expected]
    assert saturated.tolist() == [count for _, count in expected]


@pytest.mark.parametrize("block", [16, 64, 256])
def test_thousands_of_random_and_extreme_tokens_equal_the_reference(block: int, rng: np.random.Generator) -> None:
    matrix = np.array(reference.matrix(block), np.int64)
    x = rng.integers(-32768, 32768, (4000, block)) >> rng.integers(0, 16, (4000, 1))
    extreme = np.where(matrix > 0, 32767, -32768)
    x = np.concatenate([x, extreme, -1 - extreme])
    h = x @ matrix.T
    assert h.max() == block * 32768 - min(np.count_nonzero(matrix > 0, axis=1)) < 2 ** (15 + block.bit_length() - 1)
    assert h.min() >= -(2 ** (15 + block.bit_length() - 1))
    for shift in range(block.bit_length()):
        exact = h if shift == 0 else (h + 2 ** (shift - 1)) >> shift
        y, saturated = hadamard.transform(x, block, shift, 16)
        assert np.array_equal(y, np.clip(exact, -32768, 32767))
        assert np.array_equal(saturated, np.count_nonzero(np.abs(exact + 0.5) > 32768, axis=1))


@pytest.mark.parametrize("block", [16, 64, 256])
def test_the_signs_are_bent_so_that_equal_channels_are_spread_flat(block: int) -> None:
    assert hadamard.signs(block).tolist() == [reference.sign(place) for place in range(block)]
    h = hadamard.sums(np.full((1, block), 5), block)[0]
    assert set(np.abs(h).tolist()) == {5 * int(block**0.5)}
    matrix = np.array(reference.matrix(block))
    assert np.array_equal(matrix @ matrix.T, block * np.eye(block, dtype=int))


def test_the_last_block_is_filled_with_zeros_and_all_of_its_outputs_live() -> None:
    x = np.array([[3] * 17])
    assert np.array_equal(hadamard.sums(x, 16), hadamard.sums(np.array([[3] * 17 + [0] * 15]), 16))
    assert hadamard.sums(x, 16)[0, 16:].tolist() == [3] * 16


def test_a_half_is_rounded_up_and_no_shift_rounds_nothing() -> None:
    assert hadamard.halve(np.array([-3, -2, -1, 0, 1, 2, 3]), 1).tolist() == [-1, -1, 0, 0, 1, 1, 2]
    assert hadamard.halve(np.array([-6, -2, 1, 2, 5, 6]), 2).tolist() == [-1, 0, 0, 1, 1, 2]
    assert hadamard.halve(np.array([-5, 7]), 0).tolist() == [-5, 7]


@pytest.mark.parametrize("block", [16, 64, 256])
def test_folded_weights_of_few_bits_are_exact(block: int, rng: np.random.Generator) -> None:
    """Of integers every sum is exact in float32, so that W'·h is W·x as integers are."""
    channels = block + 5
    weight = rng.integers(-127, 128, (7, channels)).astype(np.float32)
    folded = hadamard.fold(weight, block)
    assert folded.dtype == np.float32 and folded.shape == (7, 2 * block)
    assert (folded * block).tolist() == [[float(Fraction(value) * block) for value in reference.fold(row, block)]
                                         for row in weight.astype(int).tolist()]
    x = rng.integers(-32768, 32768, (9, channels))
    product = (folded * block).astype(np.int64) @ hadamard.sums(x, block).T
    assert np.array_equal(product, block * (weight.astype(np.int64) @ x.T))
    assert np.array_equal(hadamard.unfold(folded, block, channels), weight)
    assert np.array_equal(hadamard.unfold(hadamard.sums(x, block), block, channels), block * x)


def test_folded_weights_are_within_a_rounding_of_the_exact_ones(rng: np.random.Generator) -> None:
    weight = (rng.standard_normal((6, 70)) * np.exp(3 * rng.standard_normal((6, 70)))).astype(np.float32)
    for row, found in zip(weight.tolist(), hadamard.fold(weight, 64).tolist(), strict=True):
        exact = reference.fold([Fraction(value) for value in row], 64)
        size = max(abs(float(value)) for value in row)
        for want, got in zip(exact, found, strict=True):
            assert abs(Fraction(got) - want) <= abs(want) * Fraction(2) ** -24 + Fraction(size) * Fraction(2) ** -45


def test_the_least_shift_is_the_first_at_which_nothing_saturates(rng: np.random.Generator) -> None:
    for _ in range(300):
        block, width = int(rng.choice([16, 64, 256])), int(rng.integers(8, 17))
        top = 1 << width - 1
        size = int(rng.integers(1, top + 1))
        x = np.clip(rng.standard_normal((3, block)) * size, -top, top - 1).astype(np.int64)
        x[0] = x[0, 0] if rng.integers(2) else x[0]
        shift = hadamard.least_shift(x, block, width)
        saturates = [hadamard.transform(x, block, r, width)[1].sum() > 0 for r in range(block.bit_length())]
        assert shift == (saturates.index(False) if False in saturates else block.bit_length() - 1)
    worst = np.where(hadamard.signs(16) > 0, 32767, -32768)[None]
    assert hadamard.least_shift(worst, 16, 16) == 4 and hadamard.transform(worst, 16, 4, 16)[1].sum() <= 1
    assert [hadamard.usual_shift(block) for block in (16, 64, 256)] == [3, 4, 5]
