"""The engines of docs/silicon.md: whose energy is whose, and that none is lost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from docs.tools import silicon as page
from rtl_gen.asic import engines, libraries
from rtl_gen.asic.energy import Wires
from rtl_gen.asic.engines import ENGINES, Family, Measured, Size
from sim.cost import layer_cost
from tb.asic import silicon
from tests.support.asic_cases import five
from tests.support.gate_sets import result

EVENTS = {"hadamard": ("hadamard_add",), "lifting": ("lifting_add",), "scale": ("scale_add", "scale_multiply"),
          "array": ("array_step",), "combine": ("combine_add", "combine_multiply"),
          "rescale": ("rescale_add", "rescale_multiply"), "inverse": ("inverse_add",), "finish": ("finish_add",),
          "control": ("control_step",)}
SIZE = Size(area_um2=100.0, flip_flops=8, leakage_uw=3.0, path_ps=500.0)
PILOTS = {name: result(name, **dict.fromkeys(EVENTS[name], 0.01)) for name in engines.UNITS}
PE = result("pe", mac_step8=3.0, mac_step4=2.5)
MEASURED = Measured(
    families={"stamp": Family(pilots=PILOTS, second=dict.fromkeys(engines.UNITS, SIZE)),
              "plain": Family(pilots={name: PILOTS[name] for name in engines.PLAIN},
                              second=dict.fromkeys(engines.PLAIN, SIZE))},
    sizes={(family, "array", 16): replace(SIZE, path_ps=800.0) for family in ("stamp", "plain")} | {
        ("stamp", "hadamard", 16): replace(SIZE, area_um2=700.0)},
    pes={engine: replace(PE, area_um2=area) for engine, area in (("stamp", 12.0), ("a8", 10.0), ("a4", 8.0))},
    checks={"lifting": replace(PILOTS["lifting"], idle_pj=4.0, energy_pj={"lifting.add": 0.008})})


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return silicon.document(MEASURED, (16,), libraries.find("five"), five(), Wires(ff=1.0))


def test_engines_have_one_clock_that_of_the_slowest_unit(found: dict[str, Any]) -> None:
    assert found["clock_mhz"] == pytest.approx(1e6 / 800.0)
    assert [one["limit_mhz"] for one in found["engines"]["16"].values()] == pytest.approx([1250.0] * 3)


def test_a_unit_that_is_simulated_at_its_size_says_how_far_scaling_is_off(found: dict[str, Any]) -> None:
    assert found["off"]["lifting"] == pytest.approx({"area": 0.0, "rest": -0.5, "event": 0.25})


def test_the_area_of_an_engine_is_that_of_its_units_and_of_every_pe(found: dict[str, Any]) -> None:
    stamp, a8 = (found["engines"]["16"][name] for name in ("stamp", "a8"))
    assert stamp["area_um2"] == 8 * 100.0 + 700.0 + 256 * 12.0
    assert a8["area_um2"] == 5 * 100.0 + 256 * 10.0 and set(a8["units"]) == {*engines.PLAIN, "pe"}
    for one in (stamp, a8):
        assert sum(unit["area_share"] for unit in one["units"].values()) == pytest.approx(1)
        assert sum(unit["share"] for unit in one["units"].values()) == pytest.approx(1), "energy has an owner"


@pytest.mark.parametrize("engine", ENGINES)
def test_no_energy_of_the_simulators_is_lost(engine: str, found: dict[str, Any]) -> None:
    config = silicon.configuration(engine, 16, 1e6 * found["clock_mhz"])
    units = MEASURED.units(engine, 16)
    priced = silicon.make_set(list(units.values()), config, libraries.find("five"), five(), Wires(ff=1.0))
    shapes, own = silicon.layers(), found["engines"]["16"][engine]
    costs = [layer_cost.cost(shape, config, priced) for shape in shapes]
    idle = () if engine == "stamp" else ("lifting", "inverse")  # units that are there and not counted
    whole = sum(event.energy_pj for cost in costs for events in cost.events.values() for name, event in events.items()
                if not name.startswith(idle or "nothing"))
    assert sum(own[key] for key in ("gates_pj", "memories_pj", "dram_pj")) == pytest.approx(whole / silicon.TOKENS)
    memories = sum(unit["memories_pj"] for unit in own["units"].values()) + own["buffers_pj"]
    assert memories == pytest.approx(own["memories_pj"])
    assert own["cycles"] == sum(cost.cycles.total for cost in costs)
    assert own["tops_mm2_memories"] < own["tops_mm2"] and own["memories_um2"] > sum(
        unit["memories_um2"] for unit in own["units"].values())


def test_the_layers_are_those_of_a_block(found: dict[str, Any]) -> None:
    assert found["layers"] == ["2048x576x960", "2048x576x576", "2048x576x3072", "2048x1536x576"]


def test_a_plain_engine_pays_for_no_transform(found: dict[str, Any]) -> None:
    stamp, a8 = (found["engines"]["16"][name]["units"] for name in ("stamp", "a8"))
    assert all(stamp[name]["pj"] > 0 for name in page.ALL) and not set(page.ALL) & set(a8)
    assert stamp["combine"]["memories_pj"] > 0 and stamp["lifting"]["memories_pj"] > 0


def test_the_page_has_every_unit_and_what_others_published(found: dict[str, Any]) -> None:
    shown = page.silicon(found | {"engines": {"16": found["engines"]["16"], "32": found["engines"]["16"]}})
    assert all(f"| {name} |" in shown["r16"]["table"] for name in (*engines.UNITS, "pe"))
    assert shown["pe_over_a8"] == 1.2 and "arXiv 2602.11357" in shown["published"]
    texts = silicon.render(found)
    assert "hadamard" in texts and "TOPS/mm²" in texts


def test_without_a_library_the_command_says_what_to_install(
        monkeypatch: pytest.MonkeyPatch, tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    gone = replace(libraries.known()["freepdk45"], path=tmp_path / "gone")
    monkeypatch.setattr(libraries, "known", lambda: {"freepdk45": gone})
    with pytest.raises(SystemExit) as ended:
        silicon.main([])
    assert ended.value.code == 2
    assert "`pip install 'stamp-hw[asic]'`" in capsys.readouterr().err
