"""`stamp-hw timeline`: the spans of the engine's units against the closed forms, and the file against its format."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim import memory
from sim.engine import timeline as timelines
from sim.engine.timeline import UNITS, timeline
from sim.task import Task
from stamp_hw.cli.main import main
from stamp_hw.config import HwConfig, ResolvedJob
from stamp_hw.engine.params import EngineParams
from stamp_hw.engine.wire import beat_bytes
from stamp_hw.errors import ConfigError
from tests.sim.test_dram import draw_hw, draw_task
from tests.sim.test_port import draw_memory

SCHEMA = json.loads((Path(__file__).parents[1] / "support" / "trace_event_schema.json").read_text(encoding="utf-8"))
SMALL = ("--hw", "rows=4", "--hw", "cols=4", "--hw", "lanes=8")
CASES = 150


def test_the_spans_of_a_unit_follow_each_other_end_with_the_layer_and_are_all_its_work(rng: np.random.Generator
                                                                                       ) -> None:
    seen: Counter[str] = Counter()
    while seen["cases"] < CASES:
        hw = draw_hw(rng)
        hw = draw_memory(rng, hw) if rng.integers(2) else hw
        task = draw_task(rng, hw)
        try:
            found = timeline(task, hw)
        except ConfigError:  # a Haar tile beyond the buffer
            continue
        units, cycles = found.units, found.cycles
        assert tuple(units) == UNITS
        for spans in units.values():
            assert all(0 <= span.begin < span.end for span in spans), (task, hw)
            assert all(one.end <= other.begin for one, other in pairwise(spans)), (task, hw)
        assert max(spans[-1].end for spans in units.values() if spans) == cycles.total, (task, hw)
        assert sum(span.end - span.begin for span in units["array"]) == cycles.streaming, (task, hw)
        assert sum(span.end - span.begin for span in units["external memory"]) == cycles.wait_dram_bytes
        assert units["array"][-1].end == cycles.total - cycles.wait_dram_bytes - cycles.tail, (task, hw)
        passes = cycles.super_tiles * cycles.column_tiles
        assert len(units["weights in"]) == len(units["parameters in"]) == len(units["results out"]) == passes
        assert len(units["tokens in"]) == task.tokens and len(units["drain"]) == cycles.array_tiles
        assert len({(s.super_tile, s.column, s.name.split(",")[0]) for s in units["array"]}) == cycles.array_tiles
        seen.update({"cases": 1, "blocks": int(hw.block is not None), "rotated": int(task.k_in is not None),
                     "outliers": int(task.job.n_sink > 0), "2-D": int(task.job.grid is not None),
                     "port": int(hw.memory is not None), "output waits": int(cycles.wait_output > 0),
                     "last steps wait": int(any("last step" in span.name for span in units["array"])),
                     "slow memory": int(cycles.wait_dram_bytes > 0), "super-tiles": int(cycles.super_tiles > 1)})
    assert min(seen[name] for name in seen) > CASES // 50, seen


def test_blocks_end_as_far_apart_as_the_array_needs_to_take_them(rng: np.random.Generator) -> None:
    hw = HwConfig(rows=4, cols=2, lanes=2, max_k=64, max_tokens=64, act_slots=40, block=6)
    job = ResolvedJob(tokens=40, grid=None, levels=0, n_hi=int(rng.integers(41)), n_sink=0)
    found = timeline(Task(job=job, k=45, n=5, group=6), hw)
    ends: dict[tuple[int | None, int | None, str], dict[str, int]] = {}
    for span in found.units["array"]:
        tile, block = span.name.split(", ")[:2]
        ends.setdefault((span.super_tile, span.column, tile), {})[block] = span.end
    assert len(ends) == found.cycles.array_tiles and all(len(blocks) == 8 for blocks in ends.values())
    for blocks in ends.values():
        gaps = [after - before for before, after in pairwise(blocks.values())]
        assert gaps[:-1] == [8] * 6 and gaps[-1] >= 8  # 2R steps, where a block has six


def test_data_moves_before_it_is_worked_on(rng: np.random.Generator) -> None:
    """A pass's weights are in before its first step, its last step before its drain and that before its results; the
    first pass's sums are lifted as soon as they are rescaled."""
    for _ in range(40):
        hw = draw_hw(rng)
        task = draw_task(rng, hw)
        try:
            units = timeline(task, hw).units
        except ConfigError:
            continue
        by_pass = {unit: {(s.super_tile, s.column): s for s in units[unit]}
                   for unit in ("weights in", "parameters in", "results out")}
        last: dict[tuple[int | None, int | None], timelines.Span] = {}
        for span in units["array"]:
            place = span.super_tile, span.column
            if place not in last:
                assert max(by_pass[unit][place].end for unit in ("weights in", "parameters in")) <= span.begin
            last[place] = span
        drained = {(s.super_tile, s.column): s for s in units["drain"]}
        lifted = {(s.super_tile, s.column): s for s in reversed(units["inverse lifting"])}
        for place, span in last.items():
            assert span.end <= drained[place].begin and drained[place].end <= lifted[place].begin
            assert lifted[place].begin < by_pass["results out"][place].begin
        first = units["inverse lifting"][0]
        assert first.begin == drained[0, 0].end + EngineParams.of(hw).word_latency


def test_streams_carry_the_bytes_of_the_layer_beat_by_beat(rng: np.random.Generator) -> None:
    """At full rate a span has as many cycles as beats, where nothing waits."""
    hw = draw_hw(rng).__class__(rows=2, cols=4, lanes=4, max_k=64, max_tokens=64, act_slots=40, dram_bytes_per_s=1e15)
    while True:
        task = draw_task(rng, hw)
        if task.weights.packed or task.k < hw.cols:
            continue
        try:
            found = timeline(task, hw)
            break
        except ConfigError:  # a Haar tile beyond the buffer
            continue
    moved = memory.dram_bytes(task, hw, found.cycles.super_tiles)
    beats = {unit: sum(span.end - span.begin for span in found.units[unit]) for unit in UNITS}
    size = beat_bytes(hw)
    assert beats["weights in"] * size["w"] == moved.weights and beats["parameters in"] * size["p"] == moved.scales
    assert beats["tokens in"] * size["i"] == moved.activations


def written(folder: Path, *words: str) -> dict[str, Any]:
    path = folder / "timeline.json"
    assert main(["timeline", *words, "--out", str(path)]) == 0
    return dict(json.loads(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("words", [
    ("--shape", "40x24x20"), ("--shape", "1x33x9", "--scheme", "a8"), ("--shape", "6x10,16,8", "--job", "levels=1"),
    ("--shape", "70x64x6", "--hw", "block=16", "--job", "group=16", "--hw", "dram_bytes_per_s=1e7")], ids=str)
def test_the_file_keeps_its_format_and_its_sums(words: tuple[str, ...], tmp_path: Path) -> None:
    fastjsonschema = pytest.importorskip("fastjsonschema")  # comes with fusesoc
    trace = written(tmp_path, *words, *SMALL)
    fastjsonschema.validate(SCHEMA, trace)
    events = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    named = {event["tid"]: event["args"]["name"] for event in trace["traceEvents"] if event["name"] == "thread_name"}
    assert tuple(named.values()) == UNITS and all(named[event["tid"]] == event["cat"] for event in events)
    other = trace["otherData"]
    assert max(event["ts"] + event["dur"] for event in events) == other["cycles"]
    assert sum(event["dur"] for event in events if event["cat"] == "array") == other["streaming_cycles"]
    assert "1 cycle" in other["time"] and "modelled" in other["source"]


def test_the_schema_refuses_what_the_format_has_not(tmp_path: Path) -> None:
    fastjsonschema = pytest.importorskip("fastjsonschema")
    trace = written(tmp_path, "--shape", "4x8x4", *SMALL)
    check = fastjsonschema.compile(SCHEMA)
    event = next(event for event in trace["traceEvents"] if event["ph"] == "X")
    for change in ({"dur": -1}, {"ts": 1.5}, {"ph": "B"}, {"tid": "array"}, {"name": ""}, {"end": 3}):
        with pytest.raises(fastjsonschema.JsonSchemaException):
            check({**trace, "traceEvents": [{**event, **change}]})


def test_the_same_layer_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        written(tmp_path / name, "--shape", "40x24x20", *SMALL)
    assert (tmp_path / "a/timeline.json").read_bytes() == (tmp_path / "b/timeline.json").read_bytes()


def test_a_timeline_says_the_cycles_that_simulate_says(tmp_path: Path) -> None:
    trace = written(tmp_path, "--shape", "200x96x40", "--scheme", "stamp", *SMALL)
    report = tmp_path / "report.json"
    assert main(["simulate", "--shape", "200x96x40", "--schemes", "stamp", *SMALL, "--json", str(report)]) == 0
    assert trace["otherData"]["cycles"] == json.loads(report.read_text())["totals"]["stamp"]["cycles"]


@pytest.mark.parametrize(("words", "says"), [
    (("--shape", "4096x4096x60000"), "too many events"), (("--shape", "4096x4096x8"), "too many beats"),
    (("--shape", "64x4096x64", "--hw", "dram_bytes_per_s=1000"), "too many cycles"),
    (("--shape", "40x24"), "not a shape"), (("--shape", "0x8x8"), "impossible shape"),
    (("--shape", "40x50000x8"), "max_k"), (("--shape", "8x8x8", "--scheme", "w4"), "invalid choice"),
    (("--shape", "8x8x8", "--job", "n_hi=9"), "n_hi")], ids=str)
def test_what_cannot_be_followed_is_refused_in_one_line(words: tuple[str, ...], says: str, tmp_path: Path,
                                                        capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = main(["timeline", *words, "--hw", "lanes=1", "--out", str(tmp_path / "t.json")])
    except SystemExit as end:  # of the parser
        code = int(end.code or 0)
    printed = capsys.readouterr()
    assert code == 2 and says in printed.err and printed.err.count("\n") == 1 and printed.out == ""
    assert list(tmp_path.iterdir()) == []
