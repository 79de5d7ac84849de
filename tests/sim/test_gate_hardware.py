"""A set of gates is of one hardware: whatever prices another with it says which keys differ, and writes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from rtl_gen.asic import energy_set
from sim.cost import energy, layer_cost
from sim.task import Shape
from stamp_hw.cli.main import main
from stamp_hw.errors import ConfigError
from stamp_hw.hw_config import AROUND
from tests.support.gate_sets import CONFIG, document
from tests.support.refusals import TRACE, refused

SHAPE = Shape(name="layer", tokens=64, k=128, n=64)
OTHER = {"rows": 16, "cols": 16, "lanes": 8, "axes": 1, "max_levels": 4, "max_k": 1024, "max_tokens": 512,
         "act_slots": 288, "rescale_lanes": 2, "in_width": 12, "acc_width": 30, "recip_frac": 4, "z_frac": 2,
         "mul_stages": 3, "block": 64, "packed_weights": True, "hadamard": 64, "dsp": "ecp5", "multiplier": "split"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "set.yaml"
    energy_set.write(found, document())
    return found


def test_a_set_holds_every_key_that_a_gate_hangs_on(path: Path) -> None:
    written = yaml.safe_load(path.read_text())["gates"]["hardware"]
    assert written == CONFIG.hw.gates and not set(written) & set(AROUND)
    assert energy.load_file(path).hardware == CONFIG.hw
    assert set(OTHER) == set(CONFIG.hw.gates), "a new key of hw: another value of it, or AROUND"


@pytest.mark.parametrize("key", OTHER)
def test_hardware_of_another_value_is_refused(key: str, path: Path) -> None:
    other = CONFIG.with_hw(**{key: OTHER[key]})
    with pytest.raises(ConfigError, match=f"energy set gates45: gates of other hardware; got hw.{key} {OTHER[key]}"):
        layer_cost.cost(SHAPE, other, energy.load_file(path))


def test_what_is_around_the_engine_may_differ(path: Path) -> None:
    around = CONFIG.with_hw(pad_beats=True, bus_width=64, freq_hz=1e9, memory="LPDDR5")
    assert layer_cost.cost(SHAPE, around, energy.load_file(path)).events["at_rest"]


def test_every_command_refuses_it_in_one_line(
        path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.json"
    sets = ["--energy-set", str(path), "--hw", "rows=16", "--json", str(out)]
    for words in (["simulate", "--shape", "64x128x64", *sets], ["simulate", "--model", "smollm2-135m", *sets],
                  ["simulate", str(TRACE), *sets], ["compare", "smollm2-135m", *sets]):
        said = refused(words, capsys)
        assert "gates45: gates of other hardware; got hw.rows 16" in said and "; expected 8" in said
        assert "stamp-hw characterize" in said and not out.exists()


def test_it_is_refused_before_the_first_layer_runs(
        path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sim.studies.study.run", lambda *_: pytest.fail("a layer ran"))
    assert "gates of other hardware" in refused(
        ["simulate", str(TRACE), "--energy-set", str(path), "--hw", "rows=16"], capsys)


def test_a_sweep_keeps_it_as_the_line_of_its_points(
        path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep, out = tmp_path / "sweep.yaml", tmp_path / "out.jsonl"
    text = f"workload: {{tokens: 64, k: 64, n: 64}}\nenergy_set: {path}\naxes: {{hw.rows: %s}}\n"
    sweep.write_text(text % "[8, 16]")
    assert main(["sweep", str(sweep), "--out", str(out), "--jobs", "1"]) == 0
    points = [json.loads(line)["schemes"]["stamp"] for line in out.read_text().splitlines()[1:]]
    assert points[0]["energy_fj"] > 0 and "gates of other hardware; got hw.rows 16" in points[1]["error"]
    sweep.write_text(text % "[16]")
    capsys.readouterr()
    assert "gates of other hardware; got hw.rows 16" in refused(
        ["sweep", str(sweep), "--out", str(tmp_path / "none.jsonl"), "--jobs", "1"], capsys)


def test_a_report_whose_set_is_of_other_hardware_is_not_drawn(
        path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, page = tmp_path / "out.json", tmp_path / "page.html"
    assert main(["simulate", "--shape", "64x128x64", "--energy-set", str(path), "--json", str(out)]) == 0
    assert main(["report", str(out), "--out", str(page)]) == 0
    found = json.loads(out.read_text())
    found["energy_set"]["gates"]["hardware"]["lanes"] = 32
    out.write_text(json.dumps(found))
    page.unlink()
    assert "energy_set.gates.hardware.lanes: not a report that can be drawn; got 32; expected 16" in refused(
        ["report", str(out), "--out", str(page)], capsys)
    assert not page.exists()


@pytest.mark.parametrize(("hardware", "said"), [
    ("rows=8", "gates.hardware: impossible value; got rows=8; expected keys of hw"),
    ({"row": 8}, "gates.hardware.row: unknown key"), ({"rows": 0}, "gates.hardware.rows: impossible value; got 0"),
    ({"freq_hz": 1e9}, "gates.hardware.freq_hz: impossible value")])
def test_hardware_that_is_none_is_refused(
        hardware: Any, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, found = tmp_path / "wrong.yaml", document()
    found["gates"]["hardware"] = hardware
    path.write_text(yaml.safe_dump(found))
    assert said in refused(["simulate", "--shape", "64x128x64", "--energy-set", str(path)], capsys)
