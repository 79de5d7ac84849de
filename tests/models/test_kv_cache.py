"""Keys and values in 4 bits, decode of single tokens, and what both do to a model's predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stamp_hw import haar, scale
from stamp_hw.config import NpuConfig
from tests.support.eval_cases import LLAMA, evaluated, llama, refused
from tests.support.golden_cases import SEED, reproduce  # noqa: F401

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.trace, pytest.mark.usefixtures("one_thread")]


def test_states_are_quantized_as_the_golden_model_does_it() -> None:
    """Lifting, a scale a token and head, and back, against NumPy; one token is not lifted."""
    from models.evaluate.kv_cache import quantize_states

    rng = np.random.default_rng(SEED)
    states = rng.standard_normal((2, 3, 50, 8)).astype(np.float32) * np.exp(rng.standard_normal((1, 3, 1, 1)))
    config = NpuConfig().with_job(n_hi=5)
    got = quantize_states(torch.from_numpy(states.astype(np.float32)), config).numpy()
    for sequence, found in zip(states.astype(np.float32), got, strict=True):
        x = np.moveaxis(sequence, 0, 1).reshape(50, 24)
        s_x = float(np.abs(x).max()) / 32767
        job = config.resolve(50)
        assert job.levels == 4
        codes = np.rint(x.astype(np.float64) / s_x).astype(np.int32)
        quantized = scale.quantize(haar.forward(codes, job.levels).reshape(150, 8),
                                   np.repeat(scale.precision_map(50, 5), 3), config)
        want = haar.inverse_real(scale.dequantize(quantized).reshape(50, 24), job.levels) * np.float32(s_x)
        assert np.array_equal(np.moveaxis(found, 0, 1).reshape(50, 24), want)
    one = quantize_states(torch.from_numpy(states[:, :, :1].astype(np.float32)), config, start=4)
    late = quantize_states(torch.from_numpy(states[:, :, :1].astype(np.float32)), config, start=5)
    error = [float((values - torch.from_numpy(states[:, :, :1])).abs().max()) for values in (one, late)]
    assert error[0] < 0.1 * error[1], "position 4 has 8 bits, position 5 has 4"


def test_a_cache_gives_back_what_it_was_given_at_every_position() -> None:
    from models.evaluate.kv_cache import QuantizedCache, quantize_states

    config = NpuConfig().with_job(n_hi=3)
    cache = QuantizedCache(config)
    keys = torch.randn(1, 2, 12, 4)
    cache.update(keys[:, :, :10], -keys[:, :, :10], 0)
    seen, values = cache.update(keys[:, :, 10:11], -keys[:, :, 10:11], 0)
    assert seen.shape == values.shape == (1, 2, 11, 4)
    assert torch.equal(seen[:, :, :10], quantize_states(keys[:, :, :10], config))
    assert torch.equal(seen[:, :, 10:], quantize_states(keys[:, :, 10:11], config, 10))


def test_the_transform_halves_what_4_bit_keys_and_values_cost(tmp_path: Path, capsys: pytest.CaptureFixture[str]
                                                              ) -> None:
    rows = evaluated(tmp_path, *llama("--kv", windows=3))
    assert list(rows) == ["float", "a8", "a4", "first_n", "stamp"]
    assert rows["first_n"]["average_bits"] == rows["stamp"]["average_bits"] == 4.5
    assert rows["a8"]["kl"] < 1e-3 < rows["stamp"]["kl"] < 0.7 * rows["first_n"]["kl"]
    assert rows["first_n"]["kl"] < rows["a4"]["kl"]
    assert "Keys and values are quantized" in capsys.readouterr().out
    decoded = evaluated(tmp_path, *llama("--kv", "16", "--decode", "32", "--length", "64", "--schemes", "stamp",
                                         windows=1))
    assert decoded["stamp"]["average_bits"] == (31 * 4 + 16 * 4 + 32 * 4) / 63, "31 tokens of prefill, 32 decoded at 4"
    paper = evaluated(tmp_path, *llama("--kv", "16", "--schemes", "stamp", windows=1))
    assert paper["stamp"]["average_bits"] == 4.125


def test_decoded_tokens_take_the_path_without_transform() -> None:
    """A run of one token: no levels, 8 bits, no outliers; equal to the plain 8-bit layer."""
    from stamp_hw.torch.linear import StampLinear

    torch.manual_seed(SEED)
    linear = torch.nn.Linear(32, 16)
    stamp = StampLinear.from_linear(linear, NpuConfig(), s_x=1e-4, s_y=1e-4, outliers=(0, 1))
    plain = StampLinear.from_linear(linear, NpuConfig().with_job(levels=0, n_hi=65536), s_x=1e-4, s_y=1e-4)
    job = stamp.job(1)
    assert (job.tokens, job.levels, job.n_hi, job.n_sink) == (1, 0, 1, 0)
    assert stamp.job(40).levels > 0 and stamp.outliers_of(torch.ones(40, linear.in_features)) == (0, 1)
    assert stamp.outliers_of(torch.ones(1, linear.in_features)) == ()
    x = torch.randn(3, 1, 32)
    assert torch.equal(stamp(x), plain(x))


def test_decode_equals_prefill_in_float_and_scores_the_last_tokens(tmp_path: Path) -> None:
    from models.evaluate.language import predictions
    from models.load.checkpoint import load, sequences

    checkpoint = load(str(LLAMA), "float32")
    row = torch.from_numpy(sequences(checkpoint, LLAMA / "heldout.txt", 1, 60))
    with torch.inference_mode():
        whole, last = predictions(checkpoint.model, row), predictions(checkpoint.model, row, 7)
    assert whole.shape[0] == 59 and last.shape[0] == 7
    assert torch.allclose(whole[-7:], last, atol=1e-4)
    rows = evaluated(tmp_path, *llama("--decode", "5", "--length", "64", "--schemes", "a4,stamp", windows=2))
    assert 0 < rows["stamp"]["kl"] < rows["a4"]["kl"]
    rows = evaluated(tmp_path, *llama("--decode", "5", "--length", "64", "--schemes", "a8,a4", "--kv", windows=2))
    assert rows["a8"]["kl"] < rows["a4"]["kl"]


def test_options_that_do_not_go_together_are_one_clear_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]
                                                             ) -> None:
    path = tmp_path / "groups.yaml"
    path.write_text("job: {group: 64}\n", "utf-8")
    for more, message in ((("--kv", "--rotate", "hadamard"), "no --kv with it"),
                          (("--kv", "--outliers", "0"), "no --kv"),
                          (("--kv", "-1"), "number of tokens"),
                          (("--kv", "--config", str(path)), "job of the layers"),
                          (("--decode", "511"), "number of decoded tokens"),
                          (("--decode", "-1"), "number of decoded tokens")):
        assert message in refused(capsys, *llama(*more, windows=1)), more
