"""Outlier tokens of running models: found, kept out of the transform, and what that is worth to one that has a sink."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stamp_hw import outliers
from stamp_hw.cli.main import main
from stamp_hw.config import NpuConfig
from stamp_hw.engine import linear
from stamp_hw.engine.wire_layer import arrange
from stamp_hw.formats.trace import Trace
from tests.support.dump_cases import command

LLAMA = Path(__file__).parents[2] / "models" / "llama_small"
TRACE = LLAMA.parent / "traces" / "llama_small.safetensors"
DOWN = "model.layers.1.mlp.down_proj"


def ratios(x: np.ndarray) -> np.ndarray:
    """Absmax of each token over the median token's."""
    absmax = np.abs(x).max(axis=1)
    return absmax / np.median(absmax)


def test_the_trace_that_ships_has_none() -> None:
    with Trace.open(TRACE) as trace:
        assert all(ratios(trace.layer(name).x).max() < outliers.RATIO for name in trace.layer_names)
        assert not any(trace.entry(name).outliers for name in trace.layer_names)


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
    out = {name: tmp_path / f"{name}.safetensors" for name in ("off", "auto")}
    for name, path in out.items():
        assert command("dump", "--model", str(planted), "--text", str(LLAMA / "heldout.txt"), "--out", str(path),
                       "--length", "200", "--layers", r"layers\.1\.mlp", "--outliers", name) == 0
    with Trace.open(out["auto"]) as found, Trace.open(out["off"]) as plain:
        assert found.entry(DOWN).threshold and plain.entry(DOWN).threshold is None
        layers = {"auto": found.layer(DOWN), "off": plain.layer(DOWN)}
    assert layers["auto"].outliers == (0,) and layers["off"].outliers == ()
    assert np.array_equal(layers["auto"].x, layers["off"].x)
    assert ratios(layers["off"].x)[0] > 30 and ratios(layers["off"].x[1:]).max() < outliers.RATIO
    capsys.readouterr()
    for name, seen in (("off", True), ("auto", False)):
        assert command("info", str(out[name])) == 0
        shown = capsys.readouterr().out.split("in the transform (`trace dump")
        assert (len(shown) == 2 and f"  {DOWN}: 1: token 0" in shown[1]) == seen
    # The golden model: the other tokens get their range back, and no coefficient holds a part of the sink.
    noise = {}
    for name, layer in layers.items():
        result = linear.run_linear(layer, NpuConfig())
        body = layer.x[1:]
        own = arrange(layer, NpuConfig()).own
        error = linear.reconstruct(result.quantized, result.job)[own][1:] * result.s_x - body
        noise[name] = 10 * np.log10(np.square(body).sum() / np.square(error).sum())
    assert noise["auto"] > noise["off"] + 5, noise


@pytest.mark.trace
@pytest.mark.usefixtures("one_thread")
def test_the_running_model_needs_its_sink_kept_out(planted: Path, tmp_path: Path) -> None:
    config = tmp_path / "w8.yaml"
    config.write_text("job: {weight_bits: 8}\n", "utf-8")
    rows: dict[str, dict[str, Any]] = {}
    for name in ("off", "auto"):
        out = tmp_path / f"{name}.json"
        assert main(["eval", "--model", str(planted), "--text", str(LLAMA / "heldout.txt"), "--sequences", "2",
                     "--schemes", "a4,stamp", "--config", str(config), "--outliers", name, "--json", str(out)]) == 0
        document = json.loads(out.read_text("utf-8"))
        assert document["outliers"] == name
        rows[name] = {row["scheme"]: row for row in document["rows"]}
    assert rows["auto"]["float"] == rows["off"]["float"]
    assert rows["auto"]["stamp"]["kl"] < rows["off"]["stamp"]["kl"], "one layer of 43 has a sink"
    assert (rows["auto"]["stamp"]["layers"][DOWN]["sqnr_db"] > rows["off"]["stamp"]["layers"][DOWN]["sqnr_db"] + 5)
