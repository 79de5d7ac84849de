"""`stamp-hw simulate`: figures, energy, reports, plots and refusals (docs/simulate.md)."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim.cost.energy import COMPONENTS
from sim.studies import plots, report, tables
from sim.task import Shape, Task
from stamp_hw import schemes
from stamp_hw.cli.main import main
from stamp_hw.config import NpuConfig
from stamp_hw.engine import linear, super_tile
from stamp_hw.errors import OutputError, StampError
from stamp_hw.formats.trace import Trace, TraceWriter
from tests.support.simulate_cases import NARROW, TOKENS, WIDE, ar1, document, run, write_one, write_trace

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "models" / "traces" / "llama_small.safetensors"
HOROWITZ = ROOT / "sim" / "cost" / "energy_sets" / "horowitz45.yaml"


# Figures


@pytest.mark.skipif(not SHIPPED.is_file(), reason="the shipped trace is not in this checkout")
def test_on_the_shipped_trace_stamp_beats_first_n_at_equal_bits_and_stays_close_to_a4_in_cycles(tmp_path: Path) -> None:
    totals = document(tmp_path, SHIPPED, "--schemes", "a4,first_n,stamp")["totals"]
    assert totals["stamp"]["sqnr_db"] > totals["first_n"]["sqnr_db"]
    assert totals["stamp"]["average_bits"] == totals["first_n"]["average_bits"]
    assert totals["stamp"]["cycles"] <= 1.05 * totals["a4"]["cycles"]


def test_stamp_beats_first_n_and_its_own_shuffled_control_on_correlated_tokens(toy_report: dict[str, Any]) -> None:
    totals = toy_report["totals"]
    assert totals["a8"]["sqnr_db"] > totals["stamp"]["sqnr_db"] > totals["first_n"]["sqnr_db"] + 1
    assert totals["stamp"]["sqnr_db"] > totals["stamp_shuffled"]["sqnr_db"] + 1
    assert totals["stamp"]["cycles"] == totals["stamp_shuffled"]["cycles"]


def test_average_bits_count_every_token_and_with_scales_lo_and_span(toy_report: dict[str, Any]) -> None:
    high = TOKENS // 32
    for name, k in (("model.layers.0.q", WIDE), ("model.layers.0.down", NARROW)):
        figures = toy_report["layers"][name]
        assert figures["a8"]["average_bits"] == 8 and figures["a4"]["average_bits"] == 4
        for scheme in ("first_n", "stamp", "stamp_shuffled"):
            assert figures[scheme]["average_bits"] == (8 * high + 4 * (TOKENS - high)) / TOKENS
            # lo and span of one group a token, as wide as a coefficient: 18 bits each
            wanted = figures[scheme]["average_bits"] + 2 * 18 / k
            assert figures[scheme]["average_bits_with_scales"] == pytest.approx(wanted, rel=1e-8)


def test_totals_are_sums_and_means_of_the_layers(toy_report: dict[str, Any]) -> None:
    for scheme in schemes.SCHEMES:
        total, layers = toy_report["totals"][scheme], [figures[scheme] for figures in toy_report["layers"].values()]
        for field in ("cycles", "array_tiles", "super_tiles", "macs", "dram_bytes", "fill_cycles"):
            assert total[field] == sum(layer[field] for layer in layers), field
        for field in ("energy_pj", "time_s"):
            assert total[field] == pytest.approx(sum(layer[field] for layer in layers), rel=1e-7), field
        for field in ("sqnr_db", "output_sqnr_db"):
            assert total[field] == pytest.approx(np.mean([layer[field] for layer in layers]), abs=2e-4), field
        assert total["time_to_first_token_s"] == total["time_s"]
        assert total["tokens_per_s"] == pytest.approx(TOKENS / total["time_s"], rel=1e-7)
        for component in COMPONENTS:
            parts = [layer["energy_by_component"][component] for layer in layers]
            assert total["energy_by_component"][component]["energy_pj"] == pytest.approx(
                sum(part["energy_pj"] for part in parts), rel=1e-7)
            for event, entry in total["energy_by_component"][component]["events"].items():
                assert entry["count"] == sum(part["events"][event]["count"] for part in parts)


def test_a_layers_figures_follow_from_its_counts(toy_report: dict[str, Any]) -> None:
    for figures in (f for layer in toy_report["layers"].values() for f in layer.values()):
        assert figures["cycles"] == sum(figures["cycles_by_part"].values())
        seconds = figures["cycles"] / 500e6
        assert figures["time_s"] == pytest.approx(seconds, rel=1e-8)
        assert figures["tops"] == pytest.approx(2 * TOKENS * figures["k"] * figures["n"] / seconds / 1e12, rel=1e-8)
        assert figures["power_w"] == pytest.approx(figures["energy_pj"] * 1e-12 / seconds, rel=1e-7)
        assert figures["tops_per_w"] == pytest.approx(figures["tops"] / figures["power_w"], rel=1e-7)
        assert figures["energy_pj"] == pytest.approx(
            sum(part["energy_pj"] for part in figures["energy_by_component"].values()), rel=1e-7)
        # 8-bit tokens fill a row slot, 4-bit tokens half of one; 64 row slots and columns work a cycle.
        slots = TOKENS * figures["average_bits"] / 8 * figures["k"] * figures["n"]
        assert figures["utilization"] == pytest.approx(slots / 64 / figures["cycles"], rel=1e-7)
        assert figures["utilization"] <= 1
        # A byte a weight; both layers fill whole column tiles, and beats of 16 channels but for K = 40.
        weights = figures["k"] * figures["n"] * figures["super_tiles"]
        assert figures["dram_bytes_by_operand"]["weights"] == weights
        assert figures["dram_bytes_by_operand"]["activations"] == 2 * TOKENS * -(-figures["k"] // 16) * 16
        assert figures["dram_bytes_by_operand"]["outputs"] == 2 * TOKENS * figures["n"]


def test_the_array_multiplies_as_often_as_its_tiles_have_steps(toy_report: dict[str, Any]) -> None:
    for figures in (f for layer in toy_report["layers"].values() for f in layer.values()):
        count = {name: event["count"] for name, event in figures["energy_by_component"]["mac"]["events"].items()}
        assert count["multiply_8bit_row"] + count["multiply_4bit_row"] == figures["array_tiles"] * figures["k"] * 64
        assert count["accumulate"] == count["multiply_8bit_row"] + 2 * count["multiply_4bit_row"]
        assert count["accumulate"] >= figures["macs"]


def test_changing_one_layer_changes_its_figures_and_no_other_layers(toy: Path, toy_report: dict[str, Any],
                                                                    tmp_path: Path) -> None:
    changed = "model.layers.1.q"

    def louder_half(x: np.ndarray) -> np.ndarray:
        x = x.copy()
        x[::2] *= 3
        return x

    for name, change in (("half", louder_half), ("all", lambda x: x * 3)):
        trace = write_trace(tmp_path / f"{name}.safetensors", {changed: change})
        found = document(tmp_path, trace)
        for layer, figures in found["layers"].items():
            for scheme in schemes.SCHEMES:
                assert (figures[scheme] != toy_report["layers"][layer][scheme]) == (layer == changed), (layer, scheme)
        assert found["totals"]["stamp"]["cycles"] == toy_report["totals"]["stamp"]["cycles"]
    assert found["layers"][changed]["stamp"]["sqnr_db"] == pytest.approx(
        toy_report["layers"][changed]["stamp"]["sqnr_db"], abs=0.01)  # a gain alone costs nothing: s_x takes it up


def test_two_processes_with_different_hash_seeds_and_folders_write_the_same_bytes(toy: Path, tmp_path: Path) -> None:
    code = "import sys; from tests.support.commands import command; sys.exit(command(*sys.argv[1:]))"
    outputs = ("--json", "out.json", "--csv", "out.csv")
    written = []
    for seed in ("1", "4242"):
        folder = tmp_path / f"folder{seed}"
        folder.mkdir()
        (folder / f"trace{seed}.safetensors").write_bytes(toy.read_bytes())
        done = subprocess.run(
            [sys.executable, "-c", code, "simulate", f"trace{seed}.safetensors", *outputs],
            cwd=folder, env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}, capture_output=True,
            check=True)
        written.append(((folder / "out.json").read_bytes(), (folder / "out.csv").read_bytes(), done.stdout))
    assert written[0] == written[1]
    assert b"folder" not in written[0][0] and b"trace1" not in written[0][0]


def test_the_permutations_seed_is_in_the_report_and_moves_the_control_alone(toy: Path, toy_report: dict[str, Any],
                                                                            tmp_path: Path) -> None:
    other = document(tmp_path, toy, "--seed", 7)
    assert (toy_report["permutation_seed"], other["permutation_seed"]) == (0, 7)
    for layer, figures in other["layers"].items():
        for scheme in schemes.SCHEMES:
            same = figures[scheme] == toy_report["layers"][layer][scheme]
            assert same == (scheme != "stamp_shuffled"), (layer, scheme)


def test_a_layers_figures_depend_on_no_other_layer_or_scheme(toy: Path, toy_report: dict[str, Any],
                                                             tmp_path: Path) -> None:
    found = document(tmp_path, toy, "--layers", r"1\.q$", "--schemes", "stamp_shuffled,a8")
    assert list(found["layers"]) == ["model.layers.1.q"] and list(found["totals"]) == ["stamp_shuffled", "a8"]
    for scheme in ("stamp_shuffled", "a8"):
        assert found["layers"]["model.layers.1.q"][scheme] == toy_report["layers"]["model.layers.1.q"][scheme]


def test_infinite_figures_keep_their_sign_and_stay_out_of_the_means(tmp_path: Path) -> None:
    trace = write_trace(tmp_path / "t.safetensors", {"model.layers.0.q": np.zeros_like})
    found = document(tmp_path, trace, "--schemes", "a4,first_n,stamp", "--plots", tmp_path / "plots")
    silent = found["layers"]["model.layers.0.q"]["stamp"]
    assert (silent["sqnr_db"], silent["sqnr_db_infinite"]) == (None, "inf")
    total = found["totals"]["stamp"]
    finite = [layer["stamp"]["sqnr_db"] for name, layer in found["layers"].items() if name != "model.layers.0.q"]
    assert total["sqnr_db"] == pytest.approx(np.mean(finite), abs=2e-4)
    assert (total["sqnr_db_layers"], total["sqnr_db_infinite"]) == (3, None)
    text = tables.render(found)
    assert "∞" in text and "nan" not in text and "finite figure" in text
    legend = plots.sqnr_by_layer(found).axes[1].get_legend()
    assert legend is not None and not any("nan" in item.get_text() for item in legend.get_texts())
    silent.update(sqnr_db_infinite="-inf")
    assert tables.render(found).count("−∞") == text.count("−∞") + 1


def test_noise_where_the_reference_is_zero_is_minus_infinity() -> None:
    assert report.mean_decibels("x", [-np.inf]) == {"x": None, "x_infinite": "-inf"}
    assert report.mean_decibels("x", [np.inf, -np.inf]) == {"x": None, "x_infinite": None, "x_layers": 0}
    assert tables.decibels({"x": None, "x_infinite": "-inf"}, "x") == "−∞"


def test_small_figures_keep_significant_digits() -> None:
    shown = {0.0: "0.000", 4.2e-5: "4.2e-05", 0.0123: "0.012", 1234.5: "1,234.500"}
    assert {value: tables.number(value, 3) for value in shown} == shown
    assert (tables.plural(1, "layer"), tables.plural(2, "layer")) == ("1 layer", "2 layers")
    assert tables.decibels({"x": -0.001}, "x") == "0.00"


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


# Energy sets


def test_a_set_of_the_users_own_is_used_and_printed(toy: Path, tmp_path: Path,
                                                    capsys: pytest.CaptureFixture[str]) -> None:
    text = HOROWITZ.read_text(encoding="utf-8")
    own = tmp_path / "own.yaml"
    text = text.replace("name: horowitz45", "name: my_process").replace("energy_pj: 1950.0", "energy_pj: 195.0")
    own.write_text(text, encoding="utf-8")
    base = document(tmp_path, toy, "--schemes", "stamp")
    found = document(tmp_path, toy, "--schemes", "stamp", "--energy-set", own)
    printed = capsys.readouterr().out
    dram = [each["totals"]["stamp"]["energy_by_component"]["dram"]["energy_pj"] for each in (base, found)]
    assert dram[0] == pytest.approx(10 * dram[1], rel=1e-7)
    assert "set my_process" in printed and "Horowitz" in printed and "Not modelled: clock tree" in printed
    assert found["energy_set"]["constants"]["dram.access"]["energy_pj"] == 195.0


# Configurations


def test_the_shipped_configurations_load_and_the_default_one_is_the_default() -> None:
    assert NpuConfig.load(ROOT / "configs" / "default.yaml") == NpuConfig()
    assert {path.stem for path in (ROOT / "configs").glob("*.yaml")} >= {"default", "fpga", "npu32"}


# The FPGA preset gives up two of 16 Haar tiles for banks of just one block RAM's depth.
@pytest.mark.parametrize(("name", "haar_tiles"), [("default", 16), ("fpga", 14), ("npu32", 64)])
def test_a_shipped_configuration_holds_a_super_tile_and_feeds_its_lifting_unit(name: str, haar_tiles: int) -> None:
    config = NpuConfig.load(ROOT / "configs" / f"{name}.yaml")
    hw = config.hw
    assert hw.dram_bytes_per_s >= hw.freq_hz * hw.lanes * hw.in_width / 8
    job = config.resolve(2048, k=hw.max_k)
    parts = super_tile.split(job, hw, super_tile.token_limit(job, hw))
    assert parts[0].haar_tiles == haar_tiles
    assert not config.resolve(512).warnings


# Reports and refusals


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

    made = layer_program("one", config, tokens=128, k=24, n=8, grid=None, n_sink=0, transform=entry.transform)
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


@pytest.mark.parametrize("value", [0, -1, 1.0, "7", True, 1 << 40])
def test_a_number_of_layers_that_is_none_is_refused(value: object, tmp_path: Path) -> None:
    trace = write_one(tmp_path / "t", ar1(np.random.default_rng(2), 16, 8), origin={"linear_layers": value})
    with pytest.raises(StampError, match="linear_layers is malformed.*at least"):
        run(trace)


def test_bad_input_is_refused_in_one_line_and_nothing_is_written(toy: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a regular file")
    (tmp_path / "short.safetensors").write_bytes(toy.read_bytes()[:-1000])
    (tmp_path / "bad.yaml").write_text("hw: {rowz: 4}")
    (tmp_path / "tiny.yaml").write_text("hw: {act_slots: 4}")
    (tmp_path / "unset.yaml").write_text("hw: {technology: unobtainium}")
    (tmp_path / "good.yaml").write_text("{}")
    (tmp_path / "link.yaml").symlink_to(tmp_path / "good.yaml")
    own = tmp_path / "own_set.yaml"
    own.write_bytes(HOROWITZ.read_bytes())
    before = sorted(tmp_path.rglob("*"))
    out = tmp_path / "out.json"
    for argv, said in (
        ((tmp_path / "missing.safetensors", "--json", out), "missing.safetensors"),
        ((tmp_path / "short.safetensors", "--json", out), "short.safetensors"),
        ((tmp_path / "file", "--json", out), "file"),
        ((tmp_path, "--json", out), str(tmp_path)),
        ((toy, "--json", tmp_path / "file" / "below.json"), "no folder"),
        ((toy, "--csv", tmp_path / "file" / "deep" / "below.csv"), "no folder"),
        ((toy, "--plots", tmp_path / "file"), "no folder"),
        ((toy, "--json", tmp_path), "a directory"),
        ((toy, "--json", tmp_path / ("a" * 300)), "long"),
        ((toy, "--json", tmp_path / ("a" * 250)), "long"),
        ((toy, "--json", toy), "the trace"),
        ((toy, "--csv", tmp_path / "link.yaml", "--config", tmp_path / "good.yaml"), "--config"),
        ((toy, "--csv", own, "--energy-set", own), "--energy-set"),
        ((toy, "--json", out, "--csv", tmp_path / "." / "out.json"), "--json"),
        ((toy, "--plots", tmp_path, "--csv", tmp_path / "token_energy.png"), "--csv"),
        ((toy, "--plots", out, "--json", out), "--json"),
        ((toy, "--json", out, "--schemes", "stamp,a5"), "a5"),
        ((toy, "--json", out, "--schemes", ","), "none"),
        ((toy, "--json", out, "--schemes", "a4,a4"), "once"),
        ((toy, "--json", out, "--layers", "nothing_like_it"), "no layer matches"),
        ((toy, "--json", out, "--layers", "("), "regular expression"),
        ((toy, "--json", out, "--layers", "a{99999999999}"), "regular expression"),
        ((toy, "--json", out, "--layers", "(" * 5000 + ")" * 5000), "regular expression"),
        ((toy, "--json", out, "--config", tmp_path / "bad.yaml"), "hw.rowz"),
        ((toy, "--json", out, "--config", tmp_path / "tiny.yaml"), f"{toy}, layer model.layers.0.q, "),
        ((toy, "--json", out, "--config", tmp_path / "tiny.yaml"), "act_slots"),
        ((toy, "--json", out, "--config", tmp_path / "unset.yaml"), "unobtainium"),
        ((toy, "--json", out, "--energy-set", tmp_path / "none.yaml"), "none.yaml"),
    ):
        with pytest.raises(StampError) as caught:
            run(*argv)
        assert said in str(caught.value) and "\n" not in str(caught.value), argv
        assert sorted(tmp_path.rglob("*")) == before, argv


def test_a_layer_that_fails_midway_leaves_no_file(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = Trace.layer

    def broken(self: Trace, name: str) -> object:
        found = layer(self, name)
        return replace(found, x=np.where(found.x > 2, np.nan, found.x)) if name.startswith("model.layers.1") else found

    monkeypatch.setattr(Trace, "layer", broken)
    with pytest.raises(StampError, match=r"layer model\.layers\.1\.q.*NaN"):
        run(toy, "--json", tmp_path / "a.json", "--csv", tmp_path / "a.csv", "--plots", tmp_path / "plots")
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_output_is_refused_before_the_first_layer_runs(toy: Path, tmp_path: Path,
                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(Trace, "open", lambda path: pytest.fail("the trace was opened first"))
    with pytest.raises(OutputError):
        run(toy, "--plots", tmp_path / "file" / "plots")


def test_the_same_hardware_moves_the_same_bytes_for_every_scheme(toy_report: dict[str, Any]) -> None:
    moved = {json.dumps(total["dram_bytes_by_operand"]) for total in toy_report["totals"].values()}
    assert len(moved) == 1
