"""Products, rescale and output rounding of the golden model equal the scalar reference (docs/contract.md §3.5–§3.7)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from stamp_hw import mac, rescale, scale
from stamp_hw.errors import LayerError
from tests.support import reference
from tests.support.golden_cases import MODES, SEED, Grid, cases, npu, reproduce, tensors, token_tensors

__all__ = ["reproduce"]


@st.composite
def factors_of_a_product(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    channels = draw(st.integers(1, 40))
    rows, outputs = draw(st.integers(1, 8)), draw(st.integers(1, 8))
    return draw(tensors(rows, channels, 128)), draw(tensors(outputs, channels, 128))


@cases(400, case=factors_of_a_product())
def test_product_equals_the_reference(case: tuple[np.ndarray, np.ndarray]) -> None:
    codes, weights = case
    got = mac.matmul(codes.astype(np.int8), weights.astype(np.int8))
    assert got.dtype == np.int32 and got.tolist() == reference.matmul(codes.tolist(), weights.tolist())


@pytest.mark.parametrize("channels", [1023, 1024, 1025, 2049, 4097, 16384, 32768])
def test_long_products_of_extremes_are_exact(channels: int) -> None:
    # −128 · −128 + an odd rest: the sum needs more than float32's 24 bits from K = 1025 on.
    rng = np.random.default_rng(SEED)
    codes = np.stack([np.full(channels, -128), np.full(channels, 127), rng.integers(-128, 128, channels)])
    weights = np.stack([np.full(channels, -128), np.full(channels, -127), rng.integers(-128, 128, channels)])
    codes[:, -1] = -127
    weights[:, -1] = [-127, 3, 1]
    got = mac.matmul(codes.astype(np.int8), weights.astype(np.int8))
    assert got.tolist() == reference.matmul(codes.tolist(), weights.tolist())


def test_one_packed_multiplier_gives_both_products_of_every_pair() -> None:
    a1, a0, w = (axis.ravel() for axis in np.meshgrid(np.arange(-8, 8), np.arange(-8, 8), np.arange(-128, 128)))
    high, low = mac.packed_product(a1, a0, w)
    assert (high == a1 * w).all() and (low == a0 * w).all()
    some = np.random.default_rng(SEED).integers(0, len(w), 3000)
    for i in some.tolist():
        assert (int(high[i]), int(low[i])) == reference.dual_products(int(a1[i]), int(a0[i]), int(w[i]))


# --- rescale, bias ---------------------------------------------------------------------------------------------------


@st.composite
def rescale_jobs(draw: st.DrawFn) -> dict[str, Any]:
    tokens, channels, outputs = draw(st.integers(1, 6)), draw(st.integers(1, 8)), draw(st.integers(1, 5))
    return {
        "c": draw(tensors(tokens, channels, 2**17 - 1)),
        "bits": [draw(st.sampled_from([4, 8])) for _ in range(tokens)],
        "weights": draw(tensors(outputs, channels, 127)),
        "mant": draw(st.lists(st.sampled_from([2**15, 2**16 - 1]) | st.integers(2**15, 2**16 - 1), min_size=2 * outputs,
                              max_size=2 * outputs)),
        "shift": draw(st.lists(st.integers(1, 63) | st.integers(15, 40), min_size=2 * outputs, max_size=2 * outputs)),
        "e": [draw(st.integers(0, 15)) if draw(st.booleans()) else 0 for _ in range(tokens)],
        "mode": draw(MODES),
    }


@cases(1000, case=rescale_jobs())
def test_rescale_equals_the_reference_with_sinks_and_any_factor(case: dict[str, Any]) -> None:
    job, symmetric = npu(case["mode"]), case["mode"] == "symmetric"
    c, weights, outputs = case["c"].tolist(), case["weights"].tolist(), len(case["weights"])
    bits = [8 if e else b for b, e in zip(case["bits"], case["e"], strict=True)]  # a sink always takes 8 bits
    quantized = scale.quantize(case["c"].astype(np.int32), np.array(bits), job, np.array(case["e"]))
    acc = mac.matmul(quantized.codes, case["weights"].astype(np.int8))
    rows = 2 if symmetric else 1
    mant, shift = (np.array(case[name][: rows * outputs]).reshape(rows, outputs) for name in ("mant", "shift"))
    got = rescale.rescale(acc, quantized, case["weights"].sum(axis=1), mant, shift, job)
    expected = []
    for groups, b, e in zip(reference.quantize(c, bits, symmetric, None, 18), bits, case["e"], strict=True):
        row = 1 if symmetric and b == 4 else 0
        t = [reference.t_value(groups[0].codes, groups, w, len(w), symmetric, e) for w in weights]
        expected.append([reference.rescale(t[n], int(mant[row, n]), int(shift[row, n])) for n in range(outputs)])
    assert got.dtype == np.int32 and got.tolist() == expected


@pytest.mark.parametrize(("mode", "code", "lo", "span"), [
    ("minmax", 127, 131070, 0), ("minmax", -128, -131070, 0), ("minmax", 127, -131070, 262140),
    ("symmetric", 127, -131070, 262140), ("symmetric", -127, -131070, 262140),
])
@pytest.mark.parametrize("shift", [1, 39, 40, 41, 47, 62, 63])
@pytest.mark.parametrize("e", [0, 1, 15])
@pytest.mark.parametrize("channels", [16384, 32768])  # 18-bit coefficients of a grid, 17-bit ones of a sequence
def test_the_largest_t_is_rescaled_exactly(channels: int, mode: str, code: int, lo: int, span: int, shift: int,
                                           e: int) -> None:
    lo, span, symmetric = lo * 16384 // channels, span * 16384 // channels, mode == "symmetric"
    quantized = scale.Quantized(np.full((1, channels), code, np.int8), np.array([[lo]], np.int32),
                                np.array([[span]], np.int32), np.array([8], np.int8), channels, symmetric,
                                np.array([e], np.int8))
    qmax = 254 if symmetric else 255
    for w in (-127, 127):
        acc, wsum = code * w * channels, w * channels
        mant = 2**16 - 1
        got = rescale.rescale(np.array([[acc]], np.int32), quantized, np.array([wsum]), np.array([[mant]]),
                              np.array([[shift]]), npu(mode))
        t = reference.affine(acc, wsum, lo, span, qmax, (qmax + 1) >> 1, symmetric)
        assert abs(t) < 2**47, "48 bits hold T"
        assert got.tolist() == [[reference.rescale(t << e, mant, shift)]]


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("mantissa", ["random", "half-way", "carry", "least", "largest"])
def test_mant_and_shift_are_those_of_the_reference(symmetric: bool, mantissa: str) -> None:
    rng = np.random.default_rng(SEED)
    m = {"random": rng.uniform(2**15, 2**16, 400), "half-way": rng.integers(2**15, 2**16, 400) + 0.5,
         "carry": np.full(400, 2**16 - 0.5), "least": np.full(400, 2.0**15),
         "largest": np.full(400, np.nextafter(2**16 - 0.5, 0))}[mantissa]
    qmaxes = (254, 14) if symmetric else (255,)
    for qmax in qmaxes:
        # 2^4·s_x·s_w / (qmax·s_y) is s_w exactly for s_x = qmax and s_y = 16; the other table stays within reach.
        s_w = np.ldexp(m, -rng.integers(8, 58, 400))
        mant, shift = rescale.factors(float(qmax), s_w, 16.0, npu("symmetric" if symmetric else "minmax"))
        row = qmaxes.index(qmax)
        expected = [reference.multiplier(value) for value in s_w.tolist()]
        assert list(zip(mant[row].tolist(), shift[row].tolist(), strict=True)) == expected


@pytest.mark.parametrize(("factor", "legal"), [
    (2.0**14, True), (2.0**15 - 0.5, True), (2.0**15 - 0.25, False), (2.0**15, False), (2.0**-48, True),
    (np.nextafter(2.0**-48, 0), True), (2.0**-48 * (1 - 2.0**-10), False), (2.0**-49, False), (1e-300, False),
    (1e300, False),
])
def test_a_factor_beyond_mant_and_shift_is_refused(factor: float, legal: bool) -> None:
    if legal:
        assert reference.multiplier(factor) == tuple(
            int(table[0, 0]) for table in rescale.factors(255.0, np.array([factor]), 16.0, npu("minmax")))
        return
    with pytest.raises(ValueError, match="shift"):
        reference.multiplier(factor)
    with pytest.raises(LayerError, match="output channel 0"):
        rescale.factors(255.0, np.array([factor]), 16.0, npu("minmax"))


@pytest.mark.parametrize(("s_x", "s_w", "s_y"), [(1e-200, 1e-200, 1.0), (1.0, 1.0, 1e-320), (1e300, 1e300, 1.0)])
def test_a_factor_that_floats_cannot_hold_is_refused(s_x: float, s_w: float, s_y: float) -> None:
    with pytest.raises(LayerError, match="output channel 0"):
        rescale.factors(s_x, np.array([s_w]), s_y, npu("minmax"))


@pytest.mark.parametrize(("v", "bias", "y"), [
    (0, 0, 0), (7, 0, 0), (8, 0, 1), (-8, 0, 0), (-9, 0, -1), (23, 0, 1), (24, 0, 2), (-24, 0, -1), (-25, 0, -2),
    (32767 * 16 + 7, 0, 32767), (32767 * 16 + 8, 0, 32767), (-32768 * 16 - 8, 0, -32768), (-32768 * 16 - 9, 0, -32768),
    (2**27 - 1, 2**31 - 1, 32767), (-(2**27), -(2**31), -32768), (-(2**27), 2**23, 0), (8, -1, 0), (8, 5, 6),
])
def test_the_output_rounds_half_up_and_saturates_once(v: int, bias: int, y: int) -> None:
    got, saturated = rescale.finish(np.array([[v]], np.int32), np.array([bias]), npu("minmax"))
    assert got.dtype == np.int16 and int(got[0, 0]) == y == reference.output(v, bias)
    assert saturated == ((v + 16 * bias + 8) // 16 not in range(-32768, 32768))


@cases(300, case=token_tensors(bound=2**23), bias=st.integers(-(2**31), 2**31 - 1) | st.integers(-(2**18), 2**18),
       frac=st.just(4) | st.integers(0, 4))
def test_output_of_any_value_and_bias_equals_the_reference(case: tuple[np.ndarray, Grid], bias: int, frac: int) -> None:
    v, _ = case
    got, _ = rescale.finish(v.astype(np.int32), np.full(v.shape[1], bias), npu("minmax").with_hw(z_frac=frac))
    assert got.tolist() == [[reference.output(value, bias, frac) for value in row] for row in v.tolist()]
