"""The test plan against the tests that exist, and the judgement of coverage points against waivers."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring

from rtl_gen.combine import Combine
from rtl_gen.engine.top import Engine
from rtl_gen.haar.finish import Finish
from rtl_gen.hadamard.unit import Hadamard
from rtl_gen.mac.array import Mac
from rtl_gen.mac.blocks import BlockMac
from rtl_gen.rescale import Rescale
from rtl_gen.scale.unit import Scale
from rtl_gen.verilog.emit import verilog
from stamp_hw.cli.main import main
from stamp_hw.errors import ConfigError, ToolError
from tb.coverage.builds import LEFT_OUT, measured
from tb.coverage.measure import measure
from tb.coverage.parts import part_of
from tb.coverage.points import Point, parse
from tb.coverage.report import Sample, judge, table
from tb.coverage.waivers import WAIVERS, Waiver
from tb.run import block as regression
from tb.run import plan
from tb.run.block import bench_module, fresh_seed

ROOT = Path(__file__).resolve().parents[2]


def test_every_point_of_the_plan_names_tests_that_exist() -> None:
    for entry in plan.entries():
        assert set(entry.tests) <= set(regression.tests_of(bench_module(entry.block))), entry.name
        for name in entry.collected:
            file, function = name.split("::")
            assert re.search(rf"^def {function}\(", (ROOT / file).read_text("utf-8"), re.MULTILINE), entry.name


@pytest.mark.parametrize("block", regression.blocks())
def test_every_test_of_a_bench_is_in_the_plan(block: str) -> None:
    planned = {test for entry in plan.entries() if entry.block == block for test in entry.tests}
    assert set(regression.tests_of(bench_module(block))) == planned


@pytest.mark.parametrize("section", plan.load(), ids=lambda section: section.name)
def test_shapes_stalls_modes_and_corners_all_meet(section: plan.Section) -> None:
    assert not [sorted(pair) for pair in section.missing()]
    assert not [sorted(pair) for pair in section.idle()]
    names = [entry.name for entry in section.entries]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("change", "message"), [
    (("stall: any", "stall: sometimes"), "unknown value"), (("point: random jobs", "dot: random jobs"), "wrong keys"),
    (("mode: any", "mode: []"), "wrong names"), (("corner: [any value, ends", "corner: [one token, ends"), "two axes"),
])
def test_a_broken_plan_is_refused(change: tuple[str, str], message: str, tmp_path: Path) -> None:
    text = plan.FILE.read_text("utf-8")
    assert change[0] in text
    path = tmp_path / "plan.yaml"
    path.write_text(text.replace(*change, 1), "utf-8")
    with pytest.raises(ConfigError, match=message):
        plan.load(path)


# --- the judgement, on points made by hand

VERILOG = """module top (
  input wire clk,
  output wire [1:0] o__payload
);
  assign _1_ = a &
      b;
  assign _2_ = _1_ ? c : d;
  assign _3_ = e ? c : d;
endmodule
"""
ENTRY = plan.Entry(block="foo", name="foo.all", axes={}, tests=("all",), collected=())


def line(kind: str, number: int, what: str, count: int) -> bytes:
    keys = {"f": "/x/top.v", "l": str(number), "n": "3", "t": kind, "page": f"v_{kind}/top", "o": what, "h": "top"}
    return f"C '{''.join(f'{chr(1)}{key}{chr(2)}{value}' for key, value in keys.items())}' {count}\n".encode()


DATA = b"# SystemC::Coverage-3\n" + b"".join([
    line("line", 6, "block", 1), line("branch", 7, "cond_then", 0), line("branch", 7, "cond_else", 5),
    line("branch", 8, "cond_then", 7), line("branch", 8, "cond_else", 8),
    line("toggle", 1, "o___05Fpayload[0]:0->1", 1), line("toggle", 2, "_1_:0->1", 0)])


def sample(points: tuple[Point, ...] | None = None, words: int = 3) -> Sample:
    """One build of block foo; toggles inside are only counted."""
    points = tuple(parse(DATA, {"top.v": VERILOG})) if points is None else points
    points = tuple(point for point in points if point.kind != "toggle" or point.port)
    return Sample(block="foo", set_name="one", points=points,
                  inner_toggles=2, inner_hit=1, parts={"bar": (7, 5)}, words={"all": words}, cycles=9, seconds=1.0)


def waiver(source: str = r"\(a & b\) \?", what: str = "cond_then", rest: str = "") -> Waiver:
    return Waiver(block="foo", sets=("one",), module="top", what=what, source=source, reason="it cannot", rest=rest)


def many(points: int) -> tuple[Point, ...]:
    """So many reached points, that one waived is no large part of them."""
    reached = next(point for point in parse(DATA, {"top.v": VERILOG}) if point.hit)
    return tuple(replace(reached, line=10 + index) for index in range(points))


def test_points_are_read_with_what_generated_names_stand_for() -> None:
    points = tuple(parse(DATA, {"top.v": VERILOG}))
    assert [(point.kind, point.hit, point.port) for point in points] == [
        ("line", True, False), ("branch", False, False), ("branch", True, False), ("branch", True, False),
        ("branch", True, False), ("toggle", True, True), ("toggle", False, False)]
    assert points[0].source == "assign _1_ = a & b;"
    assert points[1].source == "assign _2_ = (a & b) ? c : d;" and points[5].what == "o__payload[0]:0->1"
    with pytest.raises(ToolError, match="cannot be read"):
        tuple(parse(b"C 'nonsense' 3\n", {"top.v": VERILOG}))


def test_a_point_that_is_missed_fails_unless_a_waiver_means_it() -> None:
    points = (*parse(DATA, {"top.v": VERILOG}), *many(100))
    missed = judge([sample(points)], (), [ENTRY])
    assert len(missed.errors) == 1 and "not reached: top:7: cond_then" in missed.errors[0]
    waived = judge([sample(points)], (waiver(),), [ENTRY])
    assert waived.errors == () and waived.blocks["foo"]["waived"] == 1
    assert waived.blocks["foo"]["line_branch_percent"] == 100.0
    cells = [cell for line in table(waived) if line.startswith("foo") for cell in line.split()]
    assert cells[:7] == ["foo", "101", "101", "4", "3", "1", "100.00"] and cells[-2:] == ["7", "5"]


@pytest.mark.parametrize(("waivers", "words", "message"), [
    ((waiver(r"\?"),), 3, "waived but reached"), ((waiver(), waiver("never")), 3, "waiver without use"),
    ((waiver(), waiver(what="cond_else")), 3, "waiver without use"), ((waiver(),), 0, "planned but nothing compared"),
    ((waiver(rest="assign _2_ = _1_"), waiver(rest="assign _3_")), 3, "waiver without use"),
])
def test_waivers_that_are_too_wide_or_idle_and_tests_without_words_fail(waivers: tuple[Waiver, ...], words: int,
                                                                        message: str) -> None:
    points = (*parse(DATA, {"top.v": VERILOG}), *many(100))
    assert any(message in error for error in judge([sample(points, words)], waivers, [ENTRY]).errors)


def test_more_than_two_percent_waived_and_less_than_ninety_percent_of_the_port_toggles_fail() -> None:
    points = tuple(parse(DATA, {"top.v": VERILOG}))
    assert any("more than 2%" in error for error in judge([sample(points)], (waiver(),), [ENTRY]).errors)
    bit = next(point for point in points if point.port)
    low = judge([sample((*points, *(replace(bit, count=0, what=f"{i}") for i in range(5))))], (waiver(),), [ENTRY])
    assert any("of the port toggles" in error for error in low.errors)


def test_waivers_name_builds_that_exist() -> None:
    for one in WAIVERS:
        assert set(one.sets) <= set(bench_module(one.block).PARAMETER_SETS) and one.reason


def test_builds_that_are_left_out_exist_and_both_kinds_of_engine_are_measured() -> None:
    for block, sets in LEFT_OUT.items():
        assert set(sets) < set(bench_module(block).PARAMETER_SETS) and all(sets.values())
    for block in ("engine", "axi", "dma"):
        sets = bench_module(block).PARAMETER_SETS
        assert {getattr(sets[name], "engine", sets[name]).axes for name in measured(block)} == {1, 2}


@pytest.mark.rtl
def test_a_part_is_the_block_that_measures_it() -> None:
    """The same text, once what the engine holds constant at a block's ports is held constant there."""
    params = bench_module("engine").PARAMETER_SETS["2x2"]
    engine = verilog(Engine(params), "stamp_engine")
    found: dict[str, set[str]] = {}
    for name in engine:
        found.setdefault(part_of("engine", name.removesuffix(".v")), set()).add(name)
    assert set(found) == {"engine", "haar", "mac", "rescale", "scale"}
    scale, mac, rescale, finish = (Scale(params.scale), Mac(params.mac), Rescale(params.rescale),
                                   Finish(params.finish))
    job = scale.job.payload
    own = {"scale": Tied("scale", scale, [scale.o.ready.eq(1), job.group_beats.eq(job.beats)], "stamp_engine_front"),
           "mac": Tied("mac", mac, mac.o.ready.eq(1), "stamp_engine"),
           "rescale": Tied("rescale", rescale, [rescale.o.ready.eq(1), rescale.i.p.last.eq(0)], "stamp_engine_drain"),
           "haar": Tied("finish", finish, [], "stamp_engine_back_send")}
    for block, tied in own.items():
        modules = {name: text for name, text in verilog(tied, tied.parent).items() if name != f"{tied.parent}.v"}
        assert set(modules) == found[block]
        for name, text in modules.items():
            assert body(text) == body(engine[name]), name


@pytest.mark.rtl
def test_the_parts_of_hardware_with_blocks_are_the_blocks_that_measure_them() -> None:
    params = bench_module("engine").PARAMETER_SETS["4x4 blocks"]
    engine = verilog(Engine(params), "stamp_engine")
    for block, tied in {"combine": Tied("combine", Combine(params.combine), [], "stamp_engine_drain"),
                        "mac": Tied("mac", BlockMac(params.mac), [], "stamp_engine")}.items():
        modules = {name: text for name, text in verilog(tied, tied.parent).items() if name != f"{tied.parent}.v"}
        assert set(modules) == {name for name in engine if part_of("engine", name.removesuffix(".v")) == block}
        for name, text in modules.items():
            assert body(text) == body(engine[name]), name


class Tied(wiring.Component):
    """A block as a module that holds some of its inputs constant."""

    def __init__(self, name: str, inner: wiring.Component, ties: object, parent: str) -> None:
        self._name, self._inner, self._ties, self.parent = name, inner, ties, parent
        super().__init__(inner.signature)

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        m.submodules[self._name] = self._inner
        wiring.connect(m, wiring.flipped(self), self._inner)
        m.d.comb += self._ties
        return m


def body(text: str) -> str:
    """A module behind the line that names its parameters."""
    return text.split("\n// No timescale", 1)[1]


@pytest.mark.rtl
def test_the_hadamard_unit_of_the_engine_is_the_block_that_measures_it() -> None:
    """But for its output's `last`, which nobody in the engine reads."""
    params = bench_module("engine").PARAMETER_SETS["two_blocks"]
    engine, unit = verilog(Engine(params), "stamp_engine"), Hadamard(params.rotation)
    own = verilog(Tied("hadamard", unit, [], "stamp_engine_front"), "stamp_engine_front")
    inside = {name for name in engine if part_of("engine", name.removesuffix(".v")) == "hadamard"}
    assert inside == set(own) - {"stamp_engine_front.v"} != set()
    for name in inside:
        assert body(own[name]) == body(engine[name]), name


@pytest.mark.rtl
@pytest.mark.parametrize(("edge", "set_name"), [("axi", "grid"), ("axi", "line"), ("dma", "grid64"),
                                                ("dma", "line128")])
def test_the_engine_behind_an_edge_is_the_engine(edge: str, set_name: str) -> None:
    bench = bench_module(edge)
    params = bench.PARAMETER_SETS[set_name]
    whole = verilog(bench.build(params), f"stamp_{edge}")
    engine = verilog(Engine(getattr(params, "engine", params)), "stamp_engine")
    assert {name: text for name, text in whole.items() if part_of(edge, name.removesuffix(".v")) == "engine"} == engine


@pytest.mark.rtl
def test_a_small_block_is_covered_completely() -> None:
    found = measure("haar", "finish_0", fresh_seed(), 5000)
    report = judge([found], [one for one in WAIVERS if one.block != "haar"], [])
    assert report.errors == () and report.blocks["haar"]["line"] and report.blocks["haar"]["branch"]
    assert report.blocks["haar"]["port_toggles"]


def test_an_unknown_block_is_refused_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "coverage", "nonsense"]) == 2
    assert capsys.readouterr().err.startswith("stamp-hw: block: unknown block; got nonsense; expected ")
