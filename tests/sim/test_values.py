"""Energy that follows a layer's values: what a set's prices of bits come to, in place of the mean prices' sum."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from rtl_gen.asic import energy_set, layer_beats, layers
from sim.cost import energy, layer_cost, values
from sim.cost.layer_cost import Cost
from sim.division import Division
from sim.task import Shape, Task
from stamp_hw.cli.main import main
from stamp_hw.config import HwConfig
from stamp_hw.engine import changes, super_tile
from stamp_hw.engine.changes import Passage
from stamp_hw.errors import ConfigError
from tests.support.gate_sets import CONFIG, RESULTS, document, result
from tests.support.refusals import TRACE

FOLLOWS = {"lifting": {"base": 2.0, "slots": 0.5}, "inverse": {"out": 0.25}, "finish": {"bias": 0.125, "out": 1.0},
           "scale": {"partial": 0.125}, "pe": {"base": 1.0, "operand": 0.5, "weight": 0.25}, "array": {"act": 1.0},
           "rescale": {"total": 0.5}, "control": {"wgt": 2.0}}


def set_of(path: Path, follows: dict[str, dict[str, float]], hw: HwConfig = CONFIG.hw) -> energy.EnergySet:
    more = [result("combine", combine_add=0.01)] if hw.block else []
    results = [replace(one, follows_pj=follows.get(one.name, {})) for one in (*RESULTS, *more)]
    energy_set.write(path, document(results, hw))
    return energy.load_file(path)


@pytest.fixture
def gates(tmp_path: Path) -> energy.EnergySet:
    return set_of(tmp_path / "set.yaml", FOLLOWS)


def passages() -> dict[str, Passage]:
    return layers.made(layers.FITTED, CONFIG, layers.SEED)


def cost(run: Passage, gates: energy.EnergySet, followed: bool = True) -> Cost:
    shape = Shape(name=run.layer.name, tokens=run.part.tokens, k=run.layer.x.shape[1], n=run.layer.weight.shape[0],
                  grid=run.grid, n_sink=run.outliers)
    return layer_cost.cost(shape, run.config, gates, run=run if followed else None)


@pytest.mark.parametrize("name", list(passages()))
def test_a_units_events_come_to_its_prices_times_its_beats(name: str, gates: energy.EnergySet) -> None:
    """Beats are those that the layer drives through the gates; all events but those of followed units stay."""
    run = passages()[name]
    found, mean = cost(run, gates), cost(run, gates, followed=False)
    assert found.followed == tuple(FOLLOWS) and mean.followed == ()
    for unit, (component, events) in values._EVENTS.items():
        total = sum(cost.energy_pj for event, cost in found.events[component].items()
                    if event in (*events, f"{unit}_beats"))
        beats, wanted = 0, 0.0
        for kind in ("pe8", "pe4") if unit == "pe" else (unit,):
            measures = changes.of_layer(run, kind)
            count = layer_beats.count(run, kind)
            if unit in ("inverse", "finish"):  # only beats that hold an output come in the last column tile
                count = run.part.tokens * Task.of(Shape(name="", tokens=run.part.tokens, k=1, n=len(
                    run.layer.weight)), CONFIG).out_beats(CONFIG.hw)
            each = FOLLOWS[unit].get("base", 0.0) + sum(
                price * measures.get(key, 0.0) for key, price in FOLLOWS[unit].items())
            beats, wanted = beats + count, wanted + count * each
        assert total == pytest.approx(wanted), unit
    own = {event for _, events in values._EVENTS.values() for event in events}
    for component, events_of in mean.events.items():
        for event, before in events_of.items():
            assert found.events[component][event].count == before.count
            if event not in own:
                assert found.events[component][event] == before


def test_a_layer_that_is_not_transformed_pays_for_its_beats(gates: energy.EnergySet) -> None:
    """It has no butterfly, whose mean price is all that lifting has without values."""
    run = passages()["made 2026.8"]
    found = cost(run, gates).events["lifting"]
    assert cost(run, gates, followed=False).events["lifting"]["forward_add"].energy_pj == 0
    assert found["lifting_beats"].energy_pj > 2.0 * found["lifting_beats"].count > 0


def test_values_that_are_not_known_leave_the_mean(tmp_path: Path) -> None:
    some = set_of(tmp_path / "some.yaml", {"scale": FOLLOWS["scale"]})
    run = passages()["made 2026.1"]
    assert cost(run, some).followed == ("scale",)
    base = energy.load("horowitz45")
    assert cost(run, base).followed == () and cost(run, base).events == cost(run, base, followed=False).events
    config = CONFIG.with_hw(block=16).with_job(group=16)
    rng = np.random.default_rng(3)
    blocks = Passage.of(replace(run.layer, x=rng.standard_normal((40, 64)).astype(np.float32)), config)
    assert cost(blocks, set_of(tmp_path / "blocks.yaml", FOLLOWS, config.hw)).followed == ()


def test_steps_of_both_precisions_are_all_steps_of_the_array() -> None:
    run = passages()["made 2026.4"]
    task = Task.of(Shape(name="", tokens=36, k=48, n=len(run.layer.weight), grid=(6, 6)), run.config)
    size = super_tile.tile_size(task.job, CONFIG.hw, super_tile.token_limit(task.job, CONFIG.hw))
    division = Division.of(super_tile.divide(task.job, *size, CONFIG.hw.rows))
    found = values.beats(task, CONFIG.hw, division)
    assert found["pe8"] + found["pe4"] == found["array"] * CONFIG.hw.rows * CONFIG.hw.cols and found["pe4"] > 0


def test_reports_say_what_followed_the_values(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "set.yaml"
    set_of(path, FOLLOWS)
    words = ["simulate", str(TRACE), "--layers", "1.self_attn.k_proj", "--schemes", "a8,stamp"]
    assert main([*words, "--energy-set", str(path), "--json", str(tmp_path / "report.json")]) == 0
    assert f"by the values of each layer: {', '.join(FOLLOWS)}; by mean prices" in capsys.readouterr().out
    assert '"follows_values": [' in (tmp_path / "report.json").read_text()
    assert main(["report", str(tmp_path / "report.json"), "--out", str(tmp_path / "report.html")]) == 0
    capsys.readouterr()
    assert main(["simulate", "--shape", "64x128x64", "--energy-set", str(path)]) == 0
    assert "by the values of each layer: none" in capsys.readouterr().out


@pytest.mark.parametrize(("follows", "said"), [
    ({"nothing": {"base": 1}}, "unknown key"), ({"pe": {"colour": 1}}, "unknown key"),
    ({"pe": {"base": -1}}, "positive"), ({"pe": 3}, "keys")])
def test_prices_that_mean_nothing_are_refused(follows: object, said: str, tmp_path: Path) -> None:
    path = tmp_path / "set.yaml"
    set_of(path, FOLLOWS)
    content = yaml.safe_load(path.read_text())
    content["gates"]["follows"] = follows
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError, match=r"gates\.follows") as found:
        energy.load_file(path)
    assert said in str(found.value)
