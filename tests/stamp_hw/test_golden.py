"""The golden model equals an independent scalar reference, value by value, block by block (docs/contract.md §3).

`tests/support/reference.py` shares no code with `stamp_hw`. Structure (shapes, levels, modes) and values come from
hypothesis. Every comparison of integers is `==`. Lifting and quantizer are here, products and rescale in
`test_golden_product.py`, whole layers in `test_golden_linear.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import pywt
from hypothesis import strategies as st

from stamp_hw import config, haar, scale
from tests.support import reference
from tests.support.golden_cases import MODES, SEED, Grid, cases, npu, reproduce, tensors, token_tensors

__all__ = ["reproduce"]

# --- lifting ---------------------------------------------------------------------------------------------------------


@cases(1200, case=token_tensors(), levels=st.integers(0, 8))
def test_forward_lifting_equals_the_reference(case: tuple[np.ndarray, Grid], levels: int) -> None:
    x, grid = case
    got = haar.forward(x.astype(np.int32), levels, grid)
    assert got.dtype == np.int32 and got.shape == x.shape
    assert got.tolist() == reference.forward(x.tolist(), levels, grid)


@cases(1200, case=token_tensors(bound=2**23), levels=st.integers(0, 8))
def test_inverse_lifting_of_24_bit_values_equals_the_reference(case: tuple[np.ndarray, Grid], levels: int) -> None:
    z, grid = case
    got = haar.inverse(z.astype(np.int32), levels, grid)
    expected = reference.inverse(z.tolist(), levels, grid)
    assert got.dtype == np.int32 and got.tolist() == expected
    assert all(-(2**27) <= value < 2**27 for row in expected for value in row), "28 bits hold the inverse"


@cases(400, case=token_tensors(), levels=st.integers(0, 8))
def test_inverse_undoes_forward_and_coefficients_fit_17_or_18_bits(case: tuple[np.ndarray, Grid], levels: int) -> None:
    x, grid = case
    c = haar.forward(x.astype(np.int32), levels, grid)
    assert haar.inverse(c, levels, grid).tolist() == x.tolist()
    assert reference.inverse(c.tolist(), levels, grid) == x.tolist()
    limit = 2**16 if grid is None else 2**17
    assert -limit <= c.min() and c.max() < limit


@pytest.mark.parametrize(("pattern", "grid", "width"), [
    ([32767, -32768], None, 17), ([-32768, 32767], None, 17), ([32767, -32768, -32768, 32767], (2, 2), 18),
    ([-32768, 32767, 32767, -32768], (2, 2), 18),
])
@pytest.mark.parametrize("levels", [1, 3, 8])
def test_alternating_extremes_reach_the_last_bit(pattern: list[int], grid: Grid, width: int,
                                                    levels: int) -> None:
    x = np.array(pattern, dtype=np.int32)[:, None]
    c = haar.forward(x, levels, grid)
    assert c.tolist() == reference.forward(x.tolist(), levels, grid)
    assert max(int(v).bit_length() + 1 for v in np.where(c < 0, ~c, c).ravel()) == width
    assert haar.inverse(c, levels, grid).tolist() == x.tolist()


@pytest.mark.parametrize(("a", "b", "s", "d"), [
    (0, 0, 0, 0), (0, 1, 0, 1), (1, 0, 0, -1), (0, -1, -1, -1), (-1, 0, -1, 1), (-1, -1, -1, 0), (-3, 0, -2, 3),
    (3, 0, 1, -3), (32767, -32768, -1, -65535), (-32768, 32767, -1, 65535), (-32768, -32768, -32768, 0),
])
def test_a_pair_lifts_to_the_floor_of_its_mean_and_its_difference(a: int, b: int, s: int, d: int) -> None:
    assert haar.forward(np.array([[a], [b]], dtype=np.int32), 1).tolist() == [[s], [d]]
    assert reference.forward([[a], [b]], 1) == [[s], [d]]


def test_bands_stand_in_the_order_of_the_contract() -> None:
    # A 3 × 5 grid with one token marked at a time: the coefficients that it moves say which band stands where.
    sequence = haar.forward(np.arange(7, dtype=np.int32)[:, None] ** 2, 2).ravel().tolist()
    s1, d1 = [0, 6, 20, 36], [1, 5, 9]
    assert sequence == [(0 + 6) // 2, (20 + 36) // 2, 6, 16, *d1] and s1[2] == (16 + 25) // 2
    image = np.array([[0, 10, 0], [100, 110, 0], [0, 0, 0]], dtype=np.int32).reshape(-1, 1)
    ll, hl, lh, hh = [55, 0, 0, 0], [10, 0], [100, 0], [0]
    assert haar.forward(image, 1, (3, 3)).ravel().tolist() == ll + hl + lh + hh


def test_a_grid_of_one_row_or_column_is_a_sequence() -> None:
    x = np.random.default_rng(SEED).integers(-32768, 32768, (37, 3), dtype=np.int32)
    for levels in range(9):
        expected = reference.forward(x.tolist(), levels)
        assert haar.forward(x, levels, (1, 37)).tolist() == expected == haar.forward(x, levels, (37, 1)).tolist()


@pytest.mark.parametrize("levels", [1, 2, 3, 5])
def test_lifting_is_the_haar_wavelet_within_its_floors_1d(levels: int) -> None:
    """A floor lowers s by at most 1/2 and means keep it: s_l is low by 0…l/2, d_l off by at most (l − 1)/2."""
    x = np.random.default_rng(SEED).integers(-32768, 32768, (96, 3), dtype=np.int32)
    bands = pywt.wavedec(x.astype(np.float64), "haar", mode="zero", level=levels, axis=0)
    c, at = haar.forward(x, levels).astype(np.float64), len(bands[0])
    error = c[:at] - bands[0] * 2 ** (-levels / 2)
    assert error.min() >= -levels / 2 - 1e-6 and error.max() <= 1e-6
    for level, band in zip(range(levels, 0, -1), bands[1:], strict=True):
        exact = -band * 2 ** (0.5 - (level - 1) / 2)  # ours is b − a, orthonormal (a − b)/√2
        assert np.abs(c[at : at + len(band)] - exact).max() <= (level - 1) / 2 + 1e-6
        at += len(band)


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_lifting_is_the_haar_wavelet_within_its_floors_2d(levels: int) -> None:
    """LL_l is low by 0…l; the bands of level l inherit l − 1 and add one half for the s of HL and LH."""
    x = np.random.default_rng(SEED).integers(-32768, 32768, (24 * 16, 2), dtype=np.int32)
    bands = pywt.wavedec2(x.reshape(24, 16, 2).astype(np.float64), "haar", mode="zero", level=levels, axes=(0, 1))
    c = haar.forward(x, levels, (24, 16)).astype(np.float64)
    at = bands[0][..., 0].size
    error = c[:at] - bands[0].reshape(-1, 2) * 2.0**-levels
    assert error.min() >= -levels - 1e-6 and error.max() <= 1e-6
    for level, (along_height, along_width, both) in zip(range(levels, 0, -1), bands[1:], strict=True):
        for band, factor, bound in ((along_width, -1, level - 0.5), (along_height, -1, level - 0.5),
                                    (both, 2, 2 * (level - 1))):
            exact = factor * band.reshape(-1, 2) * 2.0 ** (1 - level)
            assert np.abs(c[at : at + len(exact)] - exact).max() <= bound + 1e-6
            at += len(exact)
    assert at == len(c)


# --- precision map and quantizer -------------------------------------------------------------------------------------

@cases(400, tokens=st.integers(1, 65536), n_hi=st.none() | st.integers(0, 3000), two_d=st.booleans())
def test_defaults_of_n_hi_and_levels_are_those_of_the_contract(tokens: int, n_hi: int | None, two_d: bool) -> None:
    large = config.NpuConfig().with_hw(max_tokens=65536).with_job(n_hi="auto" if n_hi is None else n_hi)
    got = large.resolve(tokens, (1, tokens) if two_d else None)
    expected = reference.default_n_hi(tokens) if n_hi is None else min(n_hi, tokens)
    assert (got.n_hi, got.levels) == (expected, reference.default_levels(tokens, expected, two_d))
    bits = scale.precision_map(min(tokens, 50), min(expected, 50), 3)
    assert bits.tolist() == reference.bits_map(min(tokens, 50), min(expected, 50), 3)


@st.composite
def coefficients(draw: st.DrawFn, bound: int) -> tuple[np.ndarray, list[int], int | None]:
    """(c, bits, group)"""
    tokens, channels = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    c = draw(tensors(tokens, channels, bound))
    bits = [draw(st.sampled_from([4, 8])) for _ in range(tokens)]
    return c, bits, draw(st.none() | st.integers(1, channels + 2))


def check_quantizer(c: np.ndarray, bits: list[int], job: config.NpuConfig, rw: int) -> scale.Quantized:
    got = scale.quantize(c.astype(np.int32), np.array(bits), job)
    expected = reference.quantize(c.tolist(), bits, job.job.symmetric, job.job.group, rw)
    zeros = expected[0][0].zero is not None
    assert (got.codes.dtype, got.lo.dtype, got.span.dtype) == (np.int16 if zeros else np.int8, np.int32, np.int32)
    assert (None if got.zero is None else got.zero.tolist()) == (
        [[group.zero for group in row] for row in expected] if zeros else None)
    assert got.codes.tolist() == [[a for group in row for a in group.codes] for row in expected]
    assert got.lo.tolist() == [[group.lo for group in row] for row in expected]
    assert got.span.tolist() == [[group.span for group in row] for row in expected]
    assert got.bits.tolist() == bits
    assert got.qmax.tolist() == [row[0].qmax for row in expected]
    assert got.mid.tolist() == [row[0].mid for row in expected]
    assert all(0 <= q <= group.qmax for row in expected for group in row for q in group.q)
    return got


@cases(1000, case=coefficients(2**17 - 1), mode=MODES)
def test_quantizer_of_18_bit_coefficients_equals_the_reference(case: Any, mode: str) -> None:
    c, bits, group = case
    check_quantizer(c, bits, npu(mode, group), 18)


@cases(600, case=coefficients(2**16 - 1), mode=MODES)
def test_quantizer_of_17_bit_coefficients_is_the_same_at_both_widths(case: Any, mode: str) -> None:
    c, bits, group = case
    narrow = check_quantizer(c, bits, npu(mode, group, axes=1), 17)
    wide = check_quantizer(c, bits, npu(mode, group, axes=2), 17)
    assert narrow.codes.tolist() == wide.codes.tolist()


@cases(300, case=coefficients(2**17 - 1), mode=MODES, recip_frac=st.integers(0, 8))
def test_quantizer_with_a_shorter_reciprocal_equals_the_reference(case: Any, mode: str, recip_frac: int) -> None:
    c, bits, group = case
    config = npu(mode, group).with_hw(recip_frac=recip_frac)
    got = scale.quantize(c.astype(np.int32), np.array(bits), config)
    expected = reference.quantize(c.tolist(), bits, mode == "symmetric", group, 18, recip_frac)
    assert got.codes.tolist() == [[code for part in row for code in part.codes] for row in expected]


def spans() -> list[int]:
    """Every small span, and the neighbours of every power of two up to the widest of 17 bits."""
    near = {2**i + d for i in range(12, 18) for d in (-3, -2, -1, 0, 1, 2, 3)}
    return sorted(set(range(1, 2049)) | {span for span in near if span < 2**17})


@pytest.mark.parametrize(("mode", "bits"), [("minmax", 8), ("minmax", 4), ("symmetric", 8), ("symmetric", 4)])
def test_reciprocal_is_the_same_number_at_both_widths(mode: str, bits: int) -> None:
    """With m' = 2m and F' = F + 1 the two roundings differ only if m is odd and divides qmax·2^F exactly half-way.

    An odd m is a span of full width; there 2·qmax·2^F + m is odd, so a half-way case cannot be.
    """
    random = np.random.default_rng(SEED).integers(1, 2**17, 20000)
    span = np.array(spans() + random.tolist())
    qmax = np.full_like(span, 2**bits - (2 if mode == "symmetric" else 1))
    narrow, lz17 = scale.reciprocal(span, qmax, 17, 8)
    wide, lz18 = scale.reciprocal(span, qmax, 18, 8)
    assert (lz18 == lz17 + 1).all() and (narrow == wide).all()
    for value, lz, recip in zip(span[:3000].tolist(), lz17.tolist(), narrow.tolist(), strict=False):
        m = value << (17 - value.bit_length())
        assert (lz, recip) == (17 - value.bit_length(), ((int(qmax[0]) << 25) + (m >> 1)) // m)


@pytest.mark.parametrize(("mode", "bits"), [("minmax", 8), ("minmax", 4), ("symmetric", 8), ("symmetric", 4)])
def test_every_value_of_small_and_extreme_spans_quantizes_as_the_reference(mode: str, bits: int) -> None:
    for span in [*range(70), 254, 255, 256, 510, 511, 65535, 65536, 131070]:
        values = np.unique(np.linspace(0, span, min(span + 1, 300)).astype(np.int64)) - span // 2
        if mode == "symmetric":
            values = np.append(values, -values)
        check_quantizer(values[None, :], [bits], npu(mode, axes=1), 17)


def test_a_symmetric_zero_is_a_code_and_stays_exact() -> None:
    got = scale.quantize(np.array([[-7, 0, 3], [0, 0, 0]]), np.array([8, 4]), npu("symmetric"))
    assert got.codes[0].tolist()[1] == 0 and got.codes[0, 0] == -127
    assert got.span.ravel().tolist() == [14, 0] and got.codes[1].tolist() == [-7, -7, -7]
