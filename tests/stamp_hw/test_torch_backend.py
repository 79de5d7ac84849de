"""The torch backend against the golden model: every stage, every bit, on random layers of every kind of job."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stamp_hw import outliers
from stamp_hw.config import NpuConfig
from stamp_hw.engine import linear as golden
from stamp_hw.engine.wire_layer import arrange
from stamp_hw.errors import ConfigError, LayerError
from stamp_hw.layer import Layer
from stamp_hw.weights import quantize_weights
from tests.support.golden_cases import SEED, reproduce  # noqa: F401

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.trace
STAGES = ("x", "coefficients", "z", "y")

#: What a job can be; the rest is drawn.
JOBS: dict[str, dict[str, Any]] = {
    "stamp": {},
    "no transform": {"levels": 0},
    "all at 4 bits": {"levels": 0, "n_hi": 0},
    "8-bit weights": {"weight_bits": 8},
    "symmetric": {"scale_mode": "symmetric"},
    "blocks": {"group": 24},
    "blocks, symmetric": {"group": 40, "scale_mode": "symmetric"},
    "eight levels": {"levels": 8, "n_hi": 3},
    "rotated": {},
    "rotated, least shift": {"hadamard": 0},
    "rotated, blocks": {"group": 16, "weight_bits": 8},
}


def drawn(rng: np.random.Generator, *, tokens: int, channels: int, outputs: int, loud: bool, **options: Any) -> Layer:
    """A random layer; a loud one has outlier channels and tokens, and static scales that clip some values."""
    x = rng.standard_normal((tokens, channels)) * np.exp(rng.standard_normal(channels))
    if loud:
        x[rng.integers(tokens)] *= 300
    weight = rng.standard_normal((outputs, channels)) * np.exp(rng.standard_normal((outputs, 1)))
    bias = rng.standard_normal(outputs).astype(np.float32) if rng.integers(2) else None
    limits = (float(np.abs(x).max()), float(np.abs(x @ weight.T).max()))
    scales = [limit / 32767 * (0.4 if loud else 1.0) for limit in limits]
    return Layer("drawn", x.astype(np.float32), weight.astype(np.float32), bias, s_x=scales[0], s_y=scales[1],
                 **options)


def both(layer: Layer, config: NpuConfig) -> tuple[golden.Datapath, Any]:
    """The golden model's stages and the backend's."""
    from stamp_hw.torch.linear import StampLinear

    wire = arrange(layer, config)
    weights, _ = golden.weights_of(layer, config)
    s_x, s_y, calibration = golden.calibrate(wire, config, wire.x)
    want = golden.datapath(wire.x, weights, layer.bias, s_x, s_y, golden.resolve(wire, config), config,
                           golden.rotation_of(wire, config, s_x, calibration))
    module = StampLinear(weights, None if layer.bias is None else torch.from_numpy(layer.bias), config, s_x=layer.s_x,
                         s_y=layer.s_y, in_features=layer.x.shape[1], grid=layer.grid, outliers=layer.outliers,
                         transform=layer.transform)
    got, step = module.run(torch.from_numpy(layer.x))
    assert step == s_y
    return want, got


def same(want: golden.Datapath, got: Any) -> int:
    """Every stage is equal; the number of output values."""
    for stage in STAGES:
        assert np.array_equal(getattr(got, stage).numpy(), getattr(want, stage)), stage
    assert np.array_equal(got.quantized.codes.numpy(), want.quantized.codes)
    assert np.array_equal(got.quantized.lo.numpy(), want.quantized.lo)
    assert np.array_equal(got.quantized.span.numpy(), want.quantized.span)
    acc = want.acc if want.acc.ndim == 3 else want.acc[:, None]
    assert np.array_equal(got.acc.numpy(), acc)
    assert np.array_equal(got.x_saturated.numpy(), want.x_saturated)
    assert np.array_equal(got.y_saturated.numpy(), want.y_saturated)
    assert np.array_equal(got.h_saturated.numpy(), want.h_saturated)
    return want.y.size


@pytest.mark.parametrize("name", JOBS)
@pytest.mark.parametrize("shape", ["sequence", "grid", "outliers", "text"])
def test_every_stage_is_bit_identical_to_the_golden_model(name: str, shape: str) -> None:
    rng = np.random.default_rng([SEED, list(JOBS).index(name), len(shape)])
    clipped = mixed = 0
    for case in range(6):
        tokens = int(rng.integers(9, 90))
        options: dict[str, Any] = {}
        if shape == "grid":
            height, width = (int(side) for side in rng.integers(2, 11, 2))
            tokens, options = height * width, {"grid": (height, width)}
        elif shape == "outliers":
            options = {"outliers": tuple(sorted(map(int, rng.permutation(tokens)[: rng.integers(1, 5)])))}
        elif shape == "text":
            options = {"transform": False}
        layer = drawn(rng, tokens=tokens, channels=int(rng.integers(1, 100)), outputs=int(rng.integers(1, 50)),
                      loud=case % 2 == 1, **options)
        job = dict(JOBS[name])
        if shape == "grid" and job.get("levels") == 8:
            job["levels"] = 4
        config = NpuConfig().with_job(**job).with_hw(lanes=1, block=job.get("group"),
                                                     in_width=(16, 12, 8)[case % 3], z_frac=(4, 0, 2)[case % 3],
                                                     recip_frac=(8, 3)[case % 2],
                                                     hadamard=16 if name.startswith("rotated") else None)
        want, got = both(layer, config)
        same(want, got)
        mixed += int(want.h_saturated.sum())
        clipped += int(want.x_saturated.sum() + want.y_saturated.sum())
    assert clipped, "some values must have been clipped, or the counts prove nothing"
    assert mixed or name != "rotated, least shift", "in the Hadamard unit as well"


def test_long_products_are_exact_in_chunks() -> None:
    """8-bit codes and weights at their largest over K = 4096: partial sums beyond 2^24."""
    rng = np.random.default_rng(SEED)
    x = np.where(rng.integers(0, 2, (8, 4096)), 1.0, -1.0).astype(np.float32)
    weight = np.ones((3, 4096), np.float32)
    weight[1] = x[0]
    layer = Layer("long", x, weight, s_x=1 / 32767, s_y=4096 / 32767)
    want, got = both(layer, NpuConfig().with_job(levels=0, n_hi=8, weight_bits=8))
    assert np.abs(want.acc).max() > 1 << 24
    same(want, got)


@pytest.mark.parametrize("options", [
    {"outliers": [0]}, {"outliers": "Auto"}, {"outliers": None}, {"outliers": (0, 0)}, {"outliers": (-1,)},
    {"outliers": (5, 2)}, {"outliers": (0.5,)}, {"outliers": (True,)}, {"threshold": "x"}, {"threshold": float("nan")},
    {"threshold": -1.0}, {"threshold": 0}, {"threshold": float("inf")}], ids=str)
def test_outliers_that_are_none_are_refused_when_a_layer_is_made(options: dict[str, Any]) -> None:
    from stamp_hw.torch.linear import StampLinear

    with pytest.raises(LayerError, match="outliers are no positions|threshold is none"):
        StampLinear.from_linear(torch.nn.Linear(8, 4), NpuConfig(), name="one", **options)


def test_positions_beyond_a_sequence_are_refused_when_it_comes() -> None:
    from stamp_hw.torch.linear import StampLinear

    stamp = StampLinear.from_linear(torch.nn.Linear(8, 4), NpuConfig(), outliers=(0, 40), name="one")
    stamp(torch.ones(64, 8))
    with pytest.raises(LayerError, match=r"layer one: outliers are no tokens; .*expected positions in 0…19"):
        stamp(torch.ones(20, 8))


@pytest.mark.parametrize("mode", ["minmax", "symmetric"])
def test_blocks_that_are_combined_at_once_give_the_golden_models_results(mode: str) -> None:
    """What a running model takes: T by one product, without the sums of each block; spans as large as they can be."""
    from stamp_hw.torch.linear import StampLinear

    rng = np.random.default_rng(SEED)
    config = NpuConfig().with_hw(lanes=1, block=24).with_job(group=24, scale_mode=mode, weight_bits=8)
    layer = drawn(rng, tokens=65, channels=100, outputs=30, loud=False)
    x = np.where(rng.random(layer.x.shape) < 0.5, layer.x, np.sign(layer.x) * 32767 * layer.s_x).astype(np.float32)
    want = golden.run_linear(replace(layer, x=x), config)
    stamp = StampLinear(want.weights, None if layer.bias is None else torch.from_numpy(layer.bias), config,
                        s_x=layer.s_x, s_y=layer.s_y, outliers=())
    got = stamp(torch.from_numpy(x)).numpy()
    assert np.array_equal(got, want.y.astype(np.float32) * np.float32(want.s_y))


@pytest.mark.parametrize("calibration", ["static", "self"])
@pytest.mark.parametrize("block", [16, 64, 256])
def test_a_rotated_layer_is_the_golden_model(block: int, calibration: str) -> None:
    """Weights folded by the layer itself, K in whole blocks and not, outliers whose exponent the unit decides."""
    from stamp_hw.torch.linear import StampLinear

    rng = np.random.default_rng([SEED, block])
    config = NpuConfig().with_hw(hadamard=block, lanes=8, block=16).with_job(group=16, weight_bits=8,
                                                                           calibration=calibration)
    for channels in (block, block + 7, 5):
        layer = drawn(rng, tokens=40, channels=channels, outputs=9, loud=True, outliers=(0, 9))
        layer.x[[0, 9]] *= 50
        want = golden.run_linear(layer, config)
        linear = torch.nn.Linear(channels, 9, bias=layer.bias is not None)
        linear.weight.data = torch.from_numpy(layer.weight)
        if layer.bias is not None:
            linear.bias.data = torch.from_numpy(layer.bias)
        stamp = StampLinear.from_linear(linear, config, s_x=want.s_x, s_y=want.s_y, outliers=layer.outliers)
        if calibration == "self":  # static scales take the usual shift
            stamp.config = config.with_job(hadamard=want.rotation.shift, calibration="static")
            own = StampLinear.from_linear(linear, config, outliers=layer.outliers)
            _, constants = own._job_of(torch.from_numpy(layer.x), (0, 9), outliers.places(40, (0, 9)))[1:]
            assert constants.rotation == want.rotation and constants.s_x == want.s_x
            assert abs(constants.s_y / want.s_y - 1) < 1e-5
        got = stamp(torch.from_numpy(layer.x)).numpy()
        assert np.array_equal(got, want.y.astype(np.float32) * np.float32(want.s_y))
        assert int(stamp.h_saturated) <= want.h_saturated and stamp.in_features == channels
        assert np.allclose(stamp.weight.numpy(), golden.weights_of(layer, config)[1], atol=1e-5)
        stamp.activations = False
        exact = layer.x @ stamp.weight.numpy().T + (0 if layer.bias is None else layer.bias)
        assert np.allclose(stamp(torch.from_numpy(layer.x)).numpy(), exact, rtol=1e-3, atol=1e-3 * np.abs(exact).max())


@pytest.mark.parametrize("shape", [{}, {"outliers": (0, 7, 30)}, {"grid": (5, 8)}], ids=str)
def test_a_shuffled_layer_is_the_golden_model_on_permuted_tokens(shape: dict[str, Any]) -> None:
    from stamp_hw.shuffle import permutation
    from stamp_hw.torch.linear import StampLinear

    layer = drawn(np.random.default_rng(SEED), tokens=40, channels=12, outputs=9, loud=True, **shape)
    order = permutation("drawn", 40, layer.outliers, 5)
    assert sorted(order) == list(range(40)) and all(order[one] == one for one in layer.outliers)
    want = golden.run_linear(replace(layer, x=layer.x[order]), NpuConfig())
    stamp = StampLinear(want.weights, None if layer.bias is None else torch.from_numpy(layer.bias), NpuConfig(),
                        s_x=layer.s_x, s_y=layer.s_y, shuffled=5, name="drawn", outliers=layer.outliers,
                        grid=layer.grid)
    got = stamp(torch.from_numpy(layer.x)).numpy()
    back = np.empty_like(got)
    back[order] = want.y.astype(np.float32) * np.float32(want.s_y)
    assert np.array_equal(got, back) and int(stamp.x_saturated) == want.x_saturated


def test_a_centered_layer_is_the_golden_model_on_what_is_left() -> None:
    """The mean goes out of x and, with the integers' weights, into the bias; the product stays what it was."""
    from stamp_hw.torch.linear import StampLinear

    layer = drawn(np.random.default_rng(SEED), tokens=50, channels=20, outputs=9, loud=False)
    mean = np.linspace(-3, 3, 20).astype(np.float32)
    weights = quantize_weights(layer.weight, 8)
    folded = (weights.codes @ mean.astype(np.float64)) * weights.scale + (0 if layer.bias is None else layer.bias)
    config = NpuConfig().with_job(weight_bits=8)
    left = replace(layer, x=layer.x - mean, bias=folded.astype(np.float32), s_x=1e-3, s_y=1e-2)
    want = golden.run_linear(left, config)
    bias = None if layer.bias is None else torch.from_numpy(layer.bias)
    stamp = StampLinear(weights, bias, config, s_x=1e-3, s_y=1e-2, center=torch.from_numpy(mean), outliers="off")
    got = stamp(torch.from_numpy(layer.x)).numpy()
    assert np.array_equal(got, want.y.astype(np.float32) * np.float32(want.s_y))
    stamp.activations = False
    exact = layer.x @ weights.real().T + (0 if layer.bias is None else layer.bias)
    assert np.allclose(stamp(torch.from_numpy(layer.x)).numpy(), exact, rtol=1e-4, atol=1e-4)
    assert set(stamp.state_dict()) >= {"wgt", "scale", "center", "steps"}


def test_both_ways_to_multiply_are_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    """Extremes and random codes, of lengths around vectors' and of a single channel; slices, as of groups."""
    from stamp_hw.torch import mac

    rng = np.random.default_rng(SEED)
    for kernel in (mac._multiplies_bytes(), False):
        monkeypatch.setattr(mac, "_multiplies_bytes", lambda kernel=kernel: kernel)
        for channels in (1, 2, 3, 15, 16, 17, 63, 64, 65, 200, 1033):
            codes = rng.choice(np.array([-128, -127, 127, 0, 1], np.int8), (int(rng.integers(1, 40)), channels + 3))
            weights = rng.integers(-127, 128, (int(rng.integers(1, 40)), channels + 3)).astype(np.int8)
            weights[0] = 127
            one, other = (torch.from_numpy(values)[:, 1 : 1 + channels] for values in (codes, weights))
            want = codes[:, 1 : 1 + channels].astype(np.int64) @ weights[:, 1 : 1 + channels].astype(np.int64).T
            assert np.array_equal(mac.matmul(one, other, 127).numpy(), want), (kernel, channels)


def test_channels_that_are_worked_on_in_parts_are_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    from stamp_hw.torch import engine
    from stamp_hw.torch.linear import StampLinear

    layer = drawn(np.random.default_rng(SEED), tokens=40, channels=20, outputs=50, loud=True)
    weights = quantize_weights(layer.weight, 4)
    bias = None if layer.bias is None else torch.from_numpy(layer.bias)
    for scales in ({"s_x": layer.s_x, "s_y": layer.s_y}, {}):
        whole, parts = (StampLinear(weights, bias, NpuConfig(), **scales) for _ in range(2))
        want = whole(torch.from_numpy(layer.x))
        monkeypatch.setattr(engine, "CHANNELS", 7)
        monkeypatch.setattr(engine, "_INTEGERS", 6)
        found = parts(torch.from_numpy(layer.x))
        monkeypatch.undo()
        assert torch.allclose(found, want, rtol=0, atol=0 if scales else float(want.abs().max()) / 30000)
        assert (int(parts.x_saturated), int(parts.y_saturated)) == (int(whole.x_saturated), int(whole.y_saturated))
        done, s_y = whole.run(torch.from_numpy(layer.x))
        places = outliers.places(40, whole.outliers_of(torch.from_numpy(layer.x)))
        assert torch.equal(want, done.y[torch.from_numpy(places.rows.copy())].float() * s_y)


def test_products_stay_exact_where_the_user_has_allowed_tensor_float() -> None:
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        layer = drawn(np.random.default_rng(SEED), tokens=64, channels=512, outputs=32, loud=False)
        same(*both(layer, NpuConfig()))
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


def test_the_largest_sums_round_as_python_integers_do() -> None:
    """T below 2^46 (255 · 2^17 · 127 · 16384 is the most), against Python's own integers."""
    from stamp_hw.torch.rescale import _round, _round_shifted

    rng = np.random.default_rng(SEED)
    total = rng.integers(-1 << 46, 1 << 46, 800)
    mant, shift = rng.integers(1 << 15, 1 << 16, 800), rng.integers(1, 64, 800)
    top = (1 << 23) - 1
    for exponent in (0, 1, 7, 15):
        want = [min(max((int(t) * 2**exponent * int(m) + (1 << (int(s) - 1))) >> int(s), -top - 1), top)
                for t, m, s in zip(total, mant, shift, strict=True)]
        tensors = [torch.tensor(values) for values in (total, mant, shift)]
        got = _round_shifted(*tensors, exponent) if exponent else _round(*tensors)
        assert got.tolist() == want


def test_the_module_stands_in_for_a_linear() -> None:
    """Any leading dimensions, the input's dtype, close to the float layer at 8 bits, rotation folded in."""
    from stamp_hw.torch.linear import StampLinear

    torch.manual_seed(SEED)
    linear = torch.nn.Linear(64, 48)
    config = NpuConfig().with_job(levels=0, n_hi=65536, weight_bits=8)
    rotation = torch.linalg.qr(torch.randn(64, 64)).Q
    x = torch.randn(2, 3, 40, 64)
    for option in (None, rotation):
        module = StampLinear.from_linear(linear, config, rotation=option)
        y = module(x)
        assert y.shape == (2, 3, 40, 48) and y.dtype == x.dtype
        noise = (y - linear(x)).pow(2).sum() / linear(x).pow(2).sum()
        assert noise < 1e-3, noise
        assert torch.equal(module(x[0, 1]), y[0, 1]), "a sequence does not depend on the others"
        assert module.values == x.numel() + x[0, 1].numel()
        assert not module(x.requires_grad_()).requires_grad
        x.requires_grad_(False)
        half = StampLinear.from_linear(linear, config, rotation=option).half()
        assert half(x.half()).dtype == torch.float16
        assert torch.equal(half.float()(x), module(x)), "a model's dtype is nothing to the integers"
        module.config = config.with_job(n_hi=0)  # the tables of another job
        assert not torch.equal(module(x), y)
        module.config = config
    single = StampLinear.from_linear(linear, NpuConfig().with_job(weight_bits=8), single=True, transform=False)
    assert torch.equal(single(x[0, 0]), torch.cat([single(row[None]) for row in x[0, 0]])), "rows share nothing"


def test_bad_input_is_one_clear_error() -> None:
    from stamp_hw.torch.linear import StampLinear

    linear = torch.nn.Linear(8, 4)
    module = StampLinear.from_linear(linear, NpuConfig(), name="a.b")
    with pytest.raises(LayerError, match=r"a\.b: x holds NaN"):
        module(torch.full((4, 8), torch.nan))
    for x in (torch.zeros(3, 7), torch.zeros(0, 8), torch.zeros(0), torch.zeros(3, 8, dtype=torch.int64)):
        with pytest.raises(LayerError, match=r"a\.b: not the layer's input"):
            module(x)
    assert torch.equal(module(torch.ones(8)), module(torch.ones(1, 8))[0])
    with pytest.raises(LayerError, match="scale is out of range"):
        module(torch.full((4, 8), 1e36))
    for field in ("weight", "bias"):
        broken = torch.nn.Linear(8, 4)
        getattr(broken, field).data[1] = torch.nan
        with pytest.raises(LayerError, match=f"{field} holds NaN"):
            StampLinear.from_linear(broken, NpuConfig())
    with pytest.raises(LayerError, match="static scales"):
        StampLinear.from_linear(linear, NpuConfig(), s_x=1.0)
    rotated = NpuConfig().with_hw(hadamard=64)
    with pytest.raises(LayerError, match=r"weights do not fit the input; got 8 channels; expected 8 in whole blocks "
                                         "of 64"):
        StampLinear(quantize_weights(np.ones((2, 8), np.float32), 8), None, rotated)
    folded = StampLinear.from_linear(torch.nn.Linear(8, 2), rotated, name="a.b")
    folded.config = rotated.with_job(hadamard="off")
    with pytest.raises(ConfigError, match=r"layer a\.b, hw\.hadamard: not what the weights are folded for; got None; "
                                          "expected 64"):
        folded(torch.ones(3, 8))
    with pytest.raises(ConfigError, match="max_tokens"):
        module(torch.zeros(5000, 8))
    with pytest.raises(ConfigError, match="max_k"):
        StampLinear.from_linear(torch.nn.Linear(4097, 1), NpuConfig())(torch.zeros(2, 4097))
