"""What would lift the drain where it paces an operation: the least rescale lanes, and where a report says so."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim.cost import energy, layer_cost
from sim.engine.drain import relief
from sim.engine.passes import Rates
from sim.task import Shape, Task
from stamp_hw import schemes
from stamp_hw.config import HwConfig, NpuConfig
from stamp_hw.engine.params import EngineParams
from tests.support.commands import command
from tests.support.report_cases import parsed

NPU = NpuConfig.load("configs/npu32.yaml")


def divisors(number: int) -> list[int]:
    return [count for count in range(1, number + 1) if number % count == 0]


def _tile(steps: int, hw: HwConfig) -> int:
    """Cycles of a tile: without blocks by the contract's formula, with blocks by the rates of the cycle model."""
    if hw.block is None:
        drain = max(2 * hw.rows * hw.cols // hw.drain_lanes, hw.mul_stages + 2) + hw.rows + hw.cols - 2
        return max(steps, drain)
    task = Task.of(Shape(name="", tokens=64, k=steps, n=hw.cols), NpuConfig(hw=hw).with_job(group=hw.block))
    return Rates.of(task, hw, EngineParams.of(hw)).tile


def test_the_lanes_are_the_least_that_make_a_tile_as_short_as_any_would(rng: np.random.Generator) -> None:
    helped = 0
    for _ in range(300):
        rows, cols = (int(rng.choice([1, 2, 4, 6, 8, 16, 32])) for _ in range(2))
        block = int(rng.choice([32, 64])) if rng.random() < 0.4 else None
        hw = HwConfig(rows=rows, cols=cols, rescale_lanes=int(rng.choice(divisors(cols))), max_k=512, lanes=16,
                      mul_stages=int(rng.integers(1, 5)), block=block)
        steps = int(rng.integers(1, 129))
        found = relief(steps, hw)
        by_lanes = {lanes: _tile(steps, replace(hw, rescale_lanes=lanes)) for lanes in divisors(cols)
                    if lanes >= hw.drain_lanes}
        least = min(by_lanes.values())
        wanted = min(lanes for lanes, count in by_lanes.items() if count == least)
        assert (found.steps, found.cycles, found.lanes, found.then) == (
            steps, by_lanes[hw.drain_lanes], wanted, least), hw
        helped += found.lanes > hw.drain_lanes
    assert helped > 30


@pytest.mark.parametrize("k", [126, 128, 250, 400])
def test_a_layer_that_the_drain_paces_is_not_with_those_lanes_and_is_with_fewer(k: int) -> None:
    shape, chosen = Shape(name="", tokens=512, k=k, n=4096), energy.load("horowitz45")

    def limit(lanes: int) -> str:
        config = schemes.configure("a8", replace(NPU, hw=replace(NPU.hw, rescale_lanes=lanes)))
        return layer_cost.cost(shape, config, chosen).cycles.bottleneck

    found = relief(k, NPU.hw)
    assert found.then == k < found.cycles and limit(NPU.hw.drain_lanes) == "drain" != limit(found.lanes)
    assert limit(found.lanes // 2) == "drain"


def _model(folder: Path, *words: str) -> dict[str, Any]:
    path = folder / "m.json"
    assert command("simulate", "--model", "llama-3-8b", "--config", "configs/npu32.yaml", "--prefill", 512, "--decode",
                   1, "--schemes", "a8,stamp", "--json", path, *words) == 0
    return dict(json.loads(path.read_text(encoding="utf-8"))["schemes"]["stamp"]["phases"])


def test_a_model_names_the_operations_that_the_drain_paces_and_the_lanes_that_lift_it(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = _model(tmp_path)
    assert found["prefill"]["ops"]["attention"]["drain"] == {
        "steps": 128, "tile_cycles": 574, "rescale_lanes": 32, "tile_cycles_then": 128}
    assert {name for name, op in found["prefill"]["ops"].items() if op["drain"]} == {"attention"}
    printed = " ".join(capsys.readouterr().out.split())
    said = ("the sums of a tile of 128 steps take 574 cycles to leave the array; hw.rescale_lanes=32 in place of 4 "
            "lifts that.")
    assert "Drain: prefill attention " in printed and said in printed
    assert command("report", tmp_path / "m.json", "--out", tmp_path / "m.html") == 0
    assert said in parsed((tmp_path / "m.html").read_text(encoding="utf-8")).text
    capsys.readouterr()
    lifted = _model(tmp_path, "--hw", "rescale_lanes=32")
    assert all(op["drain"] is None and "drain" not in op["cycles_by_limit"] for phase in lifted.values()
               for op in phase["ops"].values())
    assert lifted["prefill"]["cycles"] < found["prefill"]["cycles"] and "Drain:" not in capsys.readouterr().out


def test_layers_that_no_lanes_help_are_said_to_have_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s.json"
    words = ("simulate", "--shape", "512x64x4096", "--shape", "512x128x4096", "--schemes", "a8,a4", "--config",
             "configs/npu32.yaml", "--hw", "rows=16", "--hw", "cols=128", "--json", path)
    assert command(*words, "--hw", "rescale_lanes=16") == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert ("Drain: 512x64x4096: the sums of a tile of 64 steps take 398 cycles to leave the array; "
            "hw.rescale_lanes=128 in place of 16 makes that 174. Drain: 512x128x4096: ") in printed
    assert command("report", path, "--out", tmp_path / "s.html") == 0
    assert "Drain: 512x64x4096: " in parsed((tmp_path / "s.html").read_text(encoding="utf-8")).text
    assert command(*words, "--hw", "rescale_lanes=128") == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert ("Drain: 512x64x4096: the sums of a tile of 64 steps take 174 cycles to leave the array; no "
            "hw.rescale_lanes makes that shorter.") in printed
    assert "Drain: 512x128x4096: the sums of a tile of 128 steps take 174 cycles" in printed
