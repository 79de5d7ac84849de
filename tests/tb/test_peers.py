"""Beside the peers: what they are asked, what is made of their answers, what they say where they are installed."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from docs.tools.results import ROOT
from sim.cost import energy
from stamp_hw.config import NpuConfig
from stamp_hw.errors import StampError
from tb.peers import accelerator, cases, measure, ours, process
from tb.peers.run import main

PYTHON = ROOT / ".venv" / ".peers" / "bin" / "python"
FEW = ((7, 9, 11, 4, 3), (33, 12, 20, 8, 8), (1, 40, 3, 2, 16))
installed = pytest.mark.skipif(not PYTHON.is_file(), reason="no SCALE-Sim: make peers installs it")


def script(path: Path, text: str) -> Path:
    """A program in the place of the peers' Python: it gets a script, a question and the name of the answer."""
    path.write_text(f"#!{sys.executable}\nimport json, sys\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def test_at_least_fifty_shapes_are_asked_for_under_each_dataflow() -> None:
    asked = cases.cases()
    assert asked == cases.cases()
    shapes = {tuple(case[name] for name in cases.SIZES) for case in asked}
    assert len(shapes) >= 50 and len(asked) == 3 * len(shapes)
    assert Counter(case["dataflow"] for case in asked) == dict.fromkeys(("os", "ws", "is"), len(shapes))
    assert {1} < {case["rows"] for case in asked} and any(case["m"] < case["rows"] for case in asked)


@installed
def test_scale_sim_itself_counts_the_same() -> None:
    asked = [dict(zip(cases.SIZES, sizes, strict=True)) | {"dataflow": dataflow}
             for sizes in FEW for dataflow in ("os", "ws", "is")]
    answer, _ = process.ask(PYTHON, "run_scalesim.py", asked)
    assert answer["versions"]["scalesim"] == "3.0.0"
    assert [run["cycles"] for run in answer["runs"]] == [cases.count(case) for case in asked]
    assert {run["stall_cycles"] for run in answer["runs"]} == {0}


@installed
def test_zigzag_itself_takes_the_accelerator_and_its_array_takes_as_many_steps() -> None:
    config, energy_set = ours.configured()
    answer, _ = process.ask(PYTHON, "run_zigzag.py", {
        "accelerator": accelerator.accelerator(config.hw, energy_set), "mapping": accelerator.mapping(config.hw),
        "workload": accelerator.workload([("one", 64, 96, 128)], config.hw), "opt": accelerator.OPT,
        "lpf_limit": accelerator.LPF_LIMIT})
    (found,) = answer["products"]
    (own,) = ours.costs([("one", 64, 96, 128)], config, energy_set).values()
    assert found["cycles"]["steps"] == own.cycles.streaming == 64 * 96 * 128 // (config.hw.rows * config.hw.cols)


def test_the_layer_is_the_seven_products_of_a_block_of_llama_3_8b() -> None:
    assert [(m, k, n) for _, m, k, n in ours.products()] == [
        (2048, 4096, 4096), (2048, 4096, 1024), (2048, 4096, 1024), (2048, 4096, 4096), (2048, 4096, 14336),
        (2048, 4096, 14336), (2048, 14336, 4096)]


def test_figures_of_ours_add_up_and_are_counted_anew_each_time() -> None:
    config, energy_set = ours.configured()
    products = [("a", 64, 256, 96), ("b", 64, 256, 96)]
    found = {name: ours.figures(cost) for name, cost in ours.costs(products, config, energy_set).items()}
    assert found["a"] == found["b"]
    for row in (*found.values(), ours.summed(list(found.values()))):
        for values in row.values():
            parts = [value for name, value in values.items() if name != "total"]
            assert sum(parts) == pytest.approx(values["total"], rel=1e-12)
    assert ours.summed(list(found.values()))["cycles"]["total"] == 2 * found["a"]["cycles"]["total"]
    from sim.engine import closed_form

    ours.costs(products, config, energy_set)
    assert closed_form._simulate.cache_info().hits == 0 and closed_form._simulate.cache_info().currsize == 1
    assert ours.seconds(lambda: None, 3) < 1.0


def test_the_accelerator_has_the_hardwares_sizes_and_constants() -> None:
    config, energy_set = ours.configured()
    found = accelerator.accelerator(config.hw, energy_set)
    hw, memories = config.hw, found["memories"]
    assert list(memories) == ["sums", "activations", "weights", "outputs", "dram"], "the nearest first"
    assert memories["activations"]["size"] == 2 * 8 * hw.act_slots * hw.max_k
    assert memories["weights"]["size"] == 2 * 8 * hw.cols * hw.max_k
    assert memories["dram"]["ports"][0]["bandwidth_max"] == accelerator.dram_bits(hw) == 1024
    assert found["operational_array"]["sizes"] == [hw.cols, hw.rows]
    horowitz = energy.load("horowitz45").constants
    assert found["operational_array"]["unit_energy"] == horowitz["mac.multiply"].at(0)
    assert memories["sums"]["w_cost"] == horowitz["mac.add"].at(0)
    assert memories["dram"]["r_cost"] == horowitz["dram.access"].at(0) * 1024 / (horowitz["dram.access"].per_bits or 1)
    twice = accelerator.accelerator(hw, energy_set.scaled("memory.access", 2.0))["memories"]
    assert twice["weights"]["r_cost"] == 2 * memories["weights"]["r_cost"] > 0
    assert yaml.safe_load(yaml.safe_dump(found, sort_keys=False)) == found


def test_answers_of_zigzag_are_read_by_operand_and_level() -> None:
    config, energy_set = ours.configured()
    pj = accelerator.dram_pj(config.hw, energy_set)
    memory = {"O": [1.0, 2.0, 3 * pj], "I": [4.0, 5 * pj], "W": [8.0, 7 * pj]}
    found = measure._theirs({"cycles": {"total": 9}, "mac_pj": 16.0, "memory_pj": memory, "total_pj": 99.0}, config,
                            energy_set)
    assert found["energy_pj"] == {
        "multiply": 16.0, "accumulate": 1.0, "activation_buffer": 4.0, "weight_buffer": 8.0, "output_buffer": 2.0,
        "dram_activations": 5 * pj, "dram_weights": 7 * pj, "dram_outputs": 3 * pj, "total": 99.0}
    assert found["dram_bytes"] == {"weights": 7 * 128, "activations": 5 * 128, "outputs": 3 * 128, "total": 15 * 128}


def test_a_run_of_scale_sim_with_other_cycles_ends_it(tmp_path: Path) -> None:
    python = script(tmp_path / "python", "asked = json.load(open(sys.argv[2]))\n"
                    "json.dump({'versions': {}, 'runs': [{'cycles': 5} for _ in asked]}, open(sys.argv[3], 'w'))")
    with pytest.raises(StampError, match="1x1x1 on 4 x 4, os: SCALE-Sim counts other cycles.*5.*6"):
        measure.measure(python)


def test_a_report_has_ratios_of_cpu_seconds_and_keeps_the_runs(tmp_path: Path) -> None:
    python = script(tmp_path / "python", """
def cycles(c):
    m, k, n, r, w = (c[name] for name in ('m', 'k', 'n', 'rows', 'cols'))
    down, across, steps = {'os': (m, n, k), 'ws': (k, n, r + m), 'is': (k, m, r + n)}[c['dataflow']]
    return -(-down // r) * -(-across // w) * (steps + r + w - 2) - 1
asked = json.load(open(sys.argv[2]))
if 'run_scalesim' in sys.argv[1]:
    answer = {'runs': [{'cycles': cycles(case), 'cpu_s': 20.0} for case in asked]}
else:
    answer = {'cpu_s': 10.0, 'products': [
        {'name': one['name'], 'cycles': {'steps': 3, 'total': 5}, 'mac_pj': 1.0, 'total_pj': 8.0,
         'memory_pj': {'O': [1.0] * 3, 'I': [1.0] * 2, 'W': [1.0] * 2}} for one in asked['workload']]}
json.dump({'versions': {'scalesim': '3.0.0'}, **answer}, open(sys.argv[3], 'w'))""")
    out, runs = tmp_path / "peers.json", tmp_path / "runs.json"
    assert main(["--python", str(python), "--json", str(out), "--runs", str(runs)]) == 0
    found = json.loads(out.read_text(encoding="utf-8"))
    assert found["sim_vs_scalesim"] == 20.0 / found["scalesim"]["ours_cpu_s"] > 0
    assert found["sim_vs_zigzag"] == 10.0 / found["zigzag"]["ours_cpu_s"] > 0
    assert found["cold_vs_zigzag"] == found["zigzag"]["cold_s"] / found["zigzag"]["ours_cold_s"]
    assert found["zigzag"]["total"]["zigzag"]["cycles"] == {"steps": 21, "total": 35}
    kept, recorded = (json.loads(path.read_text(encoding="utf-8")) for path in (
        runs, ROOT / "tests" / "reference" / "peers" / "scalesim.json"))
    assert kept["runs"] == recorded["runs"], "the record has the shapes that are asked for"


@pytest.mark.parametrize(("text", "message"), [
    (None, "no environment of the peers"), ("sys.exit('out of luck')", "a process failed.*out of luck")],
    ids=["missing", "failing"])
def test_an_environment_that_does_not_answer_is_one_line(text: str | None, message: str, tmp_path: Path,
                                                         caplog: pytest.LogCaptureFixture) -> None:
    python = tmp_path / "python"
    if text is not None:
        script(python, text)
    out = tmp_path / "peers.json"
    with caplog.at_level("ERROR"):
        assert main(["--python", str(python), "--json", str(out)]) == 2
    (said,) = caplog.messages
    assert "\n" not in said and not out.exists()
    with pytest.raises(StampError, match=message):
        measure.measure(python)


def test_the_recorded_layer_is_what_this_simulator_says_today() -> None:
    found = json.loads((ROOT / "docs" / "results" / "peers.json").read_text(encoding="utf-8"))["figures"]
    config, energy_set = ours.configured()
    rows: list[Any] = [ours.figures(cost) for cost in ours.costs(ours.products(), config, energy_set).values()]
    total = ours.summed(rows)
    assert found["cycles"]["ours"]["total"] == total["cycles"]["total"], "make peers, make results"
    assert found["mbytes"]["ours"]["total"] == total["dram_bytes"]["total"] / 1e6
    assert found["mj"]["ours"]["total"] == pytest.approx(total["energy_pj"]["total"] / 1e9, rel=1e-9)


def test_the_recorded_differences_to_zigzag_are_the_ones_that_are_explained() -> None:
    found = json.loads((ROOT / "docs" / "results" / "peers.json").read_text(encoding="utf-8"))["figures"]
    (mine, other), config = (found["mbytes"][side] for side in ("ours", "zigzag")), NpuConfig.load(ours.CONFIG)
    assert mine["weights"] == found["super_tiles"] * other["weights"]
    assert mine["activations"] * 8 == config.hw.in_width * other["activations"] and mine["outputs"] == other["outputs"]
    (mine, other) = (found["mj"][side] for side in ("ours", "zigzag"))
    for part in ("multiply", "accumulate", "activation_buffer"):
        assert mine[part] == pytest.approx(other[part], rel=1e-12)
    passes = ours.TOKENS // config.hw.rows  # each reads the weights once, which are written once for each super-tile
    assert mine["weight_buffer"] / other["weight_buffer"] == pytest.approx(
        (passes + found["super_tiles"]) / (passes + 1), rel=1e-9)
    for side in ("ours", "zigzag"):
        cycles, energy_mj = found["cycles"][side], found["mj"][side]
        assert cycles["steps"] + cycles["around"] == cycles["total"]
        assert sum(value for name, value in energy_mj.items() if name != "total") == pytest.approx(energy_mj["total"])
    assert found["cycles"]["ours"]["steps"] == found["cycles"]["zigzag"]["steps"]


def test_the_recorded_ratios_are_as_large_as_they_must_be() -> None:
    found = json.loads((ROOT / "docs" / "results" / "peers.json").read_text(encoding="utf-8"))["figures"]
    assert found["sim_vs_scalesim"] >= 3000 and found["sim_vs_zigzag"] >= 250
    assert found["shapes"] >= 50 and found["runs"] == 3 * found["shapes"]
