"""`stamp-hw simulate`: figures, energy sets and shipped configurations (docs/simulate.md)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim.cost.energy import COMPONENTS, load
from sim.cost.layer_cost import cost
from sim.studies import plots, report, tables
from sim.task import Shape
from stamp_hw import schemes
from stamp_hw.config import NpuConfig
from stamp_hw.engine import super_tile
from stamp_hw.scale import scale_bits
from tests.support.simulate_cases import NARROW, TOKENS, WIDE, document, write_trace

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "models" / "traces" / "llama_small.safetensors"
HOROWITZ = ROOT / "sim" / "cost" / "energy_sets" / "horowitz45.yaml"


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


def test_a_block_has_a_span_and_a_zero_of_4_bits_a_plane() -> None:
    config = NpuConfig.load(ROOT / "configs" / "language.yaml")
    job = config.resolve(256, n_sink=1, k=576)
    assert job.n_hi == 8
    wanted = (576 // 64) * (9 * (17 + 8) + 248 * (17 + 4)) / 256  # eight tokens and the outlier have 8 bits
    assert scale_bits(config, job, 576) == wanted and scale_bits(config, job, 570) == wanted, "whole blocks"
    assert scale_bits(config.with_job(group=None), job, 576) == 2 * 17 * 257 / 256
    shape = Shape(name="a", tokens=256, k=576, n=16, n_sink=1)
    assert cost(shape, config, load("horowitz45")).scale_bits == wanted


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


def test_the_same_hardware_moves_the_same_bytes_for_every_scheme(toy_report: dict[str, Any]) -> None:
    moved = {json.dumps(total["dram_bytes_by_operand"]) for total in toy_report["totals"].values()}
    assert len(moved) == 1


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
