"""What `stamp-hw simulate` says of an external memory: its constants and their sources, its energy; what it refuses."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

import pytest

from sim.cost import energy
from stamp_hw.cli.main import main
from stamp_hw.memory_config import CONSTANTS, KINDS, MemoryConfig
from stamp_hw.text import number
from tests.support.refusals import ROOT, files, refused

SHAPE = "64x96x40"


def report(folder: Path, *options: str) -> dict[str, Any]:
    path = folder / "report.json"
    assert main(["simulate", "--shape", SHAPE, "--schemes", "a4", "--json", str(path), *options]) == 0
    return dict(json.loads(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("kind", KINDS)
def test_a_report_has_every_constant_of_the_memory_with_its_source(kind: str, tmp_path: Path,
                                                                   capsys: pytest.CaptureFixture[str]) -> None:
    found, printed = report(tmp_path, "--hw", f"memory={kind}"), " ".join(capsys.readouterr().out.split())
    memory = MemoryConfig.parse(kind)
    assert found["memory"] == {"kind": kind, **{name: getattr(memory, name) for name in CONSTANTS},
                               "effective_bytes_per_s": float(f"{memory.effective_bytes_per_s:.9g}"),
                               "sources": memory.sources}
    for name, source in memory.sources.items():
        assert f"{name} {getattr(memory, name):g} ({source})" in printed
    peak, effective = (rate / 1e9 for rate in (memory.bytes_per_s, memory.effective_bytes_per_s))
    assert f"{kind} {peak:g} GB/s, {effective:g} of them" in printed


def test_a_bit_costs_what_the_memory_says_in_place_of_the_energy_set(tmp_path: Path) -> None:
    found = report(tmp_path, "--hw", "memory=HBM2")
    total, constant = found["totals"]["a4"], found["energy_set"]["constants"]["dram.access"]
    assert total["energy_by_component"]["dram"]["energy_pj"] == pytest.approx(total["dram_bytes"] * 8 * 3.9, rel=1e-8)
    assert (constant["energy_pj"], constant["per_bits"], constant["source"]) == (3.9, 1, energy.MEMORY)
    assert "O'Connor" in found["energy_set"]["sources"][energy.MEMORY]


def test_a_memory_without_an_energy_of_its_own_costs_what_the_set_says(tmp_path: Path) -> None:
    own = "memory={kind: custom, bytes_per_s: 1.0e+10, latency_ns: 50, burst: 32, efficiency: 0.8}"
    plain, found = report(tmp_path), report(tmp_path, "--hw", own)
    assert found["energy_set"] == plain["energy_set"] and "memory" in found
    assert [each["totals"]["a4"]["energy_by_component"]["dram"] for each in (plain, found)].count(
        plain["totals"]["a4"]["energy_by_component"]["dram"]) == 2
    assert found["totals"]["a4"]["cycles"] > plain["totals"]["a4"]["cycles"]


def test_the_port_moves_whole_bursts_and_its_use_is_their_part_of_its_time(tmp_path: Path,
                                                                           capsys: pytest.CaptureFixture[str]) -> None:
    total = report(tmp_path, "--hw", "memory={kind: DDR4, burst: 100, efficiency: 0.5}")["totals"]["a4"]
    # 64 tokens of 6 beats of 32 bytes; 5 passes of 96 beats of 8 and of 8 words of 16; 64 · 40 results of 2
    moved = 64 * 200 + 5 * (800 + 200) + 64 * 40 * 2
    assert total["port_bytes"] == moved > total["dram_bytes"]
    assert total["port_utilization"] == pytest.approx(moved / (12.8e9 * total["time_s"]), rel=1e-7)
    used = f"a4 {number(moved / 1e6, 2)} MB in {number(total['port_utilization'] * 100, 1)} %."
    assert used in " ".join(capsys.readouterr().out.split())


def test_a_models_port_moves_what_the_ports_of_its_layers_do(tmp_path: Path) -> None:
    memory = ("--hw", "memory={kind: DDR4, burst: 100, efficiency: 0.5}")
    layer = report(tmp_path, *memory)["totals"]["a4"]
    workload, path = tmp_path / "w.yaml", tmp_path / "model.json"
    workload.write_text("name: w\nphases: [{name: p, unit: token, produces: 64, steps: 2, ops: [{op: linear, name: l, "
                        "tokens: 64, k: 96, outputs: {l: 40}, repeat: 3}, {op: vector, name: v, values: 64, "
                        "passes: 1}]}]\n", encoding="utf-8")
    words = ["simulate", "--model", str(workload), "--schemes", "a4", "--no-prefetch", "--json", str(path)]
    assert main([*words, *memory]) == 0
    found = json.loads(path.read_text(encoding="utf-8"))["schemes"]["a4"]
    phase = found["phases"]["p"]
    for figures in (found["total"], phase, phase["ops"]["l"]):
        assert figures["port_bytes"] == 6 * layer["port_bytes"]
        assert figures["port_utilization"] == pytest.approx(layer["port_utilization"], rel=1e-8)
    assert (phase["ops"]["v"]["port_bytes"], phase["ops"]["v"]["port_utilization"]) == (0, None)
    assert main(words) == 0
    assert '"port_' not in path.read_text(encoding="utf-8")


def test_a_report_of_a_rate_alone_says_nothing_of_a_memory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = report(tmp_path)
    assert "memory" not in found and "memory" not in found["config"]["hw"] and "port_bytes" not in found["totals"]["a4"]
    printed = capsys.readouterr().out
    assert "one port" not in printed and "DRAM 25.6 GB/s" in printed


@pytest.mark.parametrize(("value", "where"), [
    ("DDR3", "hw.memory.kind: impossible value; got 'DDR3'; expected one of DDR4, LPDDR4, LPDDR5, GDDR6, HBM2"),
    ("{kind: DDR4, bytes_per_s: 0}", "hw.memory.bytes_per_s"), ("{kind: DDR4, burst: -3}", "hw.memory.burst"),
    ("{kind: DDR4, speed: 3}", "hw.memory.speed: unknown key"),
    ("{kind: custom}", "hw.memory.bytes_per_s: missing key"),
    ("[1]", "hw.memory: impossible value")])
def test_a_memory_that_cannot_be_is_one_line_and_leaves_no_file(value: str, where: str, tmp_path: Path,
                                                                capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["simulate", "--shape", SHAPE, "--hw", f"memory={value}", "--json", str(tmp_path / "a.json")]
    line = refused(argv, capsys)
    assert where in line and files(tmp_path) == set()


def test_a_whole_model_behind_a_port_says_so_and_its_bytes_allow_what_the_port_moves(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, config = tmp_path / "model.json", str(ROOT / "configs" / "npu32.yaml")
    words = ["simulate", "--model", "smollm2-135m", "--prefill", "64", "--decode", "2", "--schemes", "a4", "--config",
             config, "--json", str(path)]
    assert main([*words, "--hw", "memory=LPDDR4"]) == 0
    printed, found = capsys.readouterr().out, json.loads(path.read_text(encoding="utf-8"))
    assert found["memory"]["kind"] == "LPDDR4" and found["energy_set"]["constants"]["dram.access"]["energy_pj"] == 14.0
    assert "LPDDR4 17.064 GB/s, 12.798 of them" in printed and "Memory: LPDDR4 behind one port" in printed
    for phase in found["schemes"]["a4"]["phases"].values():
        seconds = phase["dram_bytes"] / found["memory"]["effective_bytes_per_s"]
        assert phase["memory_units_per_s"] == pytest.approx(phase["produces"] / seconds, rel=1e-4)
        assert phase["units_per_s"] < phase["memory_units_per_s"]


def test_a_comparison_prices_a_bit_as_the_memory_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "compared.json"
    assert main(["compare", "smollm2-135m", "--prefill", "64", "--decode", "0", "--config",
                 str(ROOT / "configs" / "npu32.yaml"), "--hw", "memory=HBM2", "--json", str(path)]) == 0
    found = json.loads(path.read_text(encoding="utf-8"))
    assert found["memory"]["kind"] == "HBM2" and found["energy_set"]["constants"]["dram.access"]["energy_pj"] == 3.9
    assert "Memory: HBM2 behind one port" in capsys.readouterr().out


def test_a_page_has_every_constant_of_the_memory_with_its_source(tmp_path: Path) -> None:
    report(tmp_path, "--hw", "memory=LPDDR5")
    page = tmp_path / "page.html"
    assert main(["report", str(tmp_path / "report.json"), "--out", str(page)]) == 0
    text = html.unescape(page.read_text(encoding="utf-8"))
    assert "LPDDR5 25.6 GB/s" in text
    for name, source in MemoryConfig.parse("LPDDR5").sources.items():
        assert source in text and (name == "pj_per_bit" or f"hw.memory.{name}" in text)
