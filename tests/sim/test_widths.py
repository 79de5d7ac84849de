"""`stamp-hw widths`: integer arithmetic against float STaMP by width, and what the defaults rest on."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from sim.studies import widths
from stamp_hw.cli.main import main
from stamp_hw.config import NpuConfig
from stamp_hw.engine import linear
from stamp_hw.errors import StampError
from stamp_hw.formats.trace import Trace
from stamp_hw.layer import Layer

ROOT = Path(__file__).parents[2]
TRACES = sorted((ROOT / "models" / "traces").glob("*.safetensors"))
LLAMA = ROOT / "models" / "traces" / "llama_small.safetensors"


def drawn(grid: tuple[int, int] | None = None) -> Layer:
    """Smooth tokens, a few channels louder than the others; always the same: what a width costs depends on them."""
    rng = np.random.default_rng(0)
    height, width = grid or (1, 64)
    x = np.cumsum(rng.standard_normal((height, width, 48)), axis=1)
    if grid:
        x = np.cumsum(x, axis=0)
    x *= np.exp(rng.standard_normal(48))
    weight = rng.standard_normal((24, 48)).astype(np.float32)
    return Layer("drawn", x.reshape(height * width, 48).astype(np.float32), weight, grid=grid)


@pytest.mark.parametrize("grid", [None, (8, 8)])
def test_narrow_hardware_costs_what_wide_hardware_does_not(grid: tuple[int, int] | None) -> None:
    study = widths.run([drawn(grid)], NpuConfig())
    loss = {name: [tried[value]["drawn"].loss_db for value in sorted(tried)]
            for name, tried in study.items() if name in widths.HARDWARE}
    for name in ("in_width", "recip_frac"):
        assert loss[name][0] > loss[name][-1] + 0.05, f"{name}: narrow costs more"
    assert study["z_frac"][4]["drawn"] == study["in_width"][16]["drawn"] == study["recip_frac"][8]["drawn"]
    assert set(study["levels"]) == set(range(7 if grid is None else 5)), "one more than the job's own"


def test_both_sides_run_the_same_job() -> None:
    """8-bit tokens, no transform: the float side is within the engine's own rounding of the golden model."""
    layer = drawn()
    for job in ({"levels": 0, "n_hi": 65536}, {"levels": 3, "n_hi": 7}, {"scale_mode": "symmetric"}):
        config = NpuConfig().with_job(**job)
        result = linear.run_linear(layer, config)
        floats = widths.float_sqnr(layer, config)
        assert abs(floats[0] - result.sqnr_db) < 0.05 and abs(floats[1] - result.output_sqnr_db) < 0.3, job


def test_a_kinds_own_job_is_studied_and_exact_layers_are_left_out() -> None:
    layer = drawn()
    config = NpuConfig.from_dict({"kinds": {"linear": {"levels": 0, "n_hi": 0, "scale_mode": "symmetric"}}})
    flat = Layer("flat", np.ones((16, 48), np.float32), layer.weight)
    zero = Layer("zero", np.zeros((16, 48), np.float32), layer.weight)
    study = widths.run([flat, layer, zero], config)
    assert set(study["in_width"][16]) == {"drawn"}
    result = linear.run_linear(layer, config.for_kind("linear"))
    assert study["in_width"][16]["drawn"].engine_sqnr_db == result.sqnr_db
    with pytest.raises(StampError, match="has noise"):
        widths.run([flat, zero], NpuConfig())


def test_the_narrowest_width_is_the_one_below_which_a_layer_loses_too_much() -> None:
    def cost(loss: float) -> widths.Cost:
        return widths.Cost(sqnr_db=20.0, engine_sqnr_db=20.0 - loss, output_sqnr_db=30.0, engine_output_sqnr_db=30.0)

    study: widths.Study = {name: {value: {"a": cost(0.0), "b": cost(0.0)} for value in values}
                           for name, values in widths.HARDWARE.items()}
    study["in_width"][11]["b"] = cost(0.051)
    study["in_width"][9]["a"] = cost(0.2)
    study["recip_frac"][8]["a"] = cost(0.06)
    assert widths.narrowest(study) == {"in_width": 12, "recip_frac": None, "z_frac": 0}


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_the_defaults_cost_no_layer_of_a_shipped_trace_more_than_the_limit(path: Path) -> None:
    config = NpuConfig()
    with Trace.open(path) as trace:
        for name in trace.layer_names:
            layer = trace.layer(name)
            result, floats = linear.run_linear(layer, config), widths.float_sqnr(layer, config)
            assert floats[0] - result.sqnr_db <= widths.LIMIT_DB, name
            assert floats[1] - result.output_sqnr_db <= widths.LIMIT_DB, name


def test_the_page_shows_what_the_command_finds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A layer of the shipped trace, and the narrowest widths, which the page states for all of them."""
    out, plot = tmp_path / "w.json", tmp_path / "w.png"
    assert main(["widths", str(LLAMA), "--layers", r"4\.mlp\.down_proj", "--json", str(out), "--plot", str(plot)]) == 0
    printed = capsys.readouterr().out
    report = json.loads(out.read_text("utf-8"))
    rows = {(row["parameter"], row["value"]): row for row in report["rows"]}
    page = (ROOT / "docs" / "widths.md").read_text("utf-8")
    for width in (11, 12):  # that layer is the worst one there
        line = re.search(rf"^\| \**{width}\** \| [^|]+ \| \+([0-9.]+) \|", page, re.M)
        assert line and float(line[1]) == pytest.approx(rows["in_width", width]["worst_loss_db"], abs=2e-3)
    assert report["narrowest"]["in_width"] == 12 and "in_width 12" in printed and "16 (configured)" in printed
    assert plot.stat().st_size > 10_000


def test_bad_input_is_one_clear_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for argv, message in (([str(LLAMA), "--layers", "zzz"], "no layer matches"),
                          ([str(LLAMA), "--json", str(LLAMA)], "in the way"),
                          ([str(tmp_path / "no")], "cannot read trace")):
        assert main(["widths", *argv]) == 2
        line = capsys.readouterr().err
        assert message in line and line.count("\n") == 1
