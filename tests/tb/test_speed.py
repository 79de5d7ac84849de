"""`stamp-hw bench` compares what is the same: both datapaths of a layer give its results."""

from __future__ import annotations

import numpy as np
import pytest

from stamp_hw.config import NpuConfig
from stamp_hw.engine import linear
from stamp_hw.layer import Layer
from tb.speed import golden


@pytest.mark.trace
def test_both_datapaths_are_of_the_same_integers(rng: np.random.Generator) -> None:
    pytest.importorskip("torch")
    x = rng.standard_normal((64, 24)).astype(np.float32)
    x[0] *= 100
    layer = Layer("bench", x, rng.standard_normal((8, 24)).astype(np.float32))
    result = linear.run_linear(layer, NpuConfig())
    made = golden.datapaths(layer, result, NpuConfig())
    assert np.array_equal(made["torch_datapath"](), result.y)  # type: ignore[call-overload]
    assert np.array_equal(made["numpy_datapath"]().y, result.y)  # type: ignore[attr-defined]
