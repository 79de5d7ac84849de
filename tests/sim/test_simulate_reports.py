"""`stamp-hw simulate`: what its tables and files show, of layers of several sorts (docs/simulate.md)."""

from __future__ import annotations

import csv
import hashlib
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim.cost.energy import COMPONENTS
from sim.studies import plots, tables
from sim.task import Shape, Task
from stamp_hw import schemes
from stamp_hw.cli.main import main
from stamp_hw.config import NpuConfig
from stamp_hw.engine import linear
from stamp_hw.formats.trace import Trace, TraceWriter
from tests.support.simulate_cases import ar1, document, run, write_one

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "models" / "traces" / "llama_small.safetensors"
HOROWITZ = ROOT / "sim" / "cost" / "energy_sets" / "horowitz45.yaml"


def test_the_json_has_the_promised_schema_and_the_csv_its_figures(toy: Path, tmp_path: Path) -> None:
    found = document(tmp_path, toy, "--csv", tmp_path / "out.csv", "--schemes", "a4,stamp")
    assert {"schema_version", "config", "energy_set", "layers", "totals"} <= set(found)
    assert found["schema_version"] == 2
    assert NpuConfig.from_dict(found["config"]) == NpuConfig()
    promised = {"cycles", "array_tiles", "tokens_per_s", "utilization", "energy_pj", "average_bits",
                "average_bits_with_scales", "sqnr_db", "output_sqnr_db"}
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as stream:
        rows = {(row["scope"], row["layer"], row["scheme"]): row for row in csv.DictReader(stream)}
    assert len(rows) == (4 + 1) * 2
    assert found["trace_sha256"] == hashlib.sha256(toy.read_bytes()).hexdigest()
    assert found["version"] == metadata.version("stamp-hw")
    for (scope, layer, scheme), row in rows.items():
        figures = found["totals"][scheme] if scope == "total" else found["layers"][layer][scheme]
        if scope == "layer":
            assert row["kind"] == figures["kind"] == layer[-4:] and float(row["headroom"]) == figures["headroom"]
            assert [int(row[key]) for key in ("tokens", "k", "n")] == [figures[key] for key in ("tokens", "k", "n")]
        assert int(row["y_saturated"]) == figures["saturated"]["y"]
        assert promised <= set(figures)
        assert all(float(row[field]) == figures[field] for field in promised)


def test_saturation_is_warned_of_with_its_share_and_a_layer_of_zeros_is_not_warned_of_headroom(tmp_path: Path) -> None:
    x = ar1(np.random.default_rng(2), 64, 16)
    small = write_one(tmp_path / "small.safetensors", x, origin={"calibration": "static: 2 sequences"},
                      s_x=float(np.abs(x).max()) / 32767 / 4, s_y=1e-6)
    figures = document(tmp_path, small, "--schemes", "stamp")["layers"]["one"]["stamp"]
    for key, size, what in (("x", 64 * 16, "inputs (x)"), ("z", 64 * 8, "output coefficients (z)"),
                            ("y", 64 * 8, "outputs (y)")):
        count = figures["saturated"][key]
        assert count and any(f"{count} of {size} {what} saturate" in notice["text"]
                             and notice["kind"] == f"{key}_saturated" for notice in figures["warnings"]), key
    zeros = write_one(tmp_path / "zeros.safetensors", np.zeros((64, 16)))
    assert document(tmp_path, zeros, "--schemes", "stamp")["layers"]["one"]["stamp"]["warnings"] == []


def test_trace_info_shows_a_headroom_that_an_int16_code_can_have(tmp_path: Path,
                                                                 capsys: pytest.CaptureFixture[str]) -> None:
    trace = write_one(tmp_path / "t.safetensors", ar1(np.random.default_rng(2), 64, 16),
                      origin={"calibration": "static: 2 sequences"}, s_x=2.0**-90, s_y=1.0)
    assert main(["trace", "info", str(trace)]) == 0
    assert any(line.startswith("one ") and line.endswith(" 32767") for line in capsys.readouterr().out.splitlines())


def test_tables_show_every_layer_scheme_and_origin(toy_report: dict[str, Any]) -> None:
    text = tables.render(toy_report)
    for wanted in (*schemes.SCHEMES, "0.down", "stamp − first_n", "stamp − shuffled", "bit-accurate model",
                   "RTL-checked", "horowitz45", "time to first token", "TOPS/W", *COMPONENTS):
        assert wanted in text, wanted


def test_a_single_scheme_of_each_kind_can_be_reported(toy: Path, tmp_path: Path) -> None:
    for scheme in schemes.SCHEMES:
        assert run(toy, "--schemes", scheme, "--layers", r"0\.down", "--plots", tmp_path / scheme) == 0


def test_a_report_of_two_dimensional_layers_uses_the_grid(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    with TraceWriter(tmp_path / "t.safetensors", {}) as writer:
        writer.add_input("x", ar1(rng, 15 * 11, 20), "float32")
        writer.add_layer(name="block", kind="q", input_key="x", weight=rng.standard_normal((10, 20)), bias=None,
                         grid=(15, 11))
    found = document(tmp_path, tmp_path / "t.safetensors", "--plots", tmp_path / "plots")
    assert found["layers"]["block"]["stamp"]["grid"] == [15, 11]
    # ceil(165 / 32) = 6 tokens at 8 bits; ceil(log2(165 / 6)) = 5 levels along a sequence, 3 along each axis
    assert (found["layers"]["block"]["stamp"]["n_hi"], found["layers"]["block"]["stamp"]["levels"]) == (6, 3)


def test_a_layer_without_transform_costs_and_quantizes_as_first_n_does(tmp_path: Path) -> None:
    """The mark of the trace reaches the golden model, the cost, the report, the table and the engine's registers."""
    x = ar1(np.random.default_rng(9), 128, 24)
    write_one(tmp_path / "plain", x, transform=False)
    write_one(tmp_path / "moved", x)
    plain, moved = (document(tmp_path, tmp_path / name)["layers"]["one"] for name in ("plain", "moved"))
    assert plain["stamp"] == plain["first_n"] and not plain["stamp"]["transform"]
    assert plain["stamp"]["energy_by_component"]["lifting"]["energy_pj"] == 0
    assert {**plain["first_n"], "transform": True} == moved["first_n"] != moved["stamp"]
    with Trace.open(tmp_path / "plain") as trace:
        layer, entry = trace.layer("one"), trace.entry("one")
    config = NpuConfig()
    assert linear.run_linear(layer, config).job.levels == 0 == Task.of(Shape.of(layer, config), config).job.levels
    from rtl_gen.delivery.program import layer_program

    made = layer_program("one", config, tokens=128, k=24, n=8, grid=None, outliers=(), transform=entry.transform)
    assert made.shape["levels"] == 0


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Layers that are transformed and that are not, some of them single vectors; five of seven layers of the model."""
    rng, path = np.random.default_rng(4), tmp_path / "mixed.safetensors"
    with TraceWriter(path, {"linear_layers": 7}) as writer:
        for name, tokens in (("time", 1), ("q", 128), ("text", 40), ("down", 96), ("pooled", 1)):
            writer.add_input(name, ar1(rng, tokens, 24), "float32")
            writer.add_layer(name=name, kind="any", input_key=name, weight=rng.standard_normal((8, 24)),
                             transform=tokens > 50)
    return path


def test_means_are_over_layers_that_are_transformed_and_the_others_stand_apart(
        mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A vector that all schemes but a4 hold at 8 bits would else be a gain of the transform's."""
    found = document(tmp_path, mixed, "--csv", tmp_path / "out.csv", "--plots", tmp_path / "plots")
    text = capsys.readouterr().out
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as stream:
        rows = {(row["scope"], row["scheme"]): row for row in csv.DictReader(stream) if row["scope"] != "layer"}
    for scheme, total in found["totals"].items():
        for field in ("sqnr_db", "output_sqnr_db"):
            means = {moved: np.mean([found["layers"][name][scheme][field] for name in names]) for moved, names in (
                (True, ("q", "down")), (False, ("time", "text", "pooled")))}
            assert total[field] == pytest.approx(means[True], abs=2e-4)
            assert total["untransformed"][field] == pytest.approx(means[False], abs=2e-4)
            assert float(rows["total", scheme][field]) == total[field]
            assert float(rows["untransformed", scheme][field]) == total["untransformed"][field]
        assert (total["layers"], total["untransformed"]["layers"], total["sqnr_db_layers"]) == (5, 3, 2)
        assert total["cycles"] == sum(layer[scheme]["cycles"] for layer in found["layers"].values()), "of all layers"
    table = [line.split() for line in text.split("SQNR of the quantized input by layer")[1].splitlines()]
    firsts = [line[0] if line[0] != "mean" else " ".join(line[:3]) for line in table[3:] if line]
    assert [name.rstrip("*") for name in firsts[:7]] == [
        "q", "down", "mean of 2", "time†", "text†", "pooled†", "mean of 3†"]
    gain = found["totals"]["stamp"]["sqnr_db"] - found["totals"]["a4"]["sqnr_db"]
    legend = plots.sqnr_by_layer(found).axes[1].get_legend()
    assert legend is not None and f"stamp: mean {gain:+.2f} dB" in [item.get_text() for item in legend.get_texts()]


def test_layers_of_one_sort_have_nothing_that_stands_apart(mixed: Path, tmp_path: Path) -> None:
    for layers, count in (("q|down", 2), ("time|text", 2), ("q", 1), ("text", 1)):
        found = document(tmp_path, mixed, "--layers", layers, "--csv", tmp_path / "out.csv", "--plots", tmp_path / "p")
        total = found["totals"]["stamp"]
        assert (total["layers"], total["untransformed"]) == (count, None)
        finite = [layer["stamp"]["sqnr_db"] for layer in found["layers"].values()]
        assert total["sqnr_db"] == pytest.approx(np.mean(finite), abs=2e-4)
        assert "untransformed" not in (tmp_path / "out.csv").read_text()


def test_a_rate_of_tokens_says_of_which_part_of_the_model_it_is(mixed: Path, toy: Path, tmp_path: Path,
                                                                capsys: pytest.CaptureFixture[str]) -> None:
    for trace, layers, said in ((mixed, "q", "1 of the model's 7 linear layers"),
                                (mixed, "", "5 of the model's 7 linear layers"),
                                (toy, "", "these 4 linear layers of a model")):
        found = document(tmp_path, trace, "--layers", layers, "--schemes", "a4,stamp")
        text = capsys.readouterr().out
        assert text.startswith(f"Totals: {said}, ") and "tokens/s of these" in text
        assert "tokens/s: of these layers alone, one after the other, and no rate of the model" in text
        assert found["model_linear_layers"] == (7 if trace == mixed else None)
        assert found["linear_layers"] == len(found["layers"])
    whole = write_one(tmp_path / "whole", ar1(np.random.default_rng(2), 16, 8), origin={"linear_layers": 1})
    assert run(whole) == 0 and capsys.readouterr().out.startswith("Totals: all the model's 1 linear layer, 16 tokens")


def test_a_step_of_a_picture_has_no_rate_of_tokens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = write_one(tmp_path / "t", ar1(np.random.default_rng(2), 64, 8), grid=(8, 8))
    found = document(tmp_path, trace)
    assert "tokens/s" not in (text := capsys.readouterr().out) and "first token" not in text
    assert found["totals"]["stamp"]["tokens_per_s"] is None is found["totals"]["stamp"]["time_to_first_token_s"]
    assert found["layers"]["one"]["stamp"]["tokens_per_s"] > 0, "of the layer alone"
