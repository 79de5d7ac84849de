"""Weights of a trace as codes with a scale a channel: what is written is read, what does not fit is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stamp_hw.errors import TraceError
from stamp_hw.formats.trace import Trace, TraceWriter
from stamp_hw.weights import quantize_weights
from tests.support.trace_attacks import assemble, data_start, read_header


def refused(path: Path, message: str) -> None:
    with pytest.raises(TraceError, match=message) as caught, Trace.open(path) as trace:
        list(trace)
    assert str(path) in str(caught.value) and str(caught.value).isprintable()


def test_integer_weights_have_a_scale_a_channel_and_are_what_a_layer_of_8_bits_takes(
        tmp_path: Path, rng: np.random.Generator) -> None:
    weights = quantize_weights(rng.normal(size=(6, 5)).astype(np.float32), 8)
    scale = weights.scale.astype(np.float32)
    with TraceWriter(tmp_path / "t", {}) as writer:
        writer.add_input("x", np.ones((4, 5)), "float16")
        writer.add_layer(name="a", kind="q", input_key="x", weight=weights.codes, weight_scale=scale)
        with pytest.raises(TraceError, match="layer b, weight: not codes; got float64; expected int8"):
            writer.add_layer(name="b", kind="q", input_key="x", weight=np.ones((6, 5)), weight_scale=scale)
    with TraceWriter(tmp_path / "v", {}) as writer:
        writer.add_input("x", np.ones((4, 5)), "float16")
        for wrong in (-scale, 0 * scale, np.full(6, 3e38, np.float32)):
            with pytest.raises(TraceError, match=r"layer c, weight_scale: weight_scale out of range; got .*2\^-100"):
                writer.add_layer(name="c", kind="q", input_key="x", weight=weights.codes, weight_scale=wrong)
        writer.add_layer(name="a", kind="q", input_key="x", weight=np.ones((1, 5)))
    assert (tmp_path / "t").stat().st_size < 2 * 20 + 6 * 5 + 4 * 6 + 8 + 1000
    with Trace.open(tmp_path / "t") as trace:
        layer = trace.layer("a")
        assert trace.tensor(trace.entry("a").weight).dtype == "int8"
    np.testing.assert_array_equal(layer.weight, weights.codes * scale[:, None])
    np.testing.assert_array_equal(quantize_weights(layer.weight, 8).codes, weights.codes)


@pytest.mark.parametrize(("change", "message"), [
    ({"weight_scale": None}, "weight has the wrong dtype"), ({"weight_scale": "input.x"}, "weight_scale has the wrong"),
    ({"weight_scale": "scale.b"}, "weight_scale does not fit weight"), ({"weight_scale": 3}, "weight_scale is malform"),
    ({"weight_scale": "no"}, "weight_scale tensor is missing"), ({"weight": "weight.c"}, "weight has the wrong dtype"),
    ({"bias": "weight.a"}, "bias has the wrong shape")])
def test_codes_and_their_scales_that_do_not_fit_are_refused(tmp_path: Path, change: dict[str, Any], message: str
                                                            ) -> None:
    codes = np.ones((2, 3), np.int8)
    with TraceWriter(tmp_path / "t", {}) as writer:
        writer.add_input("x", np.ones((4, 3)), "float32")
        writer.add_layer(name="a", kind="q", input_key="x", weight=codes, weight_scale=np.ones(2))
        writer.add_layer(name="b", kind="q", input_key="x", weight=codes[:1], weight_scale=np.ones(1))
        writer.add_layer(name="c", kind="q", input_key="x", weight=np.ones((2, 3)))
    header, data = read_header(tmp_path / "t"), (tmp_path / "t").read_bytes()[data_start(tmp_path / "t"):]
    stamp = json.loads(header["__metadata__"]["stamp"])
    stamp["layers"][0] |= change
    header["__metadata__"]["stamp"] = json.dumps({**stamp, "layers": stamp["layers"][:1]})
    refused(assemble(tmp_path / "u", header, data), message)


@pytest.mark.parametrize("scale", [-1.0, 0.0, 3e38])
def test_a_scale_in_a_file_that_no_layer_may_have_is_refused(tmp_path: Path, scale: float) -> None:
    with TraceWriter(tmp_path / "t", {}) as writer:
        writer.add_input("x", np.ones((4, 3)), "float32")
        writer.add_layer(name="a", kind="q", input_key="x", weight=np.ones((1, 3), np.int8),
                         weight_scale=np.full(1, 0.5))
    good = (tmp_path / "t").read_bytes()
    assert good.endswith(np.float32(0.5).tobytes()), "the scale is the last tensor"
    (tmp_path / "u").write_bytes(good[:-4] + np.float32(scale).tobytes())
    refused(tmp_path / "u", "tensor scale.a: weight_scale out of range")
