"""`stamp-hw trace prefill`: a Llama whose linear layers are the golden model's, one chained to the next."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.prefill import hosted, run
from stamp_hw import hadamard
from stamp_hw.cli.main import main
from stamp_hw.config import NpuConfig
from stamp_hw.engine.linear import quantize_input, run_linear
from stamp_hw.formats.trace import Trace
from tests.support.prefill_cases import NAMES, TOKENS, make, words
from tests.support.refusals import refused

pytestmark = [pytest.mark.trace, pytest.mark.usefixtures("one_thread")]


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch")
    return make(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def whole(llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The layers of a run that nobody interrupted."""
    out = tmp_path_factory.mktemp("whole")
    assert prefill(llama, out) == 0
    return out


def prefill(llama: Path, out: Path, *more: str) -> int:
    return main(["trace", "prefill", *words(llama, *more), "--out", str(out)])


def index(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "prefill.json").read_text("utf-8"))
    return found


def test_every_layer_has_the_words_that_the_golden_model_gives_for_its_input(whole: Path, llama: Path) -> None:
    found = index(whole)
    assert [row["name"] for row in found["layers"]] == found["model_layers"] == NAMES
    config = NpuConfig.load(llama / "hw.yaml")
    for row in found["layers"]:
        with Trace(whole / f"{row['name']}.safetensors") as trace:
            layer = trace.layer(row["name"])
        own = config.for_kind(row["kind"]).with_job(hadamard=row["hadamard"])
        assert layer.outliers[:1] == (0,) and list(layer.outliers) == row["outliers"] and layer.x.shape[0] == TOKENS
        assert np.array_equal(np.load(whole / f"{row['name']}.npy"), run_linear(layer, own).sent), row["name"]


def test_layers_of_one_input_have_one_input_and_the_next_one_is_made_of_words(whole: Path) -> None:
    """q, k, v and gate, up read one tensor; down_proj's is silu(gate) · up of the words that these two gave."""
    import torch

    def of(name: str) -> tuple[Any, np.ndarray]:
        with Trace(whole / f"{name}.safetensors") as trace:
            layer = trace.layer(name)
        sent = np.load(whole / f"{name}.npy")
        taken = sent[len(layer.outliers) :].astype(np.float32)
        taken[list(layer.outliers)] = sent[: len(layer.outliers)]
        return layer, taken * np.float32(layer.s_y)

    for block in (0, 1):
        at = f"model.layers.{block}"
        q, k, v = (of(f"{at}.self_attn.{one}_proj")[0] for one in "qkv")
        (gate, gated), (up, upped) = of(f"{at}.mlp.gate_proj"), of(f"{at}.mlp.up_proj")
        assert np.array_equal(q.x, k.x) and np.array_equal(q.x, v.x) and np.array_equal(gate.x, up.x)
        made = (torch.nn.functional.silu(torch.from_numpy(gated)) * torch.from_numpy(upped)).numpy()
        assert np.array_equal(of(f"{at}.mlp.down_proj")[0].x, made)


def test_the_shift_is_the_least_at_which_no_token_of_the_calibration_saturates(
        llama: Path, whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run on the text of the calibration itself, and on one of its sequences: nothing saturates, and at a shift less
    something does in one of the layers at least."""
    own = whole.parent / "calibrated"
    text = str(llama / "calibration.txt")
    assert prefill(llama, own, "--text", text, "--sequences", "1", "--layers", "layers.0.self_attn.v") == 0
    config = NpuConfig.load(llama / "hw.yaml")
    for row in index(own)["layers"][:1]:  # the float model's input, as in the calibration: nothing is quantized before
        with Trace(own / f"{row['name']}.safetensors") as trace:
            layer = trace.layer(row["name"])
        kept = np.delete(layer.x, row["outliers"], axis=0)
        codes, _, _ = quantize_input(kept, layer.s_x, 0, config.hw.in_width)
        assert not hadamard.transform(codes, 16, row["hadamard"], 16)[1].any()
        assert row["hadamard"] == 0 or hadamard.transform(codes, 16, row["hadamard"] - 1, 16)[1].any()


def test_an_interrupted_run_goes_on_behind_the_layers_that_it_has(llama: Path, whole: Path, tmp_path: Path,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    real, ran = hosted.run_linear, []

    def counted(*given: Any) -> Any:
        if len(ran) == 5:
            raise KeyboardInterrupt
        ran.append(given[0].name)
        return real(*given)

    with monkeypatch.context() as patch:
        patch.setattr(hosted, "run_linear", counted)
        assert prefill(llama, tmp_path) == 130 and ran == NAMES[:5] and not (tmp_path / "prefill.json").exists()
        ran.clear()
        assert prefill(llama, tmp_path) == 130 and ran == NAMES[5:10]
    ran.clear()
    monkeypatch.setattr(hosted, "run_linear", lambda *given: ran.append(given[0].name) or real(*given))
    assert prefill(llama, tmp_path) == 0 and ran == NAMES[10:]
    for name in NAMES:
        assert (tmp_path / f"{name}.npy").read_bytes() == (whole / f"{name}.npy").read_bytes()
    assert prefill(llama, tmp_path) == 0 and ran == NAMES[10:], "all of it is there"


def test_other_settings_are_run_anew(llama: Path, whole: Path, tmp_path: Path) -> None:
    assert prefill(llama, tmp_path, "--layers", "layers.0.self_attn.q") == 0
    first = index(tmp_path)
    assert [row["name"] for row in first["layers"]] == NAMES[:1] and first["following"] == NAMES[1]
    assert first["perplexity"] is None and first["digest"] == index(whole)["digest"]
    assert prefill(llama, tmp_path, "--layers", "layers.0.self_attn.q", "--job", "hadamard=3") == 0
    assert index(tmp_path)["digest"] != first["digest"] and index(tmp_path)["layers"][0]["hadamard"] is None


def test_words_of_another_golden_model_are_made_anew(llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
                                                     ) -> None:
    """What the RTL is compared with is this code's: a digest of it is among the settings."""
    one = ("--layers", "layers.0.self_attn.q_proj")
    assert prefill(llama, tmp_path, *one) == 0
    (words_of,) = tmp_path.glob("*q_proj.npy")
    before, real = np.load(words_of), hosted.run_linear
    monkeypatch.setattr(hosted, "run_linear", lambda *given: replace(real(*given), sent=real(*given).sent + 1))
    assert prefill(llama, tmp_path, *one) == 0
    assert np.array_equal(np.load(words_of), before), "the same code, as far as its files tell"
    monkeypatch.setattr(run, "sources_digest", lambda *folders: "other code")
    assert prefill(llama, tmp_path, *one) == 0
    assert np.array_equal(np.load(words_of), before + 1)


def test_whoever_asks_gets_the_golden_models_inputs_for_its_words(llama: Path, whole: Path, tmp_path: Path,
                                                                 monkeypatch: pytest.MonkeyPatch,
                                                                 capsys: pytest.CaptureFixture[str]) -> None:
    answers = [json.dumps({"words": str(whole / f"{name}.npy")}) for name in NAMES]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(answers)))
    assert prefill(llama, tmp_path, "--ask") == 0
    *asked, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert [one["layer"] for one in asked] == NAMES and last == {"perplexity": index(whole)["perplexity"]}
    for one in asked:
        with Trace(Path(one["trace"])) as mine, Trace(whole / Path(one["trace"]).name) as right:
            assert np.array_equal(mine.layer(one["layer"]).x, right.layer(one["layer"]).x), one["layer"]


@pytest.mark.parametrize("answer", ["{}", "", "words", '{"words": "/nowhere.npy"}'])
def test_an_answer_that_is_none_is_one_line(llama: Path, tmp_path: Path, answer: str, monkeypatch: pytest.MonkeyPatch,
                                            capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    assert prefill(llama, tmp_path, "--ask") == 2
    captured = capsys.readouterr()
    assert json.loads(captured.out)["layer"] == NAMES[0] and captured.err.count("\n") == 1
    assert f"layer {NAMES[0]}: no answer; got {answer or 'the end of the input'}" in captured.err


@pytest.mark.parametrize(("change", "message"), [
    (("--model", "/nowhere"), "/nowhere: no such folder"),
    (("--tokens", "1"), "--tokens: no prefill; got 1; expected 2 tokens at least"),
    (("--tokens", "33"), "--tokens: too many tokens for the hardware; got 33; expected at most hw.max_tokens = 32"),
    (("--layers", "nobody"), "--layers: no linear layer matches; got nobody"),
    (("--layers", "("), "--layers: not a regular expression"),
    (("--job", "outliers=0"), "job.outliers"), (("--job", "calibration=self"), "job.calibration"),
    (("--hw", "max_k=64"), "layer model.layers.0.mlp.down_proj"),
    (("--text", "/nowhere.txt"), "/nowhere.txt"), (("--sequences", "9999"), "calibration.txt")])
def test_bad_input_is_one_line_and_leaves_nothing(llama: Path, tmp_path: Path, change: tuple[str, str], message: str,
                                                  capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(["trace", "prefill", *words(llama, *change), "--out", str(tmp_path / "out")], capsys)
    assert message in line and not list(tmp_path.iterdir())
