"""Figures of a unit at sizes that are not simulated."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rtl_gen.asic import engines
from rtl_gen.asic.characterize import Result
from rtl_gen.asic.energy import Wires
from rtl_gen.asic.engines import PILOT, SECOND, Family, Size
from stamp_hw.config import NpuConfig
from stamp_hw.errors import ConfigError
from stamp_hw.params import ScaleParams
from stamp_hw.rooms import HOME
from tests.support.asic_cases import five
from tests.support.gate_sets import result

SMALL, LARGE = (Size(area_um2=area, flip_flops=flops, leakage_uw=leaks, path_ps=path)
                for area, flops, leaks, path in ((100.0, 8, 3.0, 500.0), (180.0, 14, 5.0, 450.0)))


def test_the_engine_of_sixteen_rows_is_the_language_preset_with_split_pes() -> None:
    preset = NpuConfig.load(HOME / "configs" / "language.yaml")
    assert engines.stamp(16) == preset.with_hw(multiplier="split")
    for rows in (0, 2, 6):
        with pytest.raises(ConfigError, match="a multiple of 4 from 4 on"):
            engines.stamp(rows)


def test_a_plain_engine_has_no_unit_of_stamps() -> None:
    plain = engines.plain(8).hw
    assert (plain.hadamard, plain.block, plain.max_levels) == (None, None, 0)
    assert set(engines.PLAIN) == {"scale", "array", "rescale", "finish", "control"}


def test_dividers_grow_along_a_line_with_the_rows() -> None:
    """So that the scale unit does."""
    counts = [ScaleParams.of(engines.stamp(rows).hw).dividers for rows in (4, 8, 16, 32)]
    assert counts == [3, 5, 9, 17]


def test_a_unit_of_another_size_is_on_the_line_through_both_that_were_mapped() -> None:
    assert engines.on_line(PILOT, SMALL, LARGE) == replace(SMALL, path_ps=500.0)
    assert engines.on_line(SECOND, SMALL, LARGE) == replace(LARGE, path_ps=500.0)
    assert engines.on_line(16, SMALL, LARGE) == Size(area_um2=340.0, flip_flops=26, leakage_uw=9.0, path_ps=500.0)


def test_clocks_and_steps_go_with_flip_flops_and_events_of_bits_stay() -> None:
    family = Family(pilots={"array": result("array", array_step=1.5), "scale": result("scale", scale_add=0.04)},
                    second={"scale": LARGE})
    own = replace(LARGE, flip_flops=32)
    array, scale = family.unit("array", 16, own), family.unit("scale", 16)
    assert (array.idle_pj, array.energy_pj["array.step"], array.area_um2) == (8.0, 6.0, 180.0)
    assert scale.energy_pj == {"scale.add": 0.04} and scale.flip_flops == 26 and scale.area_um2 == 340.0


def test_every_unit_is_simulated_once_a_family_and_mapped_where_it_does_not_grow_along_a_line(
        monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int, str]] = []

    def part(config: NpuConfig, name: str) -> list[tuple[str, int]]:
        return [(name, config.hw.rows)]

    def simulated(given: tuple[str, int], *_: object) -> Result:
        asked.append((*given, "simulated"))
        return result(given[0], **{f"{given[0]}_add": 0.04})

    def only_mapped(config: NpuConfig, name: str, *_: object) -> Size:
        asked.append((name, config.hw.rows, "mapped"))
        return LARGE

    monkeypatch.setattr(engines, "parts", part)
    monkeypatch.setattr(engines, "characterize", simulated)
    monkeypatch.setattr(engines, "mapped", only_mapped)
    monkeypatch.setattr(engines, "elements", lambda *_: dict.fromkeys(engines.ENGINES, result("pe")))
    found = engines.measure(five(), Wires(ff=1.0), (16, 32), lambda text: None)
    assert set(found.sizes) == {("stamp", "hadamard", 16), ("stamp", "hadamard", 32), *(
        (family, "array", rows) for family in ("stamp", "plain") for rows in (16, 32))}
    assert set(found.families["stamp"].pilots) == set(engines.UNITS) and set(found.checks) == set(engines.CHECKED)
    assert {*asked} >= {("scale", PILOT, "simulated"), ("scale", SECOND, "mapped"), ("lifting", 16, "simulated")}
    assert found.units("a8", 32)["pe"].count == 1024 and set(found.off()) == {"hadamard", "lifting"}


@pytest.mark.rtl
def test_the_arrays_edge_is_the_engines_without_the_queue_of_a_top_of_its_own() -> None:
    """What it has are registers of rows and columns, so that it grows with their square."""
    sizes = [engines.mapped(engines.stamp(rows), "array", five(), Wires(ff=1.0)).flip_flops for rows in (4, 8)]
    assert 232 <= sizes[0] <= 240 and 2 < sizes[1] / sizes[0] < 4
