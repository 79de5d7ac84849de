"""`stamp-hw bench` compares what is the same: both datapaths of a layer give its results, and every round of a sweep
has points of its own."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager

import numpy as np
import pytest

from sim.sweep.kept import Kept
from sim.sweep.workers import Workers, local
from stamp_hw.config import NpuConfig
from stamp_hw.engine import linear
from stamp_hw.layer import Layer
from tb.commands import speed
from tb.speed import golden, model, sweep


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
    small = ("workload: {{tokens: 64, k: 64, n: 64}}\n"
             "axes: {{hw.freq_hz: [{freq_hz}], job.n_hi: [0, 4], hw.dram_bytes_per_s: {bytes_per_s}}}\n")
    monkeypatch.setattr(sweep, "SWEEP", small)
    runs: list[tuple[int, dict[int, str]]] = []

    class Watched(Kept):
        def finish(self) -> None:
            runs[-1][1].update(self.lines)
            super().finish()

    def watched(processes: int) -> AbstractContextManager[Workers]:
        runs.append((processes, {}))
        return local(processes)

    monkeypatch.setattr(sweep, "Kept", Watched)
    monkeypatch.setattr(sweep, "local", watched)
    found = sweep.measure()
    assert found["sweep_points"] == 8 and min(found.values()) > 0
    assert found["sweep_two_workers"] == found["sweep_one_s"] / found["sweep_two_s"]
    assert [processes for processes, _ in runs] == [1, 2] * sweep.ROUNDS
    points = [[json.loads(line) for _, line in sorted(lines.items())] for _, lines in runs]
    assert len({json.dumps(point["values"]) for run in points for point in run}) == 8 * len(runs), "each once"
    cycles = {tuple(point["schemes"]["stamp"]["cycles"] for point in run) for run in points}
    assert len(cycles) == 1, "and of the same work"


def test_every_case_of_a_whole_model_is_measured_and_has_a_goal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "WORDS", ("simulate", "--model", "smollm2-135m", "--prefill", "16", "--decode", "0"))
    monkeypatch.setattr(model, "REPEATS", 1)
    figures = model.measure()
    assert set(figures) == {f"llama3_8b_{case}_{unit}" for case in ("model", "memory", "searched")
                            for unit in ("s", "mb")}
    assert min(figures.values()) > 0 and set(figures) <= set(speed.goals()[0])


def test_what_is_printed_stands_below_what_it_is_of() -> None:
    most, least = speed.goals()
    figures = {**most, "sweep_points": 4.0, "sweep_one_s": 2.0, **least}
    order = sorted(figures, key=lambda name: name.split("_")[0])
    lines = speed.render({name: figures[name] for name in order}).splitlines()
    assert [name for name in order] == [line.split()[0] for line in lines if line.startswith("  ")]
    heading = ""
    for line in lines:
        if not line.startswith("  "):
            heading = line
        elif line.startswith("  sweep_"):
            assert heading.startswith("A sweep of one layer") and "by the clock" in heading
        elif line.startswith("  llama3_8b_"):
            assert "Llama-3-8B" in heading
        assert ("goal" in line) == (line.startswith("  ") and line.split()[0] in {*most, *least})
    assert all(speed.met(figures).values()) and not any(speed.met({name: 1e9 if name in most else 0.0
                                                                   for name in figures}).values())
