"""`stamp-hw ablate` on real dumps of image models: a grid of 4 × 6 tokens, layers by step, fitted on other prompts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.ablate_cases import document, row
from tests.support.image_models import FAMILIES, dump
from tests.support.simulate_cases import document as simulated

pytestmark = [pytest.mark.trace, pytest.mark.usefixtures("one_thread")]


@pytest.mark.parametrize("family", FAMILIES)
def test_an_image_trace_is_compared_in_2_d_and_fitted_on_other_prompts_and_seeds(
        family: str, pipelines: dict[str, Path], tmp_path: Path) -> None:
    trace = dump(pipelines[family], tmp_path / "measured")
    fit = dump(pipelines[family], tmp_path / "fit", "--seed", "5")
    only = ("--layers", r"(blocks\.1|time_embed|adaln).*@prompt1\.step3")
    report = document(tmp_path, trace, "--fit", fit, *only)
    assert len(report["layers"]) == 8 and len(report["skipped_layers"]) == 5
    assert report["fit_sequences"] == 2, "both prompts, at the same step"
    # 4 × 6 (or 4 × 5) tokens, one of them at 8 bits: 3 levels reach every axis.
    stamp = simulated(tmp_path, trace, *only)["layers"]
    found = row(report, "haar", levels=3)["layers"]
    for name in report["layers"]:
        assert found[name]["engine_sqnr_db"] == stamp[name]["stamp"]["sqnr_db"]
    for r in report["rows"]:
        for name, figures in r["layers"].items():
            assert 0 < figures["noise_over_bound"] <= 1, (name, r["label"])
    transforms = {r["transform"] for r in report["rows"]}
    assert transforms == {"identity", "haar", "haar_1d", "dct", "klt"}, "no walsh: sides of 6 and 5"
