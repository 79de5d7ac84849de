"""Attention sinks: found, kept out of the transform, and what that is worth to a model that was given one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stamp_hw import sinks
from stamp_hw.cli.main import main
from stamp_hw.config import NpuConfig
from stamp_hw.engine import linear
from stamp_hw.formats.trace import Trace
from stamp_hw.layer import Layer
from tests.support.dump_cases import command
from tests.support.golden_cases import SEED, reproduce  # noqa: F401

LLAMA = Path(__file__).parents[2] / "models" / "llama_small"
TRACE = LLAMA.parent / "traces" / "llama_small.safetensors"
DOWN = "model.layers.1.mlp.down_proj"


def drawn(loud: dict[int, float]) -> np.ndarray:
    """float32[64, 32] of norms near 1, and tokens of so many times that."""
    x = np.random.default_rng(SEED).standard_normal((64, 32)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    for token, ratio in loud.items():
        x[token] *= ratio
    return x


@pytest.mark.parametrize(("loud", "outliers", "leading"), [
    ({}, [], 0),
    ({0: 9.0}, [], 0),
    ({0: 11.0}, [0], 1),
    ({0: 300.0, 3: 40.0}, [0, 3], 4),
    ({15: 20.0}, [15], 16),
    ({16: 20.0}, [16], 0),
    ({0: 0.0}, [], 0),
])
def test_outliers_are_told_by_their_norm_and_sinks_are_the_leading_ones(loud: dict[int, float], outliers: list[int],
                                                                        leading: int) -> None:
    x = drawn(loud)
    assert sinks.outliers(x).tolist() == outliers
    assert sinks.leading_sinks(x) == leading
    if leading:
        config = NpuConfig()
        layer = Layer("drawn", x, np.eye(32, dtype=np.float32), n_sink=leading)
        assert linear.run_linear(layer, config).sqnr_db > 15, "the job takes them"


def test_short_and_silent_inputs_have_no_sinks() -> None:
    assert sinks.leading_sinks(np.ones((1, 4), np.float32)) == 0
    assert sinks.leading_sinks(np.zeros((5, 4), np.float32)) == 0
    assert sinks.leading_sinks(np.array([[1000.0], [1.0], [1.0]], np.float32)) == 1


def test_the_trace_that_ships_has_none() -> None:
    with Trace.open(TRACE) as trace:
        largest = max(sinks.norm_ratios(trace.layer(name).x).max() for name in trace.layer_names)
    assert largest < 0.6 * sinks.OUTLIER_RATIO, "the threshold's reason says below 6"


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the small Llama with a sink in its BOS."""
    pytest.importorskip("torch")
    from models.train.plant_sink import main as plant

    folder = tmp_path_factory.mktemp("planted")
    assert plant(["--out", str(folder)]) == 0
    return folder


@pytest.mark.trace
@pytest.mark.usefixtures("one_thread")
def test_a_dump_finds_the_sink_and_keeps_it_out_of_the_scale(planted: Path, tmp_path: Path,
                                                             capsys: pytest.CaptureFixture[str]) -> None:
    out = {name: tmp_path / f"{name}.safetensors" for name in ("0", "auto")}
    for name, path in out.items():
        assert command("dump", "--model", str(planted), "--text", str(LLAMA / "heldout.txt"), "--out", str(path),
                       "--length", "200", "--layers", r"layers\.1\.mlp", "--sinks", name) == 0
    with Trace.open(out["auto"]) as found, Trace.open(out["0"]) as plain:
        assert found.metadata["sinks"].startswith("1 (") and DOWN in found.metadata["sinks"]
        layers = {"auto": found.layer(DOWN), "0": plain.layer(DOWN)}
    assert layers["auto"].n_sink == 1 and layers["0"].n_sink == 0
    assert np.array_equal(layers["auto"].x, layers["0"].x)
    assert sinks.norm_ratios(layers["0"].x)[0] > 100, "at least 100 times the median norm"
    assert sinks.outliers(layers["0"].x[1:]).size == 0
    capsys.readouterr()
    for name, seen in (("0", True), ("auto", False)):
        assert command("info", str(out[name])) == 0
        assert (f"outlier norms: {DOWN}: token 0" in capsys.readouterr().out) == seen
    # The golden model: the other tokens get their range back, and no coefficient holds a part of the sink.
    noise = {}
    for name, layer in layers.items():
        result = linear.run_linear(layer, NpuConfig())
        body = layer.x[1:]
        error = linear.reconstruct(result.quantized, result.job)[1:] * result.s_x - body
        noise[name] = 10 * np.log10(np.square(body).sum() / np.square(error).sum())
    assert noise["auto"] > noise["0"] + 5, noise


@pytest.mark.trace
@pytest.mark.usefixtures("one_thread")
def test_the_running_model_needs_its_sink_kept_out(planted: Path, tmp_path: Path) -> None:
    config = tmp_path / "w8.yaml"
    config.write_text("job: {weight_bits: 8}\n", "utf-8")
    rows: dict[str, dict[str, Any]] = {}
    for name in ("0", "auto"):
        out = tmp_path / f"{name}.json"
        assert main(["eval", "--model", str(planted), "--text", str(LLAMA / "heldout.txt"), "--sequences", "2",
                     "--schemes", "a4,stamp", "--config", str(config), "--sinks", name, "--json", str(out)]) == 0
        document = json.loads(out.read_text("utf-8"))
        assert document["sinks"].startswith("1 (" if name == "auto" else "0")
        rows[name] = {row["scheme"]: row for row in document["rows"]}
    assert rows["auto"]["float"] == rows["0"]["float"]
    assert rows["auto"]["stamp"]["kl"] < 0.95 * rows["0"]["stamp"]["kl"], "one layer of 43 has a sink"
    assert (rows["auto"]["stamp"]["layers"][DOWN]["sqnr_db"] > rows["0"]["stamp"]["layers"][DOWN]["sqnr_db"] + 5)
