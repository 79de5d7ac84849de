"""Emitted Verilog: one file a module, the same text everywhere, and shared modules written once."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from amaranth.hdl import Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from rtl_gen.verilog.declared import ports
from rtl_gen.verilog.emit import Shared, verilog

PORTS = {"x": In(signed(8)), "y": Out(signed(8))}


@dataclass(frozen=True, slots=True, kw_only=True)
class StepParams:
    """`offset` that a step adds."""

    offset: int


class Inverter(wiring.Component):
    """No register, so its module has no clock."""

    def __init__(self) -> None:
        super().__init__(PORTS)

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        m.d.comb += self.y.eq(~self.x)
        return m


class Step(wiring.Component):
    """One register behind a shared inverter."""

    def __init__(self, params: StepParams) -> None:
        self.params = params
        super().__init__(PORTS)

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        m.submodules.invert = invert = Shared(Inverter, "stamp_inverter")
        m.d.comb += invert.x.eq(self.x)
        m.d.sync += self.y.eq(invert.y + self.params.offset)
        return m


class Chain(wiring.Component):
    """`offsets` steps one behind the other; `module` names the shared module of step n."""

    def __init__(self, offsets: tuple[int, ...], module: str = "stamp_step", shared: bool = True) -> None:
        self.offsets, self.module, self.shared = offsets, module, shared
        super().__init__(PORTS)

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        value = self.x
        for index, offset in enumerate(self.offsets):
            def make(offset: int = offset) -> Step:
                return Step(StepParams(offset=offset))
            step = Shared(make, self.module.format(offset)) if self.shared else make()
            m.submodules[f"step_{index}"] = step
            m.d.comb += step.x.eq(value)
            value = step.y
        m.d.comb += self.y.eq(value)
        return m


def test_a_shared_module_is_written_once_and_instantiated_each_time() -> None:
    files = verilog(Chain((3, 3, 3)), "stamp_chain")
    assert list(files)[0] == "stamp_chain.v" and set(files) == {"stamp_chain.v", "stamp_step.v", "stamp_inverter.v"}
    assert len(re.findall(r"^  stamp_step step_\d \($", files["stamp_chain.v"], re.MULTILINE)) == 3
    assert "clk" in files["stamp_step.v"] and "clk" not in files["stamp_inverter.v"]
    assert all(text.count("\nmodule ") == 1 and f"module {name[:-2]} (\n" in text for name, text in files.items())


class Plain(wiring.Component):
    """A register without reset, in a module of its own that is not shared."""

    def __init__(self) -> None:
        super().__init__(PORTS)

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        kept = Signal(signed(8), reset_less=True)
        m.d.sync += kept.eq(self.x)
        m.d.comb += self.y.eq(kept)
        return m


class Around(wiring.Component):
    """A register with reset behind `Plain`."""

    def __init__(self) -> None:
        super().__init__(PORTS)

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        m.submodules.plain = plain = Plain()
        m.d.comb += plain.x.eq(self.x)
        m.d.sync += self.y.eq(plain.y)
        return m


def test_a_part_of_a_shared_module_has_the_ports_that_its_instance_names() -> None:
    class Top(wiring.Component):
        def __init__(self) -> None:
            super().__init__(PORTS)

        def elaborate(self, _platform: object) -> Module:
            m = Module()
            m.submodules.around = around = Shared(Around, "stamp_around")
            wiring.connect(m, wiring.flipped(self), around)
            return m

    files = verilog(Top(), "stamp_top")
    assert set(files) == {"stamp_top.v", "stamp_around.v", "stamp_around_plain.v"}
    instance = files["stamp_around.v"].split("  stamp_around_plain plain (\n")[1].split(");")[0]
    assert re.findall(r"\.(\w+)\(", instance) == [port.name for port in ports(files["stamp_around_plain.v"])]


def test_without_sharing_each_instance_has_its_own_module() -> None:
    files = verilog(Chain((3, 4), shared=False), "stamp_chain")
    assert set(files) == {"stamp_chain.v", "stamp_chain_step_0.v", "stamp_chain_step_1.v", "stamp_inverter.v"}


def test_two_different_components_under_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two different components would be emitted as module stamp_step"):
        verilog(Chain((3, 4)), "stamp_chain")
    assert {"stamp_step_3.v", "stamp_step_4.v"} < set(verilog(Chain((3, 4), "stamp_step_{}"), "stamp_chain"))


def test_a_shared_component_is_itself_in_amaranths_simulator() -> None:
    chain, seen = Chain((3, 3)), []

    async def drive(ctx) -> None:  # type: ignore[no-untyped-def]
        for value in (0, 1, -128, 127):
            ctx.set(chain.x, value)
            await ctx.tick().repeat(3)
            seen.append(ctx.get(chain.y))

    simulator = Simulator(chain)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()

    def wrap(value: int) -> int:
        return (value + 128) % 256 - 128
    assert seen == [wrap(~wrap(~value + 3) + 3) for value in (0, 1, -128, 127)]


def test_the_text_depends_on_nothing_but_the_component(tmp_path: Path) -> None:
    code = ("import sys; sys.path.insert(0, sys.argv[1]); from tests.rtl_gen.test_emit import *; "
            "print(verilog(Chain((3, 3)), 'stamp_chain', {'steps': 2}))")
    root = str(Path(__file__).parents[2])
    texts = {subprocess.run([sys.executable, "-c", code, root], cwd=folder, text=True, check=True, capture_output=True,
                            env={"PYTHONHASHSEED": seed, "PATH": "/usr/bin:/bin"}).stdout
             for seed, folder in (("1", tmp_path), ("2", Path(__file__).parent))}
    assert len(texts) == 1
    text = texts.pop()
    assert "// Parameters: steps=2" in text and "belongs to its user" in text
    assert not re.search(r"/(home|root|tmp|usr|work)/|\.py\b|20\d\d-\d\d", text)


def test_names_are_plain_and_parameters_come_from_the_component() -> None:
    files = verilog(Step(StepParams(offset=5)), "stamp_step")
    text = files["stamp_step.v"]
    assert "// Parameters: offset=5" in text and "\\" not in text and "$auto" not in text and "`timescale" not in text
