"""What makes a running model fast, against Python's integers and the golden model: products of wide integers as digits
of a byte, rotated inputs made once, weights folded in parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stamp_hw import hadamard, rescale
from stamp_hw.config import NpuConfig
from stamp_hw.engine import linear as golden
from stamp_hw.layer import Layer
from tests.support.golden_cases import SEED, reproduce  # noqa: F401

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.trace
#: What digits of base 256 are carried at, and the ends: 255 · (2^18 − 1) is the largest step of a block.
EDGES = [0, 1, -1, 127, 128, -128, -129, 255, 256, 32639, 32640, -32896, -32897, 8355711, 8355712, -8421504, -8421505,
         255 * ((1 << 18) - 1), -255 * ((1 << 18) - 1), (1 << 30) - 1, 1 - (1 << 30)]


def test_digits_are_balanced_and_stand_for_the_integers() -> None:
    from stamp_hw.torch import mac

    values = torch.tensor([EDGES, sorted(EDGES), [0] * len(EDGES), [1] * len(EDGES)], dtype=torch.int32)
    largest = values.abs().amax(dim=1).long()
    counts = mac._rows_of_digits(largest)
    assert counts == [4, 2, 2, 2]
    digits = mac._digits(values, counts)
    assert digits.dtype == torch.int8 and len(digits) == sum(counts)
    total = torch.zeros(values.shape, dtype=torch.int64)
    for place, (count, part) in enumerate(zip(counts, digits.split(counts), strict=True)):
        total[:count] += part.long() << 8 * place
    assert torch.equal(total, values.long())


@pytest.mark.parametrize(("largest", "counts"), [
    ([127, 127, 0], [3]), ([128, 127, 0], [3, 1]), ([1, 128, 0], [3, 2]), ([32639, 1, 200], [3, 3]),
    ([32640, 1, 200], [3, 3, 1]), ([1, 8355711, 1], [3, 2, 2]), ([1, 8355712, 1], [3, 2, 2, 2]),
    ([(1 << 30) - 1, 1, 1], [3, 1, 1, 1])], ids=str)
def test_a_place_takes_the_rows_up_to_the_last_that_may_have_a_digit_there(largest: list[int], counts: list[int]
                                                                            ) -> None:
    from stamp_hw.torch import mac

    assert mac._rows_of_digits(torch.tensor(largest)) == counts


def test_both_ways_to_multiply_wide_integers_are_pythons(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps of 26 bits and weights at their extremes, of lengths around vectors' and of a single channel, large rows
    first as in a layer or anywhere, any rows of the product."""
    from stamp_hw.torch import mac

    rng = np.random.default_rng(SEED)
    for kernel in (mac._multiplies_bytes(), False):
        monkeypatch.setattr(mac, "_multiplies_bytes", lambda kernel=kernel: kernel)
        for channels in (1, 2, 3, 15, 16, 17, 63, 64, 65, 200, 1033, 16384):
            rows, outputs = int(rng.integers(2, 30)), int(rng.integers(1, 30))
            tops = rng.choice([15, 15 * ((1 << 17) - 1), 255 * ((1 << 18) - 1)], rows)
            values = rng.choice([-1, 1, 0], (rows, channels)) * tops[:, None]
            values[0], values[1] = tops[0], rng.integers(-tops[1], tops[1] + 1, channels)
            weights = rng.choice(np.array([-128, -127, 127, 1, 0], np.int8), (outputs, channels + 2))[:, 1:-1]
            weights[0] = 127
            want = values.astype(object) @ weights.astype(object).T
            product = mac.wide(torch.from_numpy(values.astype(np.int32)), torch.from_numpy(tops))(
                torch.from_numpy(weights))
            assert product(slice(0, rows)).tolist() == want.tolist(), (kernel, channels)
            assert product(slice(1, 2)).tolist() == want[1:2].tolist()
            own = product(slice(0, rows))
            own.zero_()
            assert product(slice(0, rows)).tolist() == want.tolist(), "what is given out is the caller's"


@pytest.mark.parametrize("n_hi", [0, 40, 64], ids=lambda n_hi: f"n_hi {n_hi}")
def test_codes_and_spans_at_their_most_give_the_golden_models_results(n_hi: int, monkeypatch: pytest.MonkeyPatch
                                                                      ) -> None:
    """Inputs at both ends of INT16, so that spans and codes are as large as they can be, over K = 4096, by bytes and
    by floats, and channels in parts."""
    from stamp_hw.torch import engine, mac
    from stamp_hw.torch.linear import StampLinear

    rng = np.random.default_rng([SEED, n_hi])
    config = NpuConfig().with_hw(lanes=8, block=64, max_k=4096).with_job(group=64, weight_bits=8, levels=3, n_hi=n_hi)
    ends = rng.choice([-32768, 32767], (64, 4096))
    ends[1::2] = -1 - ends[::2]  # neighbours of opposite sign: differences of 17 bits
    weight = np.sign(rng.standard_normal((5, 4096)))
    weight[0] = np.sign(ends[0])
    layer = Layer("ends", ends.astype(np.float32), weight.astype(np.float32), s_x=1.0, s_y=64.0)
    want = golden.run_linear(layer, config)
    steps = np.abs(want.quantized.codes * np.repeat(want.quantized.span, 64, 1).astype(np.int64)).max(1)
    assert want.quantized.span.max() > 1 << 16 and (want.quantized.bits == 4).sum() == 64 - n_hi
    assert steps.max() == (7 if n_hi == 0 else 128) * 131070  # of both signs; 15 and 255 of one, half as far apart
    kernels = [mac._multiplies_bytes(), False]
    found = []
    for kernel, part in zip(kernels, (1024, 2), strict=True):
        monkeypatch.setattr(mac, "_multiplies_bytes", lambda kernel=kernel: kernel)
        monkeypatch.setattr(engine, "_INTEGERS", part)
        stamp = StampLinear(want.weights, None, config, s_x=1.0, s_y=64.0, outliers="off")
        found.append(stamp(torch.from_numpy(layer.x)).numpy())
        assert np.array_equal(found[-1], want.y.astype(np.float32) * np.float32(64)), kernel
        assert int(stamp.y_saturated) == want.y_saturated
    assert len(np.unique(found[0])) > 5


@pytest.mark.parametrize("most", [5, (1 << 26) - 1, 1 << 26, (1 << 31) - 1])
def test_biases_up_to_32_bits_are_added_exactly(most: int) -> None:
    """In INT32 where it holds the sum, else in 64 bits."""
    from stamp_hw.torch import rescale as backend

    rng = np.random.default_rng([SEED, most])
    v = rng.choice([-(1 << 26), (1 << 26) - 1, 0, 7], (6, 40)).astype(np.int32)
    bias = rng.choice([-most, most, 0, 1], 40)
    bias[0], bias[1] = most, -most - 1
    y, saturated = rescale.finish(v, bias, NpuConfig())
    got, counts = backend.finish(torch.from_numpy(v), torch.from_numpy(bias), NpuConfig())
    assert np.array_equal(got.numpy(), y) and np.array_equal(counts.numpy(), saturated) and saturated.any()


def test_weights_that_are_folded_in_parts_are_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = np.random.default_rng(SEED).standard_normal((10, 37)).astype(np.float32)
    whole = hadamard.fold(weight, 16)
    monkeypatch.setattr(hadamard, "_CHANNELS", 3)
    assert whole.dtype == np.float32 and np.array_equal(hadamard.fold(weight, 16), whole)


def test_layers_that_read_the_same_tokens_rotate_them_once() -> None:
    from stamp_hw.torch.rotated import LastProduct

    generator = torch.Generator().manual_seed(SEED % (1 << 31))
    x, rotation, other = (torch.randn(size, generator=generator) for size in ((6, 8), (8, 8), (8, 8)))
    last = LastProduct()
    first = last.of(x, rotation)
    assert torch.equal(first, x @ rotation)
    assert last.of(x.clone(), rotation) is first
    x[3, 2] += 1  # the same tensor with other tokens in it
    assert torch.equal(last.of(x, rotation), x @ rotation)
    assert torch.equal(last.of(x, other), x @ other) and torch.equal(last.of(x[:2], other), x[:2] @ other)


def test_a_shared_rotation_changes_no_bit_of_the_layers() -> None:
    from stamp_hw.torch.linear import StampLinear
    from stamp_hw.torch.rotated import LastProduct

    generator = torch.Generator().manual_seed(SEED % (1 << 31))
    rotation, x = torch.linalg.qr(torch.randn(32, 32, generator=generator)).Q, torch.randn(2, 20, 32,
                                                                                           generator=generator)
    config = NpuConfig().with_job(weight_bits=8)
    options: dict[str, Any] = {"rotation": rotation, "name": "one"}
    layers = [StampLinear.from_linear(torch.nn.Linear(32, outputs), config, **options) for outputs in (7, 9)]
    want = [layer(x) for layer in layers]
    last = LastProduct()
    for layer in layers:
        layer.rotation, layer.last = rotation, last
    assert all(torch.equal(layer(x), y) for layer, y in zip(layers, want, strict=True))
