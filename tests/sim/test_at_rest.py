"""Sets made from gates: their finer constants, and clocks and leakage of every unit in every cycle."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from rtl_gen.asic import energy_set
from sim.cost import energy, layer_cost
from sim.task import Shape
from stamp_hw.cli.main import main
from stamp_hw.errors import ConfigError
from tests.support.gate_sets import CONFIG, RESULTS, document, result
from tests.support.refusals import refused

SHAPE = Shape(name="layer", tokens=300, k=200, n=72)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "set.yaml"
    energy_set.write(found, document())
    return found


def test_a_set_of_gates_is_read_with_what_it_is_based_on(path: Path) -> None:
    found, base = energy.load_file(path), energy.load("horowitz45")
    assert found.name == "gates45" and set(found.gates) == {one.name for one in RESULTS}
    assert found.constants["dram.access"] == base.constants["dram.access"]
    assert found.memories is not None and found.memories.table.name == "cacti45"
    assert found.constants["lifting.add"].at(8) == pytest.approx(0.08)
    assert found.constants["lifting.add"].at(20) == pytest.approx(0.2)  # so much a bit
    assert set(found.sources) == {"gates", "cacti45", *base.sources}
    assert found.describe()["gates"]["units"]["pe"]["idle_pj"] == 2.0


def test_steps_of_a_pe_cost_what_its_gates_took(path: Path) -> None:
    """A step is a multiplication and one accumulation, or two."""
    constants = energy.load_file(path).constants
    price = {name: constants[name].at(0) for name in ("mac.multiply", "mac.add", "mac.step4")}
    assert price["mac.multiply"] + price["mac.add"] == pytest.approx(3.0)
    assert price["mac.step4"] + 2 * price["mac.add"] == pytest.approx(2.5)


def test_events_take_the_finer_constant_where_a_set_has_one(path: Path) -> None:
    gates, base = energy.load_file(path), energy.load("horowitz45")
    found, before = (layer_cost.cost(SHAPE, CONFIG, chosen) for chosen in (gates, base))
    for component, event, finer in (("lifting", "inverse_add", "inverse.add"), ("rescale", "bias", "finish.add"),
                                    ("mac", "multiply_4bit_row", "mac.step4")):
        doubled = layer_cost.cost(SHAPE, CONFIG, gates.scaled(finer, 2.0)).events
        for name, cost in found.events[component].items():
            assert doubled[component][name].energy_pj == cost.energy_pj * (2 if name == event else 1)
    assert {name: events.keys() for name, events in before.events.items()} == {
        name: found.events[name].keys() for name in before.events}


def test_every_unit_pays_for_every_cycle(path: Path) -> None:
    gates = energy.load_file(path)
    found = layer_cost.cost(SHAPE, CONFIG, gates)
    cycles, freq = found.cycles.total, CONFIG.hw.freq_hz
    for name, count in (("pe", 64), ("lifting", 1), ("control", 1)):
        assert found.events["at_rest"][name].energy_pj == pytest.approx(count * 2.0 * cycles)
        assert found.events["leakage"][name].energy_pj == pytest.approx(count * 3.0e-6 * cycles / freq * 1e12)
        assert found.events["at_rest"][name].count == cycles
    steps = found.events["control"]
    assert steps["array_step"].energy_pj == 1.5 * steps["array_step"].count
    assert steps["control_step"].energy_pj == 4.0 * steps["control_step"].count
    multiplies = sum(found.events["mac"][name].count for name in ("multiply_8bit_row", "multiply_4bit_row"))
    assert multiplies == 64 * steps["array_step"].count, "a step of the array is one of every PE"


def test_a_set_without_gates_has_neither(path: Path) -> None:
    assert not {"at_rest", "leakage", "control"} & set(layer_cost.cost(SHAPE, CONFIG, energy.load("horowitz45")).events)


def test_a_constant_without_energy_stays_that_of_the_base() -> None:
    results = [result("lifting", lifting_add=-0.001), *RESULTS[1:]]
    assert "lifting.add" not in document(results)["constants"]


def test_simulate_takes_the_set_and_reports_it(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--shape", "64x128x64", "--energy-set", str(path)]) == 0
    out = capsys.readouterr().out
    assert "at_rest" in out and "leakage" in out
    model = tmp_path / "model.json"
    assert main(["simulate", "--model", "smollm2-135m", "--energy-set", str(path), "--json", str(model)]) == 0
    assert '"at_rest"' in model.read_text() and '"leakage"' in model.read_text()


def test_a_set_that_has_to_be_made_says_how(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--energy-set", "freepdk45"], ["--hw", "technology=freepdk45"]):
        said = refused(["simulate", "--shape", "64x128x64", *words], capsys)
        assert "no such energy set; got freepdk45" in said and "make asic" in said
        assert "stamp-hw characterize --liberty freepdk45 --out freepdk45.yaml" in said


def test_a_set_that_ships_goes_by_its_name(
        tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out.json"
    found = []
    for words in (["--energy-set", "osu018"], ["--hw", "technology=osu018"]):
        assert main(["simulate", "--shape", "64x128x64", *words, "--json", str(out)]) == 0
        found.append(json.loads(out.read_text()))
    assert found[0]["energy_set"] == found[1]["energy_set"] and found[0]["layers"] == found[1]["layers"]
    assert found[0]["energy_set"]["name"] == "osu018" and "at_rest" in capsys.readouterr().out
    (tmp_path / "osu018").write_text("{}")  # a file of that name is the user's own
    assert "osu018.name: missing key" in refused(["simulate", "--shape", "64x128x64", "--energy-set", "osu018"], capsys)


def test_a_sweep_takes_a_set_by_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "workload: {tokens: 64, k: 64, n: 64}\naxes: {job.n_hi: [0, 8]}\nenergy_set: %s\n"
    (tmp_path / "sweep.yaml").write_text(text % "osu018")
    assert main(["sweep", str(tmp_path / "sweep.yaml"), "--out", str(tmp_path / "out"), "--jobs", "1"]) == 0
    (tmp_path / "sweep.yaml").write_text(text % "freepdk45")
    assert "make asic" in refused(["sweep", str(tmp_path / "sweep.yaml"), "--out", str(tmp_path / "no")], capsys)


@pytest.mark.parametrize(("change", "said"), [
    ({"gates": {"hardware": {}}}, "gates.units: missing key"),
    ({"gates": {"hardware": {}, "units": {}}}, "gates.units.scale: missing key"),
    ({"gates": {"hardware": {}, "units": 3}}, "gates.units: impossible value; got int; expected keys scale, "),
    ({"base": "nothing"}, "wrong.yaml: base: no such energy set; got nothing"),
    ({"base": "osu018"}, "base: impossible value; got osu018; expected a set of arithmetic alone"),
    ({"base": 3}, "a text")])
def test_a_set_with_wrong_gates_is_refused(
        change: dict[str, object], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump(document() | change))
    with pytest.raises(ConfigError):
        energy.load_file(path)
    assert said in refused(["simulate", "--shape", "64x128x64", "--energy-set", str(path)], capsys)


@pytest.mark.parametrize(("keys", "value", "said"), [
    (("gates", "units", "PE"), {}, "gates.units.PE: unknown key; expected one of scale, "),
    (("gates", "units", "hadamard"), {}, "gates.units.hadamard: unknown key"),
    (("gates", "units", "pe", "clock_pj"), 9.0, "clock_pj: impossible value; got 9.0; expected at most idle_pj, 2"),
    (("gates", "units", "pe", "idle_pj"), -1.0, "a positive number"),
    (("gates", "follows"), {"hadamard": {"in": 1.0}}, "gates.follows.hadamard: unknown key"),
    (("gates", "follows"), {"scale": {"weight": 1.0}},
     "follows.scale.weight: unknown key; expected one of base, in, out, partial, groups"),
    (("gates", "follows"), {"lifting": {}}, "follows.lifting: impossible value; got nothing; expected a price"),
    (("constants", "rescale.add", "energy_pj"), {8: 2.0, 32: 1.0}, "a curve that does not fall"),
    (("constants", "rescale.add", "energy_pj"), {8: 1.0, 32: 9.0}, "and is above zero at 1")])
def test_a_set_with_a_wrong_place_is_refused(
        keys: tuple[str, ...], value: object, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, content = tmp_path / "wrong.yaml", document()
    *above, last = keys
    inside: dict[str, object] = content
    for key in above:
        inside = inside[key]  # type: ignore[assignment]
    inside[last] = value
    path.write_text(yaml.safe_dump(content))
    assert said in refused(["simulate", "--shape", "64x128x64", "--energy-set", str(path)], capsys)
