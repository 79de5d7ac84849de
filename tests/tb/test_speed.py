"""`stamp-hw bench` compares what is the same: both datapaths of a layer give its results, and every round of a sweep
has points of its own."""

from __future__ import annotations

import numpy as np
import pytest

from stamp_hw.config import NpuConfig
from stamp_hw.engine import linear
from stamp_hw.layer import Layer
from tb.speed import golden, sweep


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


def test_no_round_of_a_sweep_finds_what_another_has_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "SWEEP", "workload: {{tokens: 64, k: 64, n: 64}}\n"
                                        "axes: {{hw.freq_hz: [{freq_hz}], job.n_hi: [0, 4]}}\n")
    seen: list[tuple[str, int]] = []
    swept = sweep._swept
    monkeypatch.setattr(sweep, "_swept", lambda freq_hz, processes: seen.append((freq_hz, processes))
                        or swept(freq_hz, processes))
    found = sweep.measure()
    assert found["sweep_points"] == 2 and min(found.values()) > 0
    assert len({freq_hz for freq_hz, _ in seen}) == len(seen) == 2 * sweep.ROUNDS
    assert [processes for _, processes in seen] == [1, 2] * sweep.ROUNDS
