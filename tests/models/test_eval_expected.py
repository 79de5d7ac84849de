"""`stamp-hw eval --predict`: a layer's noise and gradient by their definition, and what it costs in the end."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from stamp_hw.config import NpuConfig
from tests.support.eval_cases import LLAMA, evaluated, llama, refused

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.trace, pytest.mark.usefixtures("one_thread")]


def test_noise_and_gradient_of_the_output_layer_are_those_of_its_definition() -> None:
    """The gradient of log p at the logits is one at the drawn token less p; the noise is the layer's own."""
    from models.evaluate.expected import look
    from models.evaluate.integer_model import IntegerModel
    from models.load.checkpoint import load, sequences
    from models.load.kinds import survey

    checkpoint = load(str(LLAMA), "float32")
    row = sequences(checkpoint, LLAMA / "heldout.txt", 1, 32)[0]
    found = survey(checkpoint.model, "causal", "lm_head").layers
    config = NpuConfig()
    seen = []
    look(checkpoint.model, IntegerModel(checkpoint.model, found, config), {"a": config}, row, 5,
         lambda layer, name, *what: seen.append((layer, name, *what)))
    (layer, name, noise, output, gradient), = seen
    assert (layer, name) == ("lm_head", "a")
    with torch.no_grad():
        hidden = checkpoint.model.model(input_ids=torch.from_numpy(row)[None]).last_hidden_state
        logits = checkpoint.model.lm_head(hidden)[0]
        fresh = IntegerModel(checkpoint.model, found, config)
        assert torch.equal(output, logits) and torch.equal(noise, fresh.output("lm_head", config, hidden)[0] - logits)
    p = logits[:-1].softmax(-1)
    drawn = torch.multinomial(torch.log_softmax(logits[:-1], -1).exp(), 1,
                              generator=torch.Generator().manual_seed(5))
    want = torch.zeros_like(logits)
    want[:-1] = -p
    want[:-1].scatter_add_(1, drawn, torch.ones(len(p), 1))
    assert torch.allclose(gradient, want, rtol=0, atol=1e-5) and float(want.abs().max()) > 0.5


def test_a_token_s_channels_are_added_before_they_are_squared() -> None:
    from models.evaluate.expected import contribution

    noise = torch.tensor([[1.0, -1.0], [2.0, 3.0]])
    assert contribution(noise, torch.tensor([[2.0, 2.0], [1.0, 1.0]])) == 0.5 * (0 + 25)


@pytest.mark.parametrize("layers", ["lm_head", "layers.3", ""], ids=["output", "block", "model"])
def test_what_is_expected_is_about_what_it_costs(layers: str, tmp_path: Path) -> None:
    """Drawn tokens and independent layers are an estimate: within a factor, and in the right order."""
    run = ("--layers", layers) if layers else ()
    rows = evaluated(tmp_path, *llama("--schemes", "a8,stamp,a4", "--length", "256", "--predict", *run, windows=2))
    for name in ("a8", "stamp", "a4"):
        row = rows[name]
        assert 0.6 < row["expected_kl"] / row["kl"] < 1.4, name
        assert row["expected_kl"] == pytest.approx(sum(row["expected_by_layer"].values()))
        assert set(row["expected_by_layer"]) == set(row["layers"]) and min(row["expected_by_layer"].values()) > 0
    assert rows["a8"]["expected_kl"] < rows["stamp"]["expected_kl"] < rows["a4"]["expected_kl"]
    assert "expected_kl" not in rows["float"] and "expected_kl" not in rows["weights"]


def test_a_prediction_changes_no_other_figure_and_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]
                                                             ) -> None:
    run = llama("--schemes", "stamp", "--length", "48", "--layers", "layers.1", windows=1)
    plain = evaluated(tmp_path, *run)
    assert "expected" not in capsys.readouterr().out
    row = evaluated(tmp_path, *run, "--predict")["stamp"]
    printed = capsys.readouterr().out
    assert {key: row[key] for key in plain["stamp"]} == plain["stamp"]
    most = max(row["expected_by_layer"], key=lambda name: row["expected_by_layer"][name])
    listed = printed[printed.index("add most to the KL divergence under stamp:"):].splitlines()
    assert most in listed[3] and " expected" in printed.splitlines()[0]


def test_what_cannot_be_predicted_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for more, got in ((("--decode", "4"), "--decode"), (("--kv",), "--kv")):
        assert f"only the layers of a prefill are predicted; got {got}" in refused(capsys, *llama("--predict", *more))


def test_rank_correlation_and_fit_find_a_law_and_miss_none() -> None:
    from models.evaluate.predictors import fit, ranks, spearman

    kl = [0.01, 0.1, 1.0, 10.0]
    assert ranks([3, 1, 3, 9]).tolist() == [1.5, 0, 1.5, 3]
    assert spearman([1, 2, 3, 4], kl) == pytest.approx(1) and spearman([4, 3, 2, 1], kl) == pytest.approx(-1)
    law = fit("by_token", [2 * one**0.5 for one in kl], kl)
    assert (law["slope"], law["factor"]) == (pytest.approx(2), pytest.approx(1))
    assert fit("worst_db", [10 * float(np.log10(one)) for one in kl], kl)["slope"] == pytest.approx(1)
    assert fit("by_token", [1.0, 3.0, 2.0, 4.0], kl)["factor"] > 1.5


def test_the_study_ranks_what_it_has_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three configurations: the report has a row each, and a fit of every candidate that is that of its rows."""
    from models.evaluate import predictors

    monkeypatch.setattr(predictors, "SETS", ((8, None, "auto", ("a8", "stamp", "a4")),))
    out = tmp_path / "study.json"
    assert predictors.main(["--model", str(LLAMA), "--text", str(LLAMA / "heldout.txt"), "--calibration",
                            str(LLAMA / "calibration.txt"), "--json", str(out), "--length", "64"]) == 0
    found = json.loads(out.read_text("utf-8"))
    kl = [row["kl"] for row in found["rows"]]
    assert [row["scheme"] for row in found["rows"]] == ["a8", "stamp", "a4"] and kl == sorted(kl)
    for name, one in found["fits"].items():
        assert one == predictors.fit(name, [row["candidates"][name] for row in found["rows"]], kl)
    assert found["fits"]["by_token"]["spearman"] == pytest.approx(1)
