"""What reports say of on-chip memories: their banks, the price of an access, accesses and energy that add up."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from sim.banks import banks
from sim.cost import bank_prices, energy
from sim.report import read
from sim.report.view import Table
from sim.workload import compare
from stamp_hw.config import HwConfig, NpuConfig
from stamp_hw.errors import StampError
from tests.support import report_cases

SET = energy.load("horowitz45")


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder: Path = tmp_path_factory.mktemp("banks")
    return {kind: report_cases.document(report_cases.write(kind, folder)) for kind in ("shape", "model")}


def tables(document: dict[str, Any]) -> list[Table]:
    return [part for section in read.view_of(document, "report.json").sections for part in section.parts
            if isinstance(part, Table) and part.caption.startswith("On-chip memories")]


@pytest.mark.parametrize("kind", ["shape", "model"])
def test_a_report_has_the_banks_of_its_hardware_and_what_an_access_costs(
        kind: str, documents: dict[str, dict[str, Any]]) -> None:
    document = documents[kind]
    hw = HwConfig(**document["config"]["hw"])
    assert document["memories"] == {one.name: {
        "banks": one.count, "words": one.words, "bits": one.bits,
        "access_pj": pytest.approx(SET.constants["memory.access"].at(one.bank_bytes) * one.bits / 64, rel=1e-8)}
        for one in banks(hw)}


def test_a_comparison_has_the_banks_of_every_machine(tmp_path: Path) -> None:
    document = report_cases.document(report_cases.write("comparison", tmp_path))
    base = NpuConfig.from_dict(document["config"])
    assert set(document["hardware"]) == set(compare.MACHINES)
    for name, found in document["hardware"].items():
        hw = compare.machine(name, base).hw
        assert found["memories"] == bank_prices.described(hw, SET), name
        bits = sum(one["banks"] * one["words"] * one["bits"] for one in found["memories"].values())
        assert -(-bits // 8) == found["memory_bytes"], name


def test_accesses_times_their_price_are_the_energy_of_a_layers_memories(documents: dict[str, dict[str, Any]]) -> None:
    document = documents["shape"]
    memories = document["memories"]
    for schemes in (document["totals"], *document["layers"].values()):
        found = schemes["stamp"]["energy_by_component"]["memory"]
        assert set(found["events"]) == set(memories)
        for name, event in found["events"].items():
            assert event["energy_pj"] == pytest.approx(event["count"] * memories[name]["access_pj"], rel=1e-8)
        assert found["energy_pj"] == pytest.approx(sum(event["energy_pj"] for event in found["events"].values()))


def test_the_memories_of_a_model_add_up_to_their_component_exactly(documents: dict[str, dict[str, Any]]) -> None:
    document = documents["model"]
    for found in document["schemes"].values():
        assert set(found["memories"]) == set(document["memories"])
        assert sum(one["energy_fj"] for one in found["memories"].values()) == (
            found["total"]["energy_fj_by_component"]["memory"])
        assert sum(phase["energy_fj_by_component"]["memory"] for phase in found["phases"].values()) == (
            found["total"]["energy_fj_by_component"]["memory"])
        assert any(one["accesses"] for one in found["memories"].values())
        assert all(type(value) is int for one in found["memories"].values() for value in one.values())


@pytest.mark.parametrize("kind", ["shape", "model"])
def test_the_page_has_a_row_a_memory_and_a_report_without_any_has_no_table(
        kind: str, documents: dict[str, dict[str, Any]]) -> None:
    document = copy.deepcopy(documents[kind])
    (table,) = tables(document)
    assert table.columns[0] == "memory" and "pJ an access" in table.columns and "accesses" in table.columns
    assert [row[0].text for row in table.rows] == [name.replace("_", " ") for name in document["memories"]]
    assert [[cell.value for cell in row[1:4]] for row in table.rows] == [
        [one["banks"], one["words"], one["bits"]] for one in document["memories"].values()]
    del document["memories"]
    assert tables(document) == []


@pytest.mark.parametrize(("key", "value"), [("banks", 0), ("words", "many"), ("access_pj", -1.0)])
def test_impossible_banks_are_refused_by_name(key: str, value: object, documents: dict[str, dict[str, Any]]) -> None:
    document = copy.deepcopy(documents["shape"])
    document["memories"]["ring_buffer"][key] = value
    with pytest.raises(StampError, match=rf"memories\.ring_buffer\.{key}"):
        read.view_of(document, "report.json")
