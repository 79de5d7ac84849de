"""Transforms along the token axis, against matrices written out, PyWavelets and scipy; the quantizer and theorem 1."""

from __future__ import annotations

import numpy as np
import pytest
import pywt
import scipy.fft
import scipy.linalg

from sim.paper import transforms
from sim.paper.quantizer import bound, quantize
from sim.paper.transforms import Transform
from stamp_hw import haar
from stamp_hw.errors import LayerError
from tests.support.simulate_cases import ar1

SEQUENCES = (1, 2, 7, 8, 33, 64, 165)
GRIDS = ((1, 8), (8, 1), (4, 4), (8, 16), (5, 7), (15, 11))


def every(tokens: int, grid: tuple[int, int] | None, rng: np.random.Generator) -> dict[str, Transform]:
    found = {"identity": transforms.IDENTITY, "dct": transforms.dct(tokens, grid),
             "klt": transforms.klt([rng.standard_normal((tokens, 3))])}
    found |= {f"haar{levels}": transforms.haar(tokens, levels, grid) for levels in range(9)}
    if not any(size & (size - 1) for size in grid or (tokens,)):
        found["walsh"] = transforms.walsh(tokens, grid)
    return found


@pytest.mark.parametrize("shape", [*SEQUENCES, *GRIDS], ids=str)
def test_every_transform_is_orthonormal_and_inverted(shape: int | tuple[int, int], rng: np.random.Generator) -> None:
    tokens, grid = (shape, None) if isinstance(shape, int) else (shape[0] * shape[1], shape)
    x = rng.standard_normal((tokens, 5))
    for name, transform in every(tokens, grid, rng).items():
        rows = transforms.matrix(transform, tokens)
        np.testing.assert_allclose(rows @ rows.T, np.eye(tokens), atol=1e-12, err_msg=name)
        np.testing.assert_allclose(transform.inverse(transform.forward(x)), x, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("levels", [1, 3, 6])
def test_haar_of_a_sequence_equals_pywavelets(levels: int, rng: np.random.Generator) -> None:
    x = rng.standard_normal((64, 3))
    # PyWavelets' Haar detail is (a − b) / √2; the lifting's d is b − a.
    bands = pywt.wavedec(x, "haar", level=levels, axis=0)
    want = np.concatenate([bands[0], *(-band for band in bands[1:])])
    np.testing.assert_allclose(transforms.haar(64, levels).forward(x), want, atol=1e-12)


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_haar_of_a_grid_equals_pywavelets(levels: int, rng: np.random.Generator) -> None:
    x = rng.standard_normal((16, 8, 3))
    low, *details = pywt.wavedec2(x, "haar", level=levels, axes=(0, 1))
    # (horizontal, vertical, diagonal) are d along the height, along the width, along both.
    bands = [low, *(band for down, across, both in details for band in (-across, -down, both))]
    want = np.concatenate([band.reshape(-1, 3) for band in bands])
    np.testing.assert_allclose(transforms.haar(128, levels, (16, 8)).forward(x.reshape(128, 3)), want, atol=1e-12)


@pytest.mark.parametrize(("tokens", "grid"), [(64, None), (256, (16, 16)), (128, (8, 16))])
def test_haar_is_the_lifting_up_to_a_factor_for_each_coefficient(tokens: int, grid: tuple[int, int] | None,
                                                                rng: np.random.Generator) -> None:
    """Same coefficients in the same order: the floors of the integers and a factor are all that differs."""
    x = rng.integers(-20000, 20000, (tokens, 4))
    for levels in (1, 2, 3):
        real, integer = transforms.haar(tokens, levels, grid).forward(x.astype(float)), haar.forward(x, levels, grid)
        factor = np.sum(real * integer, axis=1) / np.sum(integer.astype(float) ** 2, axis=1)
        assert (factor > 0).all()
        assert np.abs(real / factor[:, None] - integer).max() <= 2 * levels


@pytest.mark.parametrize(("tokens", "grid"), [(7, None), (165, None), (35, (5, 7)), (165, (15, 11))])
def test_haar_puts_a_constant_into_one_coefficient_whatever_the_length(tokens: int,
                                                                      grid: tuple[int, int] | None) -> None:
    c = transforms.haar(tokens, 8, grid).forward(np.ones((tokens, 1)))
    np.testing.assert_allclose(c, np.sqrt(tokens) * np.eye(tokens, 1), atol=1e-12)


def test_haar_of_odd_lengths_has_the_differences_of_the_lifting_where_their_means_weigh_the_same(
        rng: np.random.Generator) -> None:
    """Of 7 tokens only s and d of level 3 join a mean of four with a mean of three."""
    x = rng.integers(-20000, 20000, (7, 400))
    real, integer = transforms.haar(7, 3).forward(x.astype(float)), haar.forward(x, 3)
    for row in range(2, 7):
        assert np.corrcoef(real[row], integer[row])[0, 1] > 0.9999


def test_dct_is_scipys_and_on_a_grid_low_frequencies_come_first(rng: np.random.Generator) -> None:
    x = rng.standard_normal((33, 4))
    np.testing.assert_allclose(transforms.dct(33).forward(x), scipy.fft.dct(x, axis=0, norm="ortho"), atol=1e-12)
    plane = rng.standard_normal((4, 6, 2))
    want = scipy.fft.dctn(plane, axes=(0, 1), norm="ortho")
    places = sorted(((u / 4 + v / 6, u, v) for u in range(4) for v in range(6)), key=lambda p: (round(p[0], 9), p[1]))
    got = transforms.dct(24, (4, 6)).forward(plane.reshape(24, 2))
    np.testing.assert_allclose(got, [want[u, v] for _, u, v in places], atol=1e-12)


def test_walsh_has_scipys_rows_in_order_of_sequency() -> None:
    rows = transforms.matrix(transforms.walsh(32), 32)
    assert np.count_nonzero(np.diff(np.sign(rows), axis=1), axis=1).tolist() == list(range(32))
    wanted = scipy.linalg.hadamard(32) / np.sqrt(32)
    assert {tuple(row.round(9)) for row in rows} == {tuple(row.round(9)) for row in wanted}
    assert (transforms.matrix(transforms.walsh(16, (4, 4)), 16)[0] == 0.25).all()


def test_klt_decorrelates_what_it_was_fitted_on_and_compacts_it_at_least_as_well_as_any_other(
        rng: np.random.Generator) -> None:
    """No orthonormal transform holds more energy in its first n coefficients, whatever n (Ky Fan)."""
    fitted = [ar1(rng, 64, 24).astype(float) for _ in range(3)]
    found = transforms.klt(fitted)
    c = [found.forward(x) for x in fitted]
    products = sum(each @ each.T for each in c)
    energy = np.diag(products)
    assert np.abs(products - np.diag(energy)).max() < 1e-9 * energy.max() and (np.diff(energy) <= 1e-9).all()
    held = np.cumsum(energy)
    for name, other in every(64, None, rng).items():
        theirs = np.cumsum(sum(np.sum(other.forward(x) ** 2, axis=1) for x in fitted))
        assert (held >= theirs * (1 - 1e-12)).all(), name


def test_klt_of_stationary_tokens_approaches_the_dct(rng: np.random.Generator) -> None:
    """The covariance of AR(1) tokens, whose eigenvectors the DCT's rows approach (Ahmed, Natarajan, Rao 1974)."""
    place = np.arange(64)
    root = np.linalg.cholesky(0.95 ** np.abs(place[:, None] - place))
    found = transforms.matrix(transforms.klt([root]), 64)
    cosine = np.abs(np.sum(found * transforms.matrix(transforms.dct(64), 64), axis=1))
    assert cosine[:8].min() > 0.97


def test_the_quantizer_rounds_to_the_nearest_of_its_levels(rng: np.random.Generator) -> None:
    c = rng.standard_normal((20, 30)) * np.exp(rng.standard_normal((20, 1)))
    bits = np.where(np.arange(20) < 5, 8, 4)
    for symmetric in (False, True):
        for group in (None, 8):
            got = quantize(c, bits, symmetric=symmetric, group=group)
            for token, size in enumerate(bits):
                for start in range(0, 30, group or 30):
                    part = c[token, start : start + (group or 30)]
                    low, high = (-abs(part).max(), abs(part).max()) if symmetric else (part.min(), part.max())
                    levels = np.linspace(low, high, 2**size - symmetric)
                    want = levels[np.abs(part[:, None] - levels).argmin(axis=1)]
                    np.testing.assert_allclose(got[token, start : start + len(part)], want, atol=1e-12)
    assert (quantize(np.full((2, 4), 3.0), np.array([4, 8])) == 3.0).all()


def test_theorem_1_bounds_the_noise_of_every_transform(rng: np.random.Generator) -> None:
    x = ar1(rng, 64, 16).astype(float)
    bits = np.where(np.arange(64) < 2, 8, 4)
    for name, transform in every(64, None, rng).items():
        for symmetric in (False, True):
            c = transform.forward(x)
            noise = np.sum((transform.inverse(quantize(c, bits, symmetric=symmetric)) - x) ** 2)
            assert 0 < noise <= bound(c, bits, symmetric=symmetric), name


def test_theorem_1_is_written_out_and_nearly_reached_by_the_worst_token() -> None:
    c, bits = np.array([[3.0, 4.0], [1.0, -1.0]]), np.array([8, 4])
    assert bound(c, bits) == pytest.approx(2 / 2 * (25 / 255**2 + 2 / 15**2))
    assert bound(c, bits, symmetric=True) == pytest.approx(2 * (25 / 254**2 + 2 / 14**2))
    # Two channels span the range with all of the energy; a thousand others lie halfway between two levels.
    worst = np.concatenate([[1.0, -1.0], np.full(1000, 1e-9)])[None]
    share = np.sum((quantize(worst, np.array([4])) - worst) ** 2) / bound(worst, np.array([4]))
    assert 0.99 < share < 1


def test_what_has_no_transform_is_refused() -> None:
    for call, said in ((lambda: transforms.walsh(12), "power of two"),
                       (lambda: transforms.walsh(12, (4, 3)), "power of two"),
                       (lambda: transforms.klt([]), "one or more"),
                       (lambda: transforms.klt([np.ones((3, 1)), np.ones((4, 1))]), "one length"),
                       (lambda: transforms.haar(6, 1, (2, 2)), "H·W = 6")):
        with pytest.raises(LayerError, match=said):
            call()
