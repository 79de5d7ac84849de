"""`stamp-hw simulate --shape`: the cost of one layer without data (docs/simulate.md)."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim.engine import closed_form
from sim.studies import accuracy
from sim.task import Shape, Task
from stamp_hw import schemes
from stamp_hw.cli.main import main
from stamp_hw.config import NpuConfig
from tests.support.simulate_cases import NARROW, TOKENS, WIDE, document, write_one

ACCURACY = {"sqnr_db", "sqnr_db_infinite", "output_sqnr_db", "output_sqnr_db_infinite", "saturated", "s_x", "s_y",
            "headroom", "calibration"}


def shaped(folder: Path, shape: str, *options: str) -> dict[str, Any]:
    path = folder / "shape.json"
    assert main(["simulate", "--shape", shape, "--json", str(path), *options]) == 0
    return dict(json.loads(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(("text", "shape"), [
    ("2048x4096x4096", Shape(name="", tokens=2048, k=4096, n=4096)), ("1x1x1", Shape(name="", tokens=1, k=1, n=1)),
    ("16x12,192,100", Shape(name="", tokens=192, k=192, n=100, grid=(16, 12))),
    ("1x7,3,5", Shape(name="", tokens=7, k=3, n=5, grid=(1, 7)))])
def test_cycles_are_those_of_the_cycle_model(text: str, shape: Shape, tmp_path: Path) -> None:
    found = shaped(tmp_path, text)
    assert found["shape"] == text and tuple(found["totals"]) == ("a8", "a4", "first_n", "stamp")
    config = NpuConfig()
    for scheme, figures in found["layers"][text].items():
        task = Task.of(shape, schemes.configure(scheme, config))
        cycles = closed_form.simulate(task, config.hw, accuracy.token_limit(shape, config))
        assert figures["cycles"] == found["totals"][scheme]["cycles"] == cycles.total
        assert figures["grid"] == (list(shape.grid) if shape.grid else None)
        assert (figures["levels"], figures["n_hi"]) == (task.job.levels, task.job.n_hi)


@pytest.mark.parametrize(("grid", "k"), [(None, WIDE), (None, NARROW), ((16, 16), WIDE)])
def test_every_figure_but_accuracy_is_that_of_a_layer_with_data(grid: tuple[int, int] | None, k: int, tmp_path: Path
                                                                ) -> None:
    x = np.random.default_rng(1).standard_normal((TOKENS, k))
    trace = write_one(tmp_path / "t", x, grid=grid)
    text = f"{TOKENS}x{k}x8" if grid is None else f"{grid[0]}x{grid[1]},{k},8"
    options = ("--hw", "rows=4", "--hw", "cols=2")
    found = shaped(tmp_path, text, *options)["layers"][text]
    for scheme, wanted in document(tmp_path, trace, *options)["layers"]["one"].items():
        if scheme in found:
            assert set(wanted) - set(found[scheme]) == ACCURACY
            assert all(wanted[key] == value for key, value in found[scheme].items() if key not in ("kind", "warnings"))


def test_outliers_are_among_the_tokens_and_kinds_do_not_count(tmp_path: Path) -> None:
    config = tmp_path / "npu.yaml"
    config.write_text("{job: {outliers: [0, 9]}, kinds: {q: {n_hi: 1}}}")
    figures = shaped(tmp_path, "64x32x8", "--config", str(config))["layers"]["64x32x8"]["stamp"]
    assert (figures["tokens"], figures["n_sink"], figures["n_hi"]) == (64, 2, 2)


def test_several_shapes_have_a_row_each_and_their_sums(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shapes = ("64x32x8", "8x8,32,24", "128x16x8")
    alone = [shaped(tmp_path, shape) for shape in shapes]
    capsys.readouterr()
    found = shaped(tmp_path, shapes[0], "--shape", shapes[1], "--shape", shapes[2], "--csv", str(tmp_path / "s.csv"))
    text = capsys.readouterr().out
    assert tuple(found["layers"]) == shapes and found["shape"] == " ".join(shapes)
    for shape, one in zip(shapes, alone, strict=True):
        assert found["layers"][shape] == one["layers"][shape]
        row = next(line for line in text.splitlines() if line.startswith(f"{shape} "))
        assert row.split()[1:] == [f"{figures['cycles']:,}" for figures in one["totals"].values()]
    for scheme, total in found["totals"].items():
        assert total["layers"] == 3
        for key in ("cycles", "energy_pj", "dram_bytes", "macs"):
            assert total[key] == pytest.approx(sum(one["totals"][scheme][key] for one in alone), rel=1e-8)
    assert "Totals: 3 linear layers, 128 tokens" in text
    scopes = [row["layer"] for row in csv.DictReader((tmp_path / "s.csv").read_text(encoding="utf-8").splitlines())]
    assert scopes == [shape for shape in shapes for _ in range(4)] + ["TOTAL"] * 4


def test_the_output_says_that_there_is_no_accuracy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "shape.csv"
    assert main(["simulate", "--shape", "64x32x8", "--schemes", "a4,stamp", "--csv", str(path)]) == 0
    text = capsys.readouterr().out
    assert "no data, and so no SQNR" in text and "dB" not in text and "first token" not in text
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    assert [(row["scope"], row["scheme"]) for row in rows] == [
        ("layer", "a4"), ("layer", "stamp"), ("total", "a4"), ("total", "stamp")]
    assert all(row["cycles"] and row["sqnr_db"] == row["z_saturated"] == "" for row in rows)


@pytest.mark.parametrize(("arguments", "message"), [
    (["--shape", "1x2"], "not a shape"), (["--shape", "16x16x4x4"], "not a shape"),
    (["--shape", "16,4,4"], "not a shape"),
    (["--shape", "axb"], "--shape"), (["--shape", ""], "--shape"), (["--shape", "0x4x4"], "impossible shape"),
    (["--shape", "4x0x4"], "impossible shape"), (["--shape", "4x4x0"], "impossible shape"),
    (["--shape", "4x4x524281"], "up to 524280"), (["--shape", "4x9000x4"], "hw.max_k"),
    (["--shape", "5000x4x4"], "hw.max_tokens"), (["--shape", "4x4x4", "--plots", "OUT"], "--plots"),
    (["--shape", "4x4x4", "--layers", "q"], "--layers"), (["--shape", "4x4x4", "--seed", "1"], "--seed"),
    (["--shape", "4x4x4", "--schemes", "stamp_shuffled"], "shuffle"),
    (["--shape", "4x4x4", "--shape", "4x4x4"], "shape given twice"),
    (["--shape", "4x4x4", "--shape", "04x4x4"], "shape given twice"), (["--shape", "4x4x4", "--shape", "4x4"], "not a"),
], ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_what_is_no_shape_is_refused_in_one_line(arguments: list[str], message: str, tmp_path: Path,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    placed = [word.replace("OUT", str(tmp_path / "plots")) for word in arguments]
    assert main(["simulate", *placed, "--json", str(tmp_path / "out.json")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and message in lines[0]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [[], ["trace", "--shape", "4x4x4"]], ids=["neither", "both"])
def test_a_trace_or_a_shape(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["simulate", *arguments])
    said = capsys.readouterr().err
    assert stop.value.code == 2 and len(said.splitlines()) == 1 and "--shape" in said
