"""The generated Verilog is made to be read: names, fields, reasons, the order of the source."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.delivery.generate import generate
from rtl_gen.haar.forward import Haar
from rtl_gen.haar.inverse import HaarInverse
from rtl_gen.verilog.declared import declared, fields, ports
from rtl_gen.verilog.emit import Style, verilog
from stamp_hw.config import NpuConfig
from stamp_hw.params import HaarParams
from tests.support.generate_cases import SMALL, generated

ROOT = Path(__file__).resolve().parents[2]
UNNAMED = re.compile(r"_\d+_|register(_\d+)?|net_\d+_\d+")


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    return {name: text for name, text in generated(SMALL).items() if name.endswith(".v") and "/" not in name}


def test_at_most_a_twentieth_of_the_nets_has_no_name(files: dict[str, str]) -> None:
    names = [each.name for text in files.values() for each in (*declared(text), *fields(text))]
    unnamed = [name for name in names if UNNAMED.fullmatch(name)]
    assert len(names) > 1500 and len(unnamed) <= len(names) / 20, sorted(unnamed)
    assert not any(re.fullmatch(r"signal(_\d+)?", name) for name in names), "a Signal without a name"


def test_no_module_repeats_a_name_and_every_module_says_what_it_is(files: dict[str, str]) -> None:
    for file, text in files.items():
        names = [each.name for each in (*declared(text), *fields(text))]
        assert len(names) == len(set(names)), file
        head = text.split("\nmodule ")[0]
        assert "// Members\n// -------\n" in head, file
        assert all(len(line) <= 123 or line.startswith("// Parameters:") for line in text.splitlines()), file


@pytest.mark.long
def test_an_array_of_32_by_32_is_one_row_32_times() -> None:
    large = generate(NpuConfig.load(ROOT / "configs/npu32.yaml"))
    modules = {name: text for name, text in large.items() if name.endswith(".v")}
    assert sum(text.count("\n") for text in modules.values()) < 20_000
    assert len(re.findall(r"^  stamp_mac_row row\d+ \($", large["stamp_engine_mac.v"], re.MULTILINE)) == 32
    assert len(re.findall(r"^  stamp_pe pe\d+ \($", large["stamp_mac_row.v"], re.MULTILINE)) == 32


@pytest.mark.parametrize("max_levels", [6, 7])
@pytest.mark.parametrize("unit", [Haar, HaarInverse])
def test_a_grid_no_larger_than_its_largest_tile_asks_for_no_bit_that_is_not_there(
        unit: type[Haar | HaarInverse], max_levels: int) -> None:
    """No bits at all are an expression that synthesis refuses; places of 7 bits, tiles of fewer and of as many."""
    params = HaarParams(lanes=1, width=8, axes=2, max_levels=max_levels, max_beats=8, max_tokens=64,
                        direction="forward" if unit is Haar else "inverse")
    for text in verilog(unit(params), "unit").values():
        assert "{}" not in text


class Kind(enum.Enum, shape=2):
    """Two states."""

    REST = 0
    WORK = 2


class Sample(wiring.Component):
    """A component to look at.

    Members
    -------
    i : In, a struct
    """

    def __init__(self) -> None:
        self.layout = data.StructLayout({"low": 3, "high": signed(5)})
        super().__init__({"i": In(self.layout), "go": In(1), "o": Out(self.layout), "busy": Out(1)})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        state = Signal(Kind)
        kept = Signal(self.layout, reset_less=True)

        # The state comes first,
        # and then what is kept.
        with m.If(self.go):
            m.d.sync += state.eq(Kind.WORK)
            with m.If(self.i.low == 3):
                m.d.sync += kept.high.eq(self.i.high)
            with m.Else():
                m.d.sync += kept.low.eq(kept.low + 1)

        m.d.comb += self.busy.eq(state == Kind.WORK)
        self._send(m, kept)
        return m

    def _send(self, m: Module, kept: data.View) -> None:
        """What is `kept` goes out."""
        m.d.comb += self.o.eq(kept)


def test_a_module_reads_like_its_source() -> None:
    text = verilog(Sample(), "sample")["sample.v"]
    assert text.split("// A component to look at.\n", 1)[1] == """//
// Members
// -------
// i : In, a struct
module sample (
  input wire clk,
  input wire rst,
  input wire [7:0] i,
  input wire go,
  output wire [7:0] o,
  output wire busy
);
  localparam [1:0] STATE_REST = 2'd0;
  localparam [1:0] STATE_WORK = 2'd2;
  reg [1:0] state;
  reg [2:0] kept_low;
  reg [4:0] kept_high;
  wire [2:0] i_low = i[2:0];
  wire [4:0] i_high = i[7:3];
  assign busy = state == STATE_WORK;

  // The state comes first, and then what is kept.
  always @(posedge clk)
    if (rst) state <= STATE_REST;
    else if (go) state <= STATE_WORK;
  always @(posedge clk)
    if (go) begin
      if (i_low == 3'd3) kept_high <= i_high;
      else kept_low <= kept_low + 3'd1;
    end

  assign o = {kept_high, kept_low};
endmodule
"""


class Through(wiring.Component):
    """Hands its input through beside what it makes of it."""

    def __init__(self) -> None:
        super().__init__({"go": In(1), "out": Out(data.StructLayout({"same": 1, "other": 1}))})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        m.d.sync += self.out.other.eq(self.out.other ^ self.go)
        m.d.comb += self.out.same.eq(self.go)
        return m


class Around(wiring.Component):
    """Gives it what an input makes with a register, and takes both of its outputs."""

    def __init__(self) -> None:
        super().__init__({"a": In(1), "b": Out(2)})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        m.submodules.part = part = Through()
        m.d.comb += [part.go.eq(self.a & ~part.out.other), self.b.eq(part.out.as_value())]
        return m


def test_what_a_part_hands_through_is_named_where_it_comes_from() -> None:
    """Named after the part's output it would drive itself."""
    text = verilog(Around(), "around")["around.v"]
    assert "part_out_same" not in text
    assert "assign b_same = a & ~part_out_other;" in text and ".go(b_same)" in text


def test_fields_without_a_reader_are_declared_on_request() -> None:
    for field_wires in (False, True):
        text = verilog(Sample(), "sample", style=Style(field_wires=field_wires))["sample.v"]
        assert {port.name for port in ports(text)} == {"clk", "rst", "i", "go", "o", "busy"}
        assert {field.name for field in fields(text)} == {"i_low", "i_high"}


def test_block_ram_is_asked_for_where_a_memory_is_large_and_a_flag_says_no() -> None:
    words = re.compile(r'^  (\(\* .* \*\) )?reg \[(\d+):0\] \w+ \[0:(\d+)\];$', re.MULTILINE)
    for wanted in (True, False):
        text = "".join(generate(SMALL, style=Style(memory_attributes=wanted)).values())
        found = words.findall(text)
        assert len(found) > 10
        for attribute, high, last in found:
            assert bool(attribute) == (wanted and (int(high) + 1) * (int(last) + 1) >= 4096)
        assert any(attribute for attribute, _, _ in found) == wanted
        assert text.count("ram_style") == sum(bool(attribute) for attribute, _, _ in found)


class Deaf(wiring.Component):
    """A register of which nobody reads the upper bits, nor those of what it is made of."""

    def __init__(self) -> None:
        super().__init__({"a": In(1), "b": In(1), "c": In(1), "two": Out(4), "other": Out(4)})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        twice = (self.a + self.b + self.c) << 2
        kept, less = Signal(8, name="kept"), Signal(8, name="less")
        m.d.sync += [kept.eq(twice), less.eq(12 - twice)]
        m.d.comb += [self.two.eq(kept[:4]), self.other.eq(less[:4])]
        return m


def test_no_bit_is_named_that_a_wire_does_not_have(files: dict[str, str]) -> None:
    """A tool takes such a bit for any value, and with it all that it is added to."""
    seen = 0
    for file, text in {**files, **verilog(Deaf(), "deaf")}.items():
        high = {name: int(bits or 0) for bits, names in re.findall(
            r"^  (?:\w+ )?(?:wire|reg) (?:signed )?(?:\[(\d+):0\] )?([\w, ]+);", text, re.MULTILINE)
            for name in names.split(", ")}
        seen += len(high)
        for name, bit in re.findall(r"\b(\w+)\[(\d+)(?::\d+)?\]", text):
            assert int(bit) <= high.get(name, int(bit)), f"{file}: {name}[{bit}]"
    assert seen > 500


class Half(wiring.Component):
    """A register that is kept as a whole, of which one field nobody reads."""

    def __init__(self) -> None:
        super().__init__({"go": In(1), "stop": In(1), "a": In(4), "b": In(4), "o": Out(4)})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        held = Signal(data.StructLayout({"read": 4, "unread": 4}), name="held")
        with m.If(self.go):
            m.d.sync += held.eq(Cat(self.a, self.b))
        with m.If(self.stop):
            m.d.sync += held.eq(Cat(self.b, self.b))
        m.d.comb += self.o.eq(held.read)
        return m


def test_a_field_that_nobody_reads_is_not_needed_to_keep_the_others() -> None:
    text = verilog(Half(), "half")["half.v"]
    assert "held_read" in text and "unread" not in text
    assert generate(NpuConfig(hw=replace(SMALL.hw, axes=2, max_levels=1)))
