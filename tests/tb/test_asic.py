"""What the simulator charges for an engine beside what its gates take (tb/asic)."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.tools import figures
from rtl_gen.asic import layers
from rtl_gen.asic.follow import Error
from sim.cost import layer_cost
from sim.task import Shape
from tb.asic import engine
from tests.sim.test_values import FOLLOWS, set_of
from tests.support.refusals import TRACE


def test_layers_of_the_engine_are_none_that_prices_were_fitted_on() -> None:
    fitted = layers.made(layers.FITTED, engine.SMALL, layers.SEED)
    unseen = engine.unseen(engine.SMALL, [TRACE])
    assert len(fitted) == len(layers.FITTED) and not set(fitted) & set(unseen)
    assert len(unseen) == len(layers.OTHERS) + layers.A_TRACE
    assert all(run.part.tokens == run.job.width * run.job.height for run in unseen.values()), "one super-tile"


def test_what_is_charged_is_all_but_memories_and_leakage(tmp_path: Path) -> None:
    chosen = set_of(tmp_path / "set.yaml", FOLLOWS, engine.SMALL.hw)
    (name, run), *_ = engine.unseen(engine.SMALL, []).items()
    mean, following, cycles = engine.charged(run, chosen)
    cost = layer_cost.cost(Shape(name=name, tokens=29, k=90, n=3), run.config, chosen)
    kept = {component: sum(event.energy_pj for event in events.values()) for component, events in cost.events.items()}
    assert {"memory", "dram", "leakage"} < set(kept)
    assert mean == pytest.approx(sum(kept[component] for component in (
        "lifting", "scale", "mac", "rescale", "control", "at_rest")))
    assert cycles == cost.cycles.total and following != pytest.approx(mean)


def test_the_worst_error_is_reported_either_way() -> None:
    found = [(Error(run=name, total_pj=100.0, mean=mean, following=following), 10, 9)
             for name, mean, following in (("a", 0.2, 0.01), ("b", -0.3, -0.02))]
    reported = engine.report(found, engine.SMALL)
    assert (reported["energy_error"], reported["mean_energy_error"]) == (0.02, 0.3)
    assert reported["checked"]["hw"]["rows"] == 2 and len(reported["checked"]["errors"]) == 2


def test_a_page_has_the_least_and_the_largest_error_and_none_without_a_check() -> None:
    errors = [{"run": "a", "total_pj": 9.0, "mean": -0.2, "following": 0.01},
              {"run": "b", "total_pj": 8.0, "mean": 0.5, "following": -0.034}]
    block = {"errors": errors, "energy_error": 0.034, "follows_pj": {"base": 1.25}}
    whole = {"energy_error": 0.02, "checked": {"hw": {"rows": 2, "cols": 2}, "errors": errors[:1]}}
    found = figures.held({"pe": block}, whole)
    assert found["held"].splitlines() == ["| pe | -20.0 … +50.0 % | -3.4 … +1.0 % |",
                                          "| engine of 2 × 2, whole | -20.0 … -20.0 % | +1.0 … +1.0 % |"]
    assert (found["worst"], found["worst_mean"], found["follows"]) == (0.034, 0.5, "| pe | base 1.25 |")
    for blocks, engine_ in (({"pe": {**block, "errors": []}}, whole), ({"pe": block}, {"area_um2": 1.0})):
        with pytest.raises(figures.NotTakenError, match="--check"):
            figures.held(blocks, engine_)


@pytest.mark.parametrize(("words", "said"), [
    (["--liberty", "nothing"], "no such library"), (["--json", "no.json"], "no.json")])
def test_what_cannot_be_checked_is_refused_in_a_line(
        words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert engine.main(words) == 2
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1 and err.startswith("stamp-hw: ")
