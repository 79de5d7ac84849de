"""Whole models whose jobs are prefetched: what that saves, of every count, and what may not be fetched early."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim.cost import energy
from sim.engine import closed_form
from sim.engine.early import Early
from sim.report import read
from sim.report.view import Table
from sim.workload import find, report
from sim.workload.in_a_row import Chain, Link, Row, Tally
from sim.workload.ops import Attention, Linear, Phase, Product, Workload
from sim.workload.run import Run
from sim.workload.totals import Totals
from stamp_hw.cli.main import main
from stamp_hw.config import HwConfig, NpuConfig
from stamp_hw.engine import super_tile
from stamp_hw.errors import ConfigError
from tests.sim.test_dram import draw_hw, draw_task
from tests.sim.test_port import draw_memory
from tests.support.refusals import TRACE

SET = energy.load("horowitz45")
CONFIG = NpuConfig.load(find.HOME / "configs/language.yaml")
CYCLES = ("cycles", "saved", "parts", "limits", "drained")


def draw_links(rng: np.random.Generator, hw: HwConfig, count: int) -> list[Link]:
    """Jobs of layers of small hardware."""
    found: list[Link] = []
    while len(found) < count:
        task = draw_task(rng, hw)
        try:
            size = super_tile.tile_size(task.job, hw, super_tile.token_limit(task.job, hw))
        except ConfigError:  # a Haar tile beyond the buffer
            continue
        found.append(Link(name=f"job {len(found)}", task=task, size=size,
                          early=Early(rng.choice(["weights", "weights", "registers"]))))
    return found


def one_by_one(chain: Chain) -> Iterator[Link]:
    """The jobs of a chain in their order."""
    for _ in range(chain.times):
        for part in chain.parts:
            yield from one_by_one(part) if isinstance(part, Chain) else (part,)


def test_what_repeats_in_a_chain_is_what_its_jobs_take_one_by_one(rng: np.random.Generator) -> None:
    for number in range(60):
        hw = draw_hw(rng)
        hw = draw_memory(rng, hw) if number % 2 else hw
        a, b, c, d = draw_links(rng, hw, 4)
        times = rng.integers(0, 8, 3).tolist()
        chain = Chain((a, Chain((b, Chain((c,), times[0])), times[1]), d), times[2])
        found, before = Row(hw).follow(chain)
        expected: Tally = Counter()
        now = None
        for link in one_by_one(chain):
            now = None if now is None else replace(now, early=link.early)
            cycles, now = closed_form.follow(link.task, hw, link.size, now)
            expected[link.name, cycles] += 1
        assert found == expected, (hw, chain)
        assert before == now


@pytest.mark.parametrize("memory", [{}, {"memory": "LPDDR5"}, {"dram_bytes_per_s": 1e9}])
def test_cycles_and_what_prefetch_saves_are_those_of_every_job_alone(memory: dict[str, object]) -> None:
    workload = find.workload("smollm2-135m", find.Ask(prefill=40, decode=3))
    config = NpuConfig.load(find.HOME / "configs/language.yaml", memory)
    quick, alone = (Run(workload, config, SET, None, prefetch=prefetch) for prefetch in (True, False))
    for phase in workload.phases:
        for name, sums in quick.of(phase, "stamp").items():
            own = alone.of(phase, "stamp")[name]
            assert sums.cycles + sums.saved == own.cycles == sum(sums.parts.values()) + sums.saved
            assert sum(sums.limits.values()) == sums.cycles and sums.saved >= 0 == own.saved
            assert all(getattr(sums, item.name) == getattr(own, item.name) for item in fields(Totals)
                       if item.name not in CYCLES)
    ops = quick.of(workload.phases[-1], "stamp")
    shared = ("qkv", "attention", "o", "gate_up", "down", "lm_head")
    assert "dram_bytes_per_s" in memory or all(ops[name].saved > 0 for name in shared)


def test_a_phase_begins_with_an_engine_at_rest() -> None:
    op = Linear(name="x", tokens=4, k=64, outputs=(("q_proj", 64),))
    phase = Phase(name="p", unit="token", produces=1, ops=(op,))
    assert Run(Workload(name="w", phases=(phase,)), CONFIG, SET, None).of(phase, "a4")["x"].saved == 0
    twice = replace(phase, steps=2)
    assert Run(Workload(name="w", phases=(twice,)), CONFIG, SET, None).of(twice, "a4")["x"].saved > 0


@pytest.mark.parametrize("op", [
    Attention(name="a", tokens=1, heads=2, kv_heads=2, head_dim=64, context=8, repeat=3),
    Product(name="a", tokens=8, k=64, n=64, heads=2, repeat=3)])
def test_weights_that_are_results_wait_for_them(op: Attention | Product) -> None:
    """The first job of an operation whose weights are activations has them from the operation before; its other jobs
    have them from long ago."""
    phase = Phase(name="p", unit="token", produces=1, ops=(
        Linear(name="l", tokens=1, k=64, outputs=(("q_proj", 64),), repeat=3), op))
    run = Run(Workload(name="w", phases=(phase,)), CONFIG, SET, None)

    def links(part: Chain | Link) -> Iterator[Link]:
        yield from [part] if isinstance(part, Link) else (one for inner in part.parts for one in links(inner))

    found = [(link.name, link.early) for link in links(run._chain(phase, "stamp"))]
    assert found[0][0] == found[1][0] == "l" and {early for _, early in found[:2]} == {Early.WEIGHTS}
    assert [early for name, early in found if name == "a"][0] is Early.REGISTERS
    assert {early for name, early in found if name == "a"} == {Early.REGISTERS, Early.WEIGHTS}
    assert [early for name, early in found if name == "a"].count(Early.REGISTERS) == 1


def test_a_memory_that_the_job_before_leaves_no_time_fetches_nothing_early() -> None:
    """At a rate that a layer's bytes take longer than anything else, registers are all that is early."""
    config = CONFIG.with_hw(dram_bytes_per_s=1e8)
    op = Linear(name="x", tokens=64, k=64, outputs=(("q_proj", 256),), transform=False)
    phase = Phase(name="p", unit="token", produces=1, ops=(op,), steps=3)
    run, alone = (Run(Workload(name="w", phases=(phase,)), config, SET, None, prefetch=prefetch)
                  for prefetch in (True, False))
    sums, own = run.of(phase, "a4")["x"], alone.of(phase, "a4")["x"]
    assert sums.cycles == own.cycles and sums.parts["wait_dram_bytes"] > 0 == sums.saved


def test_the_command_saves_what_its_json_says_and_can_be_told_not_to(tmp_path: Path,
                                                                  capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for number, option in enumerate(([], ["--no-prefetch"])):
        path = tmp_path / f"{number}.json"
        assert main(["simulate", "--model", "smollm2-135m", "--prefill", "16", "--decode", "2", "--schemes", "stamp",
                     "--json", str(path), *option]) == 0
        found.append((json.loads(path.read_text()), capsys.readouterr().out))
    (quick, said), (alone, told) = found
    assert quick["prefetch"] is True and alone["prefetch"] is False
    for name, phase in quick["schemes"]["stamp"]["phases"].items():
        other = alone["schemes"]["stamp"]["phases"][name]
        assert phase["engine_cycles"] + phase["prefetch_saved_cycles"] == other["engine_cycles"]
        assert other["prefetch_saved_cycles"] == 0 < phase["prefetch_saved_cycles"]
    assert "Prefetch saves" in said and "Prefetch saves" not in told and "an engine at rest" in told


@pytest.mark.parametrize("option", ["--no-prefetch", "--prefetch"])
def test_the_option_needs_a_model(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--shape", "8x8x8", option]) == 2
    assert capsys.readouterr().err == f"stamp-hw: {option}: option of whole models; expected --model with it\n"


def test_a_comparison_has_it_in_every_row() -> None:
    from sim.workload import compare

    workload = find.workload("smollm2-135m", find.Ask(prefill=8, decode=0))
    quick, alone = (compare.document(workload, CONFIG, [SET], None, "0", prefetch=prefetch)
                    for prefetch in (True, False))
    for row, other in zip(quick["rows"], alone["rows"], strict=True):
        assert row["refusal"] is other["refusal"] is None
        assert row["total"]["engine_cycles"] + row["total"]["prefetch_saved_cycles"] == other["total"]["engine_cycles"]


def test_operations_of_as_many_repeats_are_a_block_and_others_are_not() -> None:
    ops = (Linear(name="in", tokens=1, k=8, outputs=(("a", 8),)),
           Linear(name="x", tokens=1, k=8, outputs=(("a", 8),), repeat=4),
           Linear(name="y", tokens=1, k=8, outputs=(("a", 8),), repeat=4),
           Linear(name="out", tokens=1, k=8, outputs=(("a", 8),)))
    phase = Phase(name="p", unit="token", produces=1, ops=ops, steps=2)
    run = Run(Workload(name="w", phases=(phase,)), CONFIG, SET, None)
    names = [link.name for link in one_by_one(run._chain(phase, "a4"))]
    assert names == 2 * ["in", *4 * ["x", "y"], "out"]
    assert report.of_scheme(run, "a4")["total"]["jobs"] == 20


def test_layers_of_a_trace_add_up_to_those_in_a_row_and_what_prefetch_saves(tmp_path: Path,
                                                                          capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "report.json"
    assert main(["simulate", str(TRACE), "--layers", r"layers\.1\.(self_attn\.q|mlp\.up)", "--schemes", "a4,stamp",
                 "--json", str(path)]) == 0
    found, said = json.loads(path.read_text()), capsys.readouterr().out
    (row,) = (line.split() for line in said.splitlines() if line.startswith("saved if prefetched in a row"))
    for scheme, totals in found["totals"].items():
        layers = [schemes[scheme] for schemes in found["layers"].values()]
        assert len(layers) == 2 and sum(layer["cycles"] for layer in layers) == totals["cycles"]
        assert totals["cycles_in_a_row"] + totals["prefetch_saved_cycles"] == totals["cycles"]
        assert totals["prefetch_saved_cycles"] > 0
        assert f"{totals['prefetch_saved_cycles']:,}" in row


def test_a_page_says_what_prefetch_saves_of_each_operation_and_of_old_reports_nothing() -> None:
    workload = find.workload("smollm2-135m", find.Ask(prefill=8, decode=2))
    document = report.document(Run(workload, CONFIG, SET, None), ("stamp",), SET, "0")

    def saved(of: dict[str, Any]) -> int | None:
        (table,) = (part for section in read.view_of(of, "x.json").sections for part in section.parts
                    if isinstance(part, Table) and part.caption.startswith("Operations"))
        if "saved by prefetch" not in table.columns:
            return None
        return sum(int(row[table.columns.index("saved by prefetch")].value or 0) for row in table.rows)

    assert saved(document) == document["schemes"]["stamp"]["total"]["prefetch_saved_cycles"] > 0
    old = json.loads(json.dumps(document).replace("prefetch_saved_cycles", "of_another_version"))
    assert saved(old) is None
