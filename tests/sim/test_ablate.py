"""`stamp-hw ablate`: every row against what it stands for, on toy traces where the answer is known."""

from __future__ import annotations

import csv
import json
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim.ablate import plots
from sim.paper import transforms
from sim.paper.quantizer import quantize
from stamp_hw import features, scale
from stamp_hw.config import NpuConfig
from stamp_hw.engine import linear
from stamp_hw.errors import StampError
from stamp_hw.formats.trace import Trace, TraceWriter
from stamp_hw.weights import quantize_weights
from tests.support import simulate_cases
from tests.support.ablate_cases import LAYERS, document, fits, row, run, write_grid
from tests.support.simulate_cases import ar1, write_one, write_trace

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def fitted(toy: Path, toy_fits: list[Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return document(tmp_path_factory.mktemp("fitted"), toy, *fits(toy_fits))


def test_rows_are_every_combination_once_and_grouped(fitted: dict[str, Any]) -> None:
    keys = [(r["feature"], r["high"], r["transform"], r["levels"], r["shuffled"]) for r in fitted["rows"]]
    # 256 tokens, 8 of them at 8 bits: 5 levels, and one more.
    variants = [("identity", None, False), *(("haar", level, False) for level in range(1, 7)), ("dct", None, False),
                ("walsh", None, False), ("klt", None, False), ("haar", 5, True)]
    assert keys == [(feature, high, *variant) for feature in ("none", "hadamard", "smooth") for high in (False, True)
                    for variant in variants]
    assert [entry["rows"] for entry in fitted["left_out"]] == ["engine figures of dct, walsh, klt",
                                                               "sinks out of the transform"]


def test_average_bits_stand_beside_every_row(fitted: dict[str, Any]) -> None:
    assert {r["average_bits"] for r in fitted["rows"] if not r["high"]} == {4.0}
    assert {r["average_bits"] for r in fitted["rows"] if r["high"]} == {4 + 4 * 8 / 256}


def test_theorem_1_bounds_every_row_on_every_layer_in_float_and_in_integers(
        fitted: dict[str, Any], toy: Path, tmp_path: Path) -> None:
    config = tmp_path / "symmetric.yaml"
    config.write_text("{hw: {block: 32}, job: {scale_mode: symmetric, group: 32, levels: 5}}")
    for report in (fitted, document(tmp_path, toy, "--config", config)):
        for r in report["rows"]:
            for figures in r["layers"].values():
                assert 0 < figures["noise_over_bound"] <= 1
                assert figures["bound_sqnr_db"] <= min(figures["sqnr_db"], figures["engine_sqnr_db"] or math.inf)
            assert r["noise_over_bound"]["largest"] == max(f["noise_over_bound"] for f in r["layers"].values())
    # At 4 bits throughout the bound is one and the same for every orthonormal transform.
    bounds = [r["bound_sqnr_db"] for r in fitted["rows"] if not r["high"] and r["feature"] != "smooth"]
    assert max(bounds) - min(bounds) < 1e-3


def test_engine_figures_are_those_of_simulate(fitted: dict[str, Any], toy_report: dict[str, Any]) -> None:
    for scheme, transform, high, shuffled in (("a4", "identity", False, False), ("first_n", "identity", True, False),
                                              ("stamp", "haar", True, False), ("stamp_shuffled", "haar", True, True)):
        found = row(fitted, transform, high=high, shuffled=shuffled, levels=5 if transform == "haar" else None)
        for name, figures in toy_report["layers"].items():
            for ours, theirs in (("engine_sqnr_db", "sqnr_db"), ("engine_output_sqnr_db", "output_sqnr_db")):
                assert found["layers"][name][ours] == figures[scheme][theirs]
        assert found["engine_sqnr_db"] == toy_report["totals"][scheme]["sqnr_db"]


def test_a_kind_of_layers_has_the_job_of_its_own(toy: Path, tmp_path: Path) -> None:
    config = tmp_path / "kinds.yaml"
    config.write_text("kinds: {down: {n_hi: 1/16, weight_bits: 8}}")
    report = document(tmp_path, toy, "--config", config)
    same = simulate_cases.document(tmp_path, toy, "--config", config)["layers"]
    found = row(report, "identity")["layers"]
    assert {f["average_bits"] for f in found.values()} == {4 + 4 * 8 / 256, 4 + 4 * 16 / 256}
    for name, figures in found.items():
        for ours, theirs in (("engine_sqnr_db", "sqnr_db"), ("engine_output_sqnr_db", "output_sqnr_db")):
            assert figures[ours] == same[name]["first_n"][theirs]
    # The levels of both jobs have a row: 5 for 8 of 256 tokens, 4 for 16.
    assert row(report, "haar", levels=4)["layers"][LAYERS[1]]["engine_sqnr_db"] == same[LAYERS[1]]["stamp"]["sqnr_db"]


def test_a_row_is_what_its_parts_give_by_hand(fitted: dict[str, Any], toy: Path, toy_fits: list[Path]) -> None:
    """SmoothQuant's scales and the KLT of other sequences, transform, quantizer, quantized weights: step by step."""
    name = LAYERS[0]
    with Trace.open(toy) as trace, Trace.open(toy_fits[0]) as one, Trace.open(toy_fits[1]) as two:
        layer, others = trace.layer(name), [one.layer(name).x, two.layer(name).x]
    scales = features.smooth_scales(np.abs(np.concatenate(others)).max(axis=0), np.abs(layer.weight).max(axis=0))
    folded = features.apply(layer, scales=scales)
    weight = quantize_weights(folded.weight, 4).real()
    klt = transforms.klt([x / scales for x in others])
    error = klt.inverse(quantize(klt.forward(folded.x.astype(float)), scale.precision_map(256, 8))) - folded.x

    def db(signal: np.ndarray, noise: np.ndarray) -> float:
        return float(10 * np.log10(np.sum(signal.astype(float) ** 2) / np.sum(noise.astype(float) ** 2)))

    figures = row(fitted, "klt", "smooth")["layers"][name]
    assert figures["sqnr_db"] == pytest.approx(db(folded.x, error), abs=2e-4)
    clean, exact = folded.x @ weight.T + layer.bias, layer.x @ layer.weight.T + layer.bias
    assert figures["output_sqnr_db"] == pytest.approx(db(clean, error @ weight.T), abs=2e-3)
    assert figures["total_output_sqnr_db"] == pytest.approx(db(exact, clean + error @ weight.T - exact), abs=2e-3)
    assert figures["total_output_sqnr_db"] < figures["output_sqnr_db"] and figures["engine_sqnr_db"] is None
    real = linear.run_linear(features.apply(layer, features.hadamard(96, 0)), NpuConfig().with_job(levels=3))
    found = row(fitted, "haar", "hadamard", levels=3)["layers"][name]
    assert found["engine_sqnr_db"] == pytest.approx(real.sqnr_db, abs=1e-4)


def test_the_integer_engine_is_within_a_twentieth_of_a_decibel_of_float(fitted: dict[str, Any], tmp_path: Path) -> None:
    grid = document(tmp_path, write_grid(tmp_path / "grid.safetensors", 3))
    for report in (fitted, grid):
        compared = [r for r in report["rows"] if r["engine_minus_float"]["sqnr"] is not None]
        assert {r["transform"] for r in compared} == ({"identity", "haar"} if report is fitted else
                                                      {"identity", "haar", "haar_1d"})
        for r in compared:
            worst = r["engine_minus_float"]["sqnr"]
            losses = {name: f["engine_sqnr_db"] - f["sqnr_db"] for name, f in r["layers"].items()}
            assert min(losses.values()) >= -0.05
            assert worst["db"] == pytest.approx(min(losses.values()), abs=2e-4) == losses[worst["layer"]]


@pytest.mark.parametrize("path", sorted((ROOT / "models" / "traces").glob("*.safetensors")), ids=lambda path: path.stem)
def test_on_every_trace_that_ships_integers_stay_with_float_and_noise_below_the_bound(path: Path,
                                                                                     tmp_path: Path) -> None:
    report = document(tmp_path, path, "--levels", "3")
    compared = [r for r in report["rows"] if r["engine_sqnr_db"] is not None]
    assert len(compared) >= 3 * 2 * 3
    for r in compared:
        for name, f in r["layers"].items():
            assert f["engine_sqnr_db"] >= f["sqnr_db"] - 0.05, (name, r["label"])
    assert all(f["noise_over_bound"] <= 1 for r in report["rows"] for f in r["layers"].values())


def test_shuffling_takes_what_the_order_of_tokens_is_worth_and_leaves_what_their_mean_is(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    ordered = document(tmp_path, write_one(tmp_path / "ordered.safetensors", ar1(rng, 256, 64)))
    gain, control = (row(ordered, "haar", levels=5, shuffled=shuffled)["gain_db"] for shuffled in (False, True))
    assert gain > 3 and gain > control + 2
    mean = rng.standard_normal((256, 64)) + 3 * rng.standard_normal(64)
    shared = document(tmp_path, write_one(tmp_path / "shared.safetensors", mean))
    assert row(shared, "haar", levels=5)["gain_db"] > 2
    assert abs(row(shared, "haar", levels=5)["gain_db"] - row(shared, "haar", shuffled=True)["gain_db"]) < 0.3


def test_the_seed_draws_signs_and_permutation(toy: Path, tmp_path: Path) -> None:
    first, again, other = (document(tmp_path, toy, "--layers", "0.q", "--levels", "5", "--seed", seed)
                           for seed in (0, 0, 7))
    assert first == again
    for transform, feature, shuffled, same in (("haar", "none", False, True), ("haar", "none", True, False),
                                               ("identity", "hadamard", False, False)):
        a, b = (row(report, transform, feature, shuffled=shuffled)["sqnr_db"] for report in (first, other))
        assert (a == b) == same


def test_klt_is_fitted_on_other_data_than_it_is_measured_on(toy: Path, toy_fits: list[Path], fitted: dict[str, Any],
                                                            tmp_path: Path) -> None:
    # Fitted on tokens without order it finds no order; fitted on what is measured it would be the best there is.
    rng = np.random.default_rng(2)
    noise = {name: lambda x: rng.standard_normal(x.shape) for name in LAYERS}
    write_trace(tmp_path / "noise.safetensors", noise)
    blind = document(tmp_path, toy, "--fit", tmp_path / "noise.safetensors", "--levels", "5")
    assert row(fitted, "klt")["gain_db"] > 2 > 0.7 > row(blind, "klt")["gain_db"]
    with pytest.raises(StampError, match="fitted on what is measured"):
        run(toy, "--fit", toy_fits[0], "--fit", toy)
    # The same sequence under another name is found as well.
    with Trace.open(toy) as trace, TraceWriter(tmp_path / "copy.safetensors", {"model": "copy"}) as writer:
        for layer in trace:
            writer.add_input(layer.name, layer.x, "float32")
            writer.add_layer(name=layer.name, kind="q", input_key=layer.name, weight=layer.weight, bias=layer.bias)
    with pytest.raises(StampError, match="fitted on what is measured"):
        run(toy, "--fit", tmp_path / "copy.safetensors")


def test_without_fit_there_is_no_klt_and_the_table_says_why(toy: Path, tmp_path: Path,
                                                            capsys: pytest.CaptureFixture[str]) -> None:
    report = document(tmp_path, toy, "--layers", "0.q", "--levels", "5")
    assert "klt" not in {r["transform"] for r in report["rows"]} and report["fit_sequences"] == 0
    assert {"rows": "klt", "reason": "needs --fit: sequences other than those it is measured on"} in report["left_out"]
    out = capsys.readouterr().out
    assert "klt: needs --fit" in out and "on the measured sequence itself (no --fit)" in out


def test_layers_that_read_one_input_share_smoothquants_scales(tmp_path: Path) -> None:
    """They fold into one norm: with scales of their own q and k could not both have theirs."""
    rng = np.random.default_rng(6)
    with TraceWriter(tmp_path / "t.safetensors", {}) as writer:
        writer.add_input("x", ar1(rng, 64, 32), "float32")
        for name in "qk":
            weight = rng.standard_normal((8, 32)) * np.exp(2 * rng.standard_normal(32))
            writer.add_layer(name=name, kind=name, input_key="x", weight=weight)
    report = document(tmp_path, tmp_path / "t.safetensors", "--layers", "q|k")
    alone = document(tmp_path, tmp_path / "t.safetensors", "--layers", "q")
    with Trace.open(tmp_path / "t.safetensors") as trace:
        layer, other = trace.layer("q"), trace.layer("k")
    both = np.abs(np.concatenate([layer.weight, other.weight])).max(axis=0)
    folded = features.apply(layer, scales=features.smooth_scales(np.abs(layer.x).max(axis=0), both))
    want = round(linear.run_linear(folded, NpuConfig().with_job(levels=0)).sqnr_db, 4)
    for figures in (row(each, "identity", "smooth")["layers"] for each in (report, alone)):
        assert {f["engine_sqnr_db"] for f in figures.values()} == {want}


def test_a_grid_is_transformed_in_2_d_and_in_raster_order(tmp_path: Path) -> None:
    trace = write_grid(tmp_path / "grid.safetensors", 3, plain=True)
    others = [write_grid(tmp_path / f"fit{seed}.safetensors", seed, plain=True) for seed in (4, 5)]
    report = document(tmp_path, trace, *fits(others))
    named = {(r["transform"], r["levels"]) for r in report["rows"]}
    # 256 tokens, 8 at 8 bits: 3 levels in 2-D (and one more), 5 in raster order.
    assert named == {("identity", None), *(("haar", level) for level in (1, 2, 3, 4)), ("haar_1d", 5), ("dct", None),
                     ("walsh", None), ("klt", None)}
    assert report["skipped_layers"] == ["text"] and report["layers"] == ["block"]
    assert ("sinks out of the transform", "a grid has none") in [tuple(e.values()) for e in report["left_out"]]
    simulated = simulate_cases.document(tmp_path, trace)["layers"]["block"]
    assert row(report, "haar", levels=3)["layers"]["block"]["engine_sqnr_db"] == simulated["stamp"]["sqnr_db"]
    gains = {r["transform"]: r["gain_db"] for r in report["rows"] if r["feature"] == "none" and r["high"]
             and r["levels"] in (None, 3, 5) and not r["shuffled"]}
    assert gains["haar"] > gains["haar_1d"] + 0.3 > 1 and gains["dct"] > gains["haar_1d"]
    assert row(report, "haar", shuffled=True)["gain_db"] < gains["haar"] - 1


def test_sides_that_are_no_powers_of_two_have_no_walsh_row(tmp_path: Path) -> None:
    report = document(tmp_path, write_grid(tmp_path / "grid.safetensors", 3, (12, 16)))
    assert "walsh" not in {r["transform"] for r in report["rows"]}
    reason = "12 tokens along an axis are no power of two (layer block)"
    assert {"rows": "walsh", "reason": reason} in report["left_out"]


def test_hardware_without_a_transform_has_no_figure_for_it(tmp_path: Path, toy: Path) -> None:
    config = tmp_path / "narrow.yaml"
    config.write_text("hw: {axes: 1, max_levels: 3}\njob: {n_hi: 8}")
    grid = document(tmp_path, write_grid(tmp_path / "grid.safetensors", 3), "--config", config, "--levels", "1,3")
    for r in grid["rows"]:
        has = r["transform"] in ("identity", "haar_1d")
        assert (r["engine_sqnr_db"] is not None) == has == (r["engine_minus_float"]["sqnr"] is not None)
    line = document(tmp_path, toy, "--config", config, "--levels", "2,4")
    for level, has in ((2, True), (3, True), (4, False)):  # 3: the job's own
        assert (row(line, "haar", levels=level, shuffled=False)["engine_sqnr_db"] is not None) == has


def test_only_the_rows_that_are_asked_for_are_there(toy: Path, tmp_path: Path) -> None:
    whole = document(tmp_path, toy, "--levels", "3")
    part = document(tmp_path, toy, "--levels", "3", "--transforms", "haar,dct", "--features", "hadamard")
    wanted = [r for r in whole["rows"] if r["feature"] == "hadamard" and r["transform"] in ("identity", "haar", "dct")
              and not r["shuffled"]]
    assert part["rows"] == wanted and {r["transform"] for r in wanted} == {"identity", "haar", "dct"}


@pytest.mark.parametrize(("option", "said"), [("--transforms", "haar,fourier"), ("--features", "quarot"),
                                              ("--transforms", "")])
def test_a_row_of_no_such_name_is_refused(toy: Path, capsys: pytest.CaptureFixture[str], option: str,
                                          said: str) -> None:
    with pytest.raises(SystemExit):
        run(toy, option, said)
    assert "some of " in capsys.readouterr().err


def test_sinks_are_out_of_the_transform_or_in_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    x = ar1(rng, 129, 32)
    x[0, :2] *= 300
    trace = write_one(tmp_path / "t.safetensors", x, origin={"calibration": "static: 1 sequence"}, outliers=(0,),
                      s_x=float(np.abs(x[1:]).max() / 32767), s_y=0.05)
    report = document(tmp_path, trace, "--levels", "5")
    assert {r["sinks"] for r in report["rows"]} == {"out", "in"}
    out, within = (row(report, "haar", sinks=sinks, levels=5, shuffled=False) for sinks in ("out", "in"))
    assert out["average_bits"] == pytest.approx((8 * (1 + 5) + 4 * 124) / 129, abs=1e-6)
    assert within["average_bits"] == pytest.approx((8 * 5 + 4 * 124) / 129, abs=1e-6)  # ceil(129 / 32) = 5
    same = simulate_cases.document(tmp_path, trace)["layers"]["one"]["stamp"]
    assert (out["engine_sqnr_db"], out["engine_output_sqnr_db"]) == (same["sqnr_db"], same["output_sqnr_db"])
    # The trace's step leaves the sink out: with the sink in the transform it would saturate by a factor of 300.
    assert abs(within["engine_sqnr_db"] - within["sqnr_db"]) < 0.5
    # Shuffled sinks in place: only the order of the others changes.
    assert row(report, "haar", sinks="out", shuffled=True)["average_bits"] == out["average_bits"]


def test_fit_layers_are_found_by_name_without_the_prompt(tmp_path: Path) -> None:
    names = ("to_q@prompt1.step2", "to_q@prompt1.step8")
    trace = write_grid(tmp_path / "t.safetensors", 3, names=names)
    more = write_grid(tmp_path / "fit.safetensors", 4, names=(*names, "to_q@prompt2.step2", "to_q@prompt2.step8"))
    report = document(tmp_path, trace, "--fit", more)
    assert report["fit_sequences"] == 2
    # Scales fold into weights, which no step changes: both steps have those of all steps.
    with Trace.open(trace) as measured, Trace.open(more) as other:
        layer = measured.layer(names[1])
        absmax = np.max([np.abs(each.x).max(axis=0) for each in other], axis=0)
    folded = features.apply(layer, scales=features.smooth_scales(absmax, np.abs(layer.weight).max(axis=0)))
    found = linear.run_linear(folded, NpuConfig().with_job(levels=0))
    assert row(report, "identity", "smooth")["layers"][names[1]]["engine_sqnr_db"] == round(found.sqnr_db, 4)
    klt = transforms.klt([x for name, x in _inputs(more).items() if name.endswith("step8")])
    error = klt.inverse(quantize(klt.forward(layer.x.astype(float)), scale.precision_map(256, 8))) - layer.x
    want = 10 * np.log10(np.sum(layer.x.astype(float) ** 2) / np.sum(error**2))
    assert row(report, "klt")["layers"][names[1]]["sqnr_db"] == pytest.approx(want, abs=1e-3)


def _inputs(path: Path) -> dict[str, np.ndarray]:
    with Trace.open(path) as trace:
        return {layer.name: layer.x for layer in trace}


def test_static_calibration_is_asked_of_the_trace_and_not_of_folded_layers(toy: Path, tmp_path: Path) -> None:
    config = tmp_path / "static.yaml"
    config.write_text("job: {calibration: static}")
    with pytest.raises(StampError, match="no static scales"):
        run(toy, "--config", config)
    x = ar1(np.random.default_rng(1), 64, 16)
    trace = write_one(tmp_path / "t.safetensors", x, origin={"calibration": "static: 1 sequence"},
                      s_x=float(np.abs(x).max() / 32767), s_y=0.01)
    assert run(trace, "--config", config) == 0


def test_csv_has_a_line_a_row_and_layer(toy: Path, tmp_path: Path) -> None:
    report = document(tmp_path, toy, "--levels", "5", "--csv", tmp_path / "t.csv")
    lines = list(csv.DictReader((tmp_path / "t.csv").read_text(encoding="utf-8").splitlines()))
    assert len(lines) == len(report["rows"]) * (1 + len(LAYERS))
    for r, start in zip(report["rows"], range(0, len(lines), 1 + len(LAYERS)), strict=True):
        mean, *layers = lines[start : start + 1 + len(LAYERS)]
        assert mean["scope"] == "mean" and float(mean["sqnr_db"]) == r["sqnr_db"]
        assert [line["layer"] for line in layers] == list(LAYERS) and {line["scope"] for line in layers} == {"layer"}
        for line in layers:
            engine_db = r["layers"][line["layer"]]["engine_sqnr_db"]
            assert line["engine_sqnr_db"] == ("" if engine_db is None else str(engine_db))
            assert line["feature"] == r["feature"] and float(line["average_bits"]) == r["average_bits"]


def test_the_same_input_gives_the_same_bytes(toy: Path, toy_fits: list[Path], tmp_path: Path) -> None:
    for name in "ab":
        assert run(toy, *fits(toy_fits), "--levels", "5", "--layers", "0.q", "--json", tmp_path / f"{name}.json") == 0
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert str(tmp_path) not in (tmp_path / "a.json").read_text(encoding="utf-8")


@pytest.mark.parametrize(("name", "x"), [
    (r"$\frac{1$", ar1(np.random.default_rng(2), 16, 8)), ("one_token", np.ones((1, 8))), ("zeros", np.zeros((16, 8))),
    ("one_channel", ar1(np.random.default_rng(2), 16, 1))], ids=["math", "one_token", "zeros", "one_channel"])
def test_strange_layers_are_tabled_and_plotted_without_a_word(name: str, x: np.ndarray, tmp_path: Path,
                                                              capsys: pytest.CaptureFixture[str]) -> None:
    trace = write_one(tmp_path / "t.safetensors", x, name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run(trace, "--plots", tmp_path / "plots", "--json", tmp_path / "t.json") == 0
    assert [path.name for path in (tmp_path / "plots").iterdir()] == list(plots.FILES)
    assert ("∞" in capsys.readouterr().out) == (name in ("one_token", "zeros", "one_channel"))
    json.loads((tmp_path / "t.json").read_text(encoding="utf-8"), parse_constant=lambda _: pytest.fail("not JSON"))
