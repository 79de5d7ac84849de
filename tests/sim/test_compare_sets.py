"""`stamp-hw compare` under every energy set at hand: those of the package that fit, and those that are given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rtl_gen.asic import energy_set
from sim.cost import energy
from sim.cost.memory_table import load
from sim.workload import compare
from tests.support.commands import command
from tests.support.gate_sets import document

SMALL = ("smollm2-135m", "--prefill", "64", "--decode", "1")
LANGUAGE = ("--config", "configs/language.yaml")


def compared(folder: Path, *words: object) -> dict[str, Any]:
    assert command("compare", *SMALL, *words, "--json", folder / "c.json") == 0
    return dict(json.loads((folder / "c.json").read_text(encoding="utf-8")))


def test_every_shipped_set_is_asked_where_it_fits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = compared(tmp_path)
    assert set(found["energy_by_set"]) == set(energy.shipped()) == {"horowitz45", "osu018"}
    gates = found["energy_by_set"]["osu018"]
    assert set(gates["machines"]) == {"plain"} and set(gates["refused"]) == set(compare.MACHINES) - {"plain"}
    assert set(found["orders_by_energy"]["osu018"]) == {"plain"}
    text = " ".join(capsys.readouterr().out.split())
    assert "osu018 has gates of other hardware than hadamard, blocks, both." in text
    for scheme, phases in gates["machines"]["plain"].items():
        assert f"{phases['prefill']:.4g}" in text, scheme
    same = found["orders_by_energy"]["osu018"]["plain"] == found["orders_by_energy"]["horowitz45"]["plain"]
    assert found["survives"] == dict.fromkeys(compare.MACHINES, True) | {"plain": same}
    assert f"{'yes' if same else 'no'}, 2 sets" in text and "yes, 1 set" in text
    slowest = min(unit.clock_mhz for unit in energy.load("osu018").gates.values())
    assert gates["clock_mhz"] == slowest < 500 and f"gates of osu018 reach {slowest:.0f} MHz" in text


@pytest.mark.parametrize(("words", "told"), [
    ((), False), (("--energy-set", "osu018"), True), (("--energy-set", "osu018", "--hw", "freq_hz=5e7"), False)])
def test_gates_that_are_slower_than_the_clock_are_told(
        words: tuple[str, ...], told: bool, capsys: pytest.CaptureFixture[str]) -> None:
    for asked in (("--shape", "64x128x64"), ("--model", *SMALL)):
        assert command("simulate", *asked, *words) == 0
        assert ("gates of osu018 reach" in capsys.readouterr().out) == told


def test_the_figures_of_a_set_are_those_of_the_hardware_that_names_it(tmp_path: Path) -> None:
    beside, alone = compared(tmp_path), compared(tmp_path, "--hw", "technology=osu018")
    assert {name: beside["energy_by_set"][name]["machines"]["plain"] for name in energy.shipped()} == {
        name: alone["energy_by_set"][name]["machines"]["plain"] for name in energy.shipped()}
    rows = {row["scheme"]: row for row in alone["rows"] if row["machine"] == "plain"}
    for scheme, phases in beside["energy_by_set"]["osu018"]["machines"]["plain"].items():
        assert phases == {name: one["energy_j_per_unit"] for name, one in rows[scheme]["phases"].items()}
    assert all("gates of other hardware" in row["refusal"] for row in alone["rows"] if row["machine"] != "plain")


def test_a_shipped_set_that_fits_nowhere_is_left_out_and_said(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = compared(tmp_path, *LANGUAGE)
    assert set(found["orders_by_energy"]) == {"horowitz45"} and not found["energy_by_set"]["osu018"]["machines"]
    text = " ".join(capsys.readouterr().out.split())
    assert "Energy set osu018 is left out: energy set osu018: gates of other hardware; got hw.rows 16" in text


def test_a_set_that_is_given_stands_beside_them(tmp_path: Path) -> None:
    energy_set.write(tmp_path / "own.yaml", document())
    found = compared(tmp_path, "--energy-set", tmp_path / "own.yaml")
    assert list(found["energy_by_set"]) == ["horowitz45", "gates45", "osu018"]
    again = compared(tmp_path, "--energy-set", "osu018", "--energy-set", tmp_path / "own.yaml")
    assert list(again["energy_by_set"]) == ["horowitz45", "osu018", "gates45"]
    assert found["energy_by_set"] == again["energy_by_set"]


def test_areas_are_those_of_the_gates_and_of_the_banks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    energy_set.write(tmp_path / "own.yaml", document())
    found = compared(tmp_path, "--energy-set", tmp_path / "own.yaml")
    assert {name: set(parts["area_mm2"]) for name, parts in found["hardware"].items()} == {
        name: {"gates45", "osu018"} if name == "plain" else set() for name in compare.MACHINES}
    own = found["hardware"]["plain"]["area_mm2"]["gates45"]
    assert own["gates"] == pytest.approx((7 + 64) * 100 / 1e6)  # seven units, and 64 PEs
    table = load("cacti45", "here")
    square_um = sum(memory["banks"] * table.bank(memory["words"], memory["bits"]).area_um2
                    for memory in found["hardware"]["plain"]["memories"].values())
    assert own["memories"] == pytest.approx(square_um / 1e6)
    assert f"{own['gates']:.3f}" in capsys.readouterr().out
    assert command("report", tmp_path / "c.json", "--out", tmp_path / "c.html") == 0
    assert "gates, mm²" in (tmp_path / "c.html").read_text(encoding="utf-8")


def test_the_page_has_every_set(tmp_path: Path) -> None:
    compared(tmp_path)
    assert command("report", tmp_path / "c.json", "--out", tmp_path / "c.html") == 0
    page = (tmp_path / "c.html").read_text(encoding="utf-8")
    assert "Energy under every set" in page and "180 nm, 1.8 V" in page
    older = json.loads((tmp_path / "c.json").read_text())
    del older["energy_by_set"]
    (tmp_path / "c.json").write_text(json.dumps(older))
    assert command("report", tmp_path / "c.json", "--out", tmp_path / "d.html") == 0
    assert "Energy under every set" not in (tmp_path / "d.html").read_text(encoding="utf-8")
