"""A wrong type in a public function is one of our errors, which says what it got, and not one of NumPy or Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from stamp_hw import Layer, NpuConfig, blocks, run_linear, scale
from stamp_hw.engine.wire_layer import WireLayer
from stamp_hw.errors import ConfigError, LayerError, StampError

CONFIG = NpuConfig()
X, W = np.ones((8, 4), np.float32), np.ones((3, 4), np.float32)
INTEGERS, CODES, BITS = np.ones((8, 4), np.int64), np.ones((8, 4), np.int8), np.full(8, 8)
LAYER = Layer("one", X, W)
QUANTIZED = scale.quantize(INTEGERS * 3, BITS, CONFIG)
PARTS = (np.ones((8, 3), np.int32), QUANTIZED, np.ones(3, np.int64), np.full(3, 40_000), np.full((1, 3), 30))
ODD = {"None": None, "text": "abc", "floats": np.ones((8, 4)), "list": [[1, 2]], "dict": {1: 2}, "nan": float("nan"),
       "objects": np.full((8, 4), None), "texts": np.full((8, 4), "a"), "complex": np.ones((8, 4), complex),
       "nans": np.full((8, 4), np.nan), "rank 3": np.ones((8, 4, 2), np.int64), "no rank": np.array(3)}


BLOCKS = {  # block and the arguments of its methods
    "hadamard": (blocks.Hadamard(NpuConfig().with_hw(hadamard=16)), (INTEGERS, 2)),
    "forward": (blocks.HaarForward(CONFIG), (INTEGERS, 2)), "inverse": (blocks.HaarInverse(CONFIG), (INTEGERS, 2)),
    "scale": (blocks.Scale(CONFIG), (INTEGERS, BITS)), "mac": (blocks.Mac(CONFIG), (CODES, CODES)),
    "combine": (blocks.Combine(CONFIG.with_hw(block=64)), (np.ones((4, 2, 3), np.int32), INTEGERS[:4, :2])),
    "rescale": (blocks.Rescale(CONFIG), PARTS), "engine": (blocks.Engine(CONFIG), (LAYER,))}
CALLS: dict[str, tuple[Callable[..., object], tuple[Any, ...]]] = {
    "run_linear": (run_linear, (LAYER, CONFIG)), "layer": (lambda x, weight: Layer("one", x, weight), (X, W)),
    "outliers": (lambda outliers: Layer("one", X, W, outliers=outliers), ((1,),)),
    "n_sink": (lambda n_sink: WireLayer("one", X, W, n_sink=n_sink), (1,)), "block": (blocks.Engine, (CONFIG,)),
    **{f"{name} {method}": (getattr(block, method), right)
       for name, (block, right) in BLOCKS.items() for method in ("compute", "cycles")}}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize(("call", "place"), [(name, place) for name, (_, right) in CALLS.items()
                                             for place in range(len(right))])
def test_an_odd_type_is_an_error_of_ours_that_fits_a_line(call: str, place: int, odd: str) -> None:
    ask, right = CALLS[call]
    ask(*right)
    with pytest.raises(ConfigError if right[place] is CONFIG else LayerError) as caught:
        ask(*right[:place], ODD[odd], *right[place + 1 :])
    assert len(str(caught.value)) < 300 and str(caught.value).isprintable()


@pytest.mark.parametrize("odd", ["text", "floats", "list", "dict", "nan", "objects", "texts", "rank 3"])
def test_what_is_no_grid_and_no_scale_is_an_error_of_ours(odd: str) -> None:
    """None stands for a sequence here, and for calibration on the tensor."""
    lifting = blocks.HaarForward(CONFIG)
    for call in (lambda value: Layer("one", X, W, grid=value), lambda value: Layer("one", X, W, s_x=value),
                 lambda value: lifting.compute(INTEGERS, 2, value), lambda value: lifting.cycles(INTEGERS, 2, value)):
        with pytest.raises(StampError):
            call(ODD[odd])


def test_the_message_says_what_it_got() -> None:
    for ask, message in (
            (lambda: run_linear(np.ones((8, 4)), CONFIG),  # type: ignore[arg-type]
             "run_linear: no Layer; got float64[8, 4]; expected an object of type Layer"),
            (lambda: run_linear(LAYER, None),  # type: ignore[arg-type]
             "run_linear: no NpuConfig; got None; expected an object of type NpuConfig"),
            (lambda: blocks.Scale(CONFIG).compute("abc", BITS),  # type: ignore[arg-type]
             "stamp_scale: c is no array of integers; got a value of type str; expected a NumPy array of integers")):
        with pytest.raises(StampError) as caught:
            ask()
        assert str(caught.value) == message


def test_numbers_of_numpy_are_numbers() -> None:
    layer = Layer("one", X, W, grid=(np.int64(2), np.int32(4)), s_x=np.float32(0.5), s_y=np.float64(2.0))  # type: ignore[arg-type]
    assert run_linear(layer, CONFIG).y.shape == (8, 3)
    assert blocks.HaarForward(CONFIG).cycles(INTEGERS, np.int8(2)) == blocks.HaarForward(CONFIG).cycles(INTEGERS, 2)  # type: ignore[arg-type]
    assert blocks.Rescale(CONFIG).compute(*PARTS).shape == (8, 3)  # type: ignore[arg-type]
