"""`--mode scalesim`: equal to SCALE-Sim's own runs, which `make peers` makes again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim.engine import closed_form
from sim.engine.array import NEVER, issue
from sim.engine.compat import DATAFLOWS, output_stationary
from sim.task import Task
from stamp_hw.cli.main import main
from stamp_hw.config import HwConfig, ResolvedJob

RECORD = Path(__file__).parents[1] / "reference" / "peers" / "scalesim.json"


def simulate(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["simulate", *words]) == 0
    return capsys.readouterr().out


def report(tmp_path: Path, *words: str) -> dict[str, Any]:
    assert main(["simulate", *words, "--mode", "scalesim", "--json", str(tmp_path / "found.json")]) == 0
    found: dict[str, Any] = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    return found


def engine_loop(m: int, k: int, n: int, rows: int, cols: int) -> int:
    """Cycle of the last product, by the tile loop of the engine's array, its steps and the skew between two tiles."""
    skew = rows + cols - 2
    last = NEVER
    for _ in range(-(-n // cols)):
        last = issue(last, [0] * -(-m // rows), k, k + skew)
    return last + skew


def test_every_recorded_run_of_scale_sim_has_these_cycles() -> None:
    found = json.loads(RECORD.read_text(encoding="utf-8"))
    assert found["versions"]["scalesim"] == "3.0.0"
    all_three = [sizes for sizes, runs in found["runs"].items() if set(runs) == set(DATAFLOWS)]
    assert len(all_three) >= 50
    for sizes, runs in found["runs"].items():
        for dataflow, cycles in runs.items():
            assert DATAFLOWS[dataflow](*map(int, sizes.split("x"))).cycles == cycles, (sizes, dataflow)


def test_output_stationary_is_the_engines_tile_loop_without_overlap(rng: np.random.Generator) -> None:
    for _ in range(200):
        m, k, n, rows, cols = (int(size) for size in rng.integers(1, 70, 5))
        assert output_stationary(m, k, n, rows, cols).cycles == engine_loop(m, k, n, rows, cols)
    # One PE: a product a cycle. 8-bit tokens, a row each, is what the engine's own count is about: it hides the skew
    # under the next tile, so that its array is busy for less.
    assert output_stationary(3, 5, 4, 1, 1).cycles == 3 * 5 * 4 - 1
    job = ResolvedJob(tokens=256, grid=None, levels=0, n_hi=256, n_sink=0)
    own = closed_form.simulate(Task(job=job, k=512, n=64), HwConfig())
    assert own.busy == 256 // 8 * 64 // 8 * 512 < output_stationary(256, 512, 64, 8, 8).cycles


@pytest.mark.parametrize("dataflow", DATAFLOWS)
def test_utilization_is_products_over_what_the_array_could_have_made(dataflow: str) -> None:
    found = DATAFLOWS[dataflow](9, 37, 5, 5, 2)  # SCALE-Sim 3.0.0 reports these per cents
    assert found.utilization == {"os": 66.33466135458167, "ws": 36.59340659340659, "is": 27.796327212020035}[
        dataflow] / 100
    assert DATAFLOWS[dataflow](1, 1, 1, 1, 1).utilization == (None if dataflow == "os" else 1.0)


def test_shapes_are_counted_under_each_dataflow_and_added_up(tmp_path: Path,
                                                             capsys: pytest.CaptureFixture[str]) -> None:
    hw = ("--hw", "rows=32", "--hw", "cols=16")
    found = report(tmp_path, "--shape", "512x300x77", "--shape", "4x4,9,11", *hw)
    assert list(found["shapes"]) == ["512x300x77", "4x4,9,11"] and (found["rows"], found["cols"]) == (32, 16)
    for name, sizes in (("512x300x77", (512, 300, 77)), ("4x4,9,11", (16, 9, 11))):
        assert {dataflow: one["cycles"] for dataflow, one in found["shapes"][name].items()} == {
            dataflow: count(*sizes, 32, 16).cycles for dataflow, count in DATAFLOWS.items()}
    for dataflow, total in found["totals"].items():
        assert total["cycles"] == sum(one[dataflow]["cycles"] for one in found["shapes"].values())
    capsys.readouterr()
    text = simulate(capsys, "--shape", "512x300x77", "--mode", "scalesim", "--dataflow", "ws", *hw)
    assert "weight-stationary" in text and "output-stationary" not in text and "TOTAL" not in text
    assert f"{found['shapes']['512x300x77']['ws']['cycles']:,}" in text and max(map(len, text.splitlines())) <= 100


def test_a_shape_beyond_the_engine_is_counted(tmp_path: Path) -> None:
    assert report(tmp_path, "--shape", "9000x99999x8")["shapes"]["9000x99999x8"]["os"]["folds"] == 9000 // 8


@pytest.mark.parametrize(("words", "message"), [
    (["--shape", "4x4x4", "--dataflow", "os"], "--dataflow: option of another mode"),
    (["--shape", "4x4x4", "--mode", "scalesim", "--schemes", "a4"], "--schemes: option of the engine"),
    (["--shape", "4x4x4", "--mode", "scalesim", "--job", "n_hi=4"], "--job: option of the engine"),
    (["--shape", "4x4x4", "--mode", "scalesim", "--mapping", "searched"], "--mapping: option of the engine"),
    (["--shape", "4x4x4", "--mode", "scalesim", "--csv", "OUT"], "--csv: option of the engine"),
    (["--shape", "4x4x4", "--mode", "scalesim", "--energy-set", "OUT"], "--energy-set: option of the engine"),
    (["--shape", "4x4x4", "--mode", "scalesim", "--prefill", "4"], "--prefill: option of whole models"),
    (["--shape", "4x4x4", "--mode", "scalesim", "--plots", "OUT"], "--plots: option of traces"),
    (["--shape", "4x4x0", "--mode", "scalesim"], "impossible shape"),
    (["--model", "smollm2", "--mode", "scalesim"], "--mode: only shapes"),
    (["trace.safetensors", "--mode", "scalesim"], "--mode: only shapes"),
], ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_an_option_without_a_meaning_there_is_refused(words: Sequence[str], message: str, tmp_path: Path,
                                                      capsys: pytest.CaptureFixture[str]) -> None:
    placed = [str(tmp_path / "out") if word == "OUT" else word for word in words]
    assert main(["simulate", *placed, "--json", str(tmp_path / "found.json")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line and not list(tmp_path.iterdir())
