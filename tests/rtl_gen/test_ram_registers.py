"""Flip-flops behind a block memory become its own register where they can be that, and nothing else changes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rtl_gen.flow import bitstream, place
from rtl_gen.flow.ram_registers import absorb, use_registers
from rtl_gen.flow.synth import ECP5_FLAT, run_yosys
from stamp_hw.config import NpuConfig
from tb.formal.solver import yosys

#: A memory with a read enable, and what stands behind its `read` word.
RAM = """module top(input clk, input rst, input we, input re, input en, input [8:0] wa, input [8:0] ra,
           input [{top}:0] d, output [{top}:0] q, output [{top}:0] more);
  (* ram_style = "block" *) reg [{top}:0] words [0:511];
  reg [{top}:0] read, behind;
  always @(posedge clk) begin
    if (we) words[wa] <= d;
    if (re) read <= words[ra];
    {register}
  end
  assign q = behind;
  assign more = {more};
endmodule
"""
ALWAYS, ENABLED = "behind <= read;", "if (en) behind <= read;"
RESET, AT_ONE = "behind <= rst ? 0 : read;", "behind <= rst ? -1 : read;"
HALVES = "behind[{top}:4] <= read[{top}:4]; if (en) behind[3:0] <= read[3:0];"
#: Lattice's memory as far as it is used here, of two words: both netlists read the same ones.
MODEL = """module DP16KD({ports});
  {parameters}
  {directions}
  wire wide = DATA_WIDTH_A == 36;
  reg [35:0] words [0:1];
  reg [17:0] a, b, a_late, b_late;
  wire at_a = DATA_WIDTH_A == 9 ? ADA3 : DATA_WIDTH_A == 18 ? ADA4 : ADA5;
  wire at_b = DATA_WIDTH_A == 9 ? ADB3 : DATA_WIDTH_A == 18 ? ADB4 : ADB5;
  wire [35:0] found = words[at_b];
  always @(posedge CLKA) if (CEA & WEA) words[at_a] <= {{DIB, DIA}};
  always @(posedge CLKB) begin
    if (CEB & ~WEB) {{b, a}} <= {{wide ? found[35:18] : found[17:0], found[17:0]}};
    if (OCEB) {{b_late, a_late}} <= {{b, a}};
  end
  assign DOA = REGMODE_A == "OUTREG" ? a_late : a;
  assign DOB = REGMODE_B == "OUTREG" ? b_late : b;
endmodule
"""
PINS = {"DI": 18, "AD": 14, "DO": 18, "CS": 3}
SETTINGS = {"DATA_WIDTH_A": "36", "DATA_WIDTH_B": "36", "REGMODE_A": '"NOREG"', "REGMODE_B": '"NOREG"'}
NAMES = ("ASYNC_RESET_RELEASE", "CLKAMUX", "CLKBMUX", "CSDECODE_A", "CSDECODE_B", "GSR", "RESETMODE", "WRITEMODE_A",
         "WRITEMODE_B", *(f"INITVAL_{number:02X}" for number in range(64)))
#: From zero, twelve cycles of any inputs.
PROOF = ("read_verilog -DNO_INCLUDES +/ecp5/cells_sim.v; read_verilog model.v gold.v gate.v; hierarchy; proc; "
         "flatten; memory; miter -equiv -flatten -make_outputs gold gate m; hierarchy -top m; opt -full; "
         "sat -verify -prove trigger 0 -seq 12 -set-init-zero m")


def model() -> str:
    single = [f"{name}{side}" for name in ("CE", "OCE", "CLK", "WE", "RST") for side in "AB"]
    buses = {f"{name}{side}": bits for name, bits in PINS.items() for side in "AB"}
    parameters = {**SETTINGS, **dict.fromkeys(NAMES, "0")}
    lines = []
    for bus, bits in buses.items():
        pins, out = [f"{bus}{bit}" for bit in range(bits)], bus.startswith("DO")
        together = f"{{{', '.join(reversed(pins))}}}"
        lines.append(f"{'output' if out else 'input'} {', '.join(pins)}; wire [{bits - 1}:0] {bus}; "
                     + (f"assign {together} = {bus};" if out else f"assign {bus} = {together};"))
    return MODEL.format(ports=", ".join([*single, *(f"{bus}{bit}" for bus, bits in buses.items()
                                                    for bit in range(bits))]),
                        parameters="\n  ".join(f"parameter {name} = {value};" for name, value in parameters.items()),
                        directions="\n  ".join([f"input {', '.join(single)};", *lines]))


def synthesized(folder: Path, width: int, register: str, more: str) -> None:
    text = RAM.format(top=width - 1, register=register.format(top=width - 1), more=more)
    run_yosys(folder, {"top.v": text}, "top", f"{ECP5_FLAT.format(top='top')}; write_json netlist.json")


def modes(folder: Path) -> set[tuple[str, str]]:
    cells = json.loads((folder / "netlist.json").read_text())["modules"]["top"]["cells"].values()
    found = {(cell["parameters"]["REGMODE_A"], cell["parameters"]["REGMODE_B"]) for cell in cells
             if cell["type"] == "DP16KD"}
    assert found, "no block memory was made"
    return found


def flip_flops(folder: Path) -> int:
    cells = json.loads((folder / "netlist.json").read_text())["modules"]["top"]["cells"].values()
    return sum(cell["type"] == "TRELLIS_FF" for cell in cells)


@pytest.mark.rtl
@pytest.mark.parametrize(("width", "sides"), [(9, ("NOREG", "OUTREG")), (36, ("OUTREG", "OUTREG"))])
@pytest.mark.parametrize("register", [ALWAYS, ENABLED], ids=["always", "enabled"])
def test_registers_move_into_the_memory_and_the_netlist_does_the_same(tmp_path: Path, width: int, register: str,
                                                                     sides: tuple[str, str]) -> None:
    synthesized(tmp_path, width, register, "0")
    before = flip_flops(tmp_path)
    for name in ("gold", "gate"):
        yosys(f"read_json netlist.json; rename top {name}; write_verilog -noattr {name}.v", tmp_path)
        if name == "gold":
            assert use_registers(tmp_path / "netlist.json", "top") == width == before - flip_flops(tmp_path)
    assert modes(tmp_path) == {sides}
    (tmp_path / "model.v").write_text(model())
    assert "ERROR" not in yosys(PROOF, tmp_path)
    text = (tmp_path / "gate.v").read_text()
    for right, wrong in (('"OUTREG"', '"NOREG"'), *([(".OCEB(en)", ".OCEB(1'h1)")] if register is ENABLED else [])):
        assert right in text
        (tmp_path / "gate.v").write_text(text.replace(right, wrong))
        assert "ERROR" in yosys(PROOF, tmp_path), f"{wrong} is not noticed"


@pytest.mark.rtl
@pytest.mark.parametrize(("register", "more"), [
    (ALWAYS, "read"), (RESET, "0"), (AT_ONE, "0"), (HALVES, "0"), ("behind <= ~read;", "0")],
    ids=["read by others", "reset", "set", "moved apart", "behind logic"])
def test_what_cannot_be_the_memorys_register_stays(tmp_path: Path, register: str, more: str) -> None:
    synthesized(tmp_path, 9, register, more)
    before = (tmp_path / "netlist.json").read_text()
    assert use_registers(tmp_path / "netlist.json", "top") == 0
    assert json.loads((tmp_path / "netlist.json").read_text()) == json.loads(before)
    assert modes(tmp_path) == {("NOREG", "NOREG")}


Cells = dict[str, dict[str, Any]]
CLOCK, DATA, OUT, ENABLE = 2, 10, 20, 30


def cell(kind: str, settings: dict[str, str], outputs: dict[str, Any], **inputs: Any) -> dict[str, Any]:
    """One of a netlist, as Yosys writes it."""
    return {"type": kind, "parameters": dict(settings),
            "port_directions": dict.fromkeys(inputs, "input") | dict.fromkeys(outputs, "output"),
            "connections": {port: [net] for port, net in (inputs | outputs).items()}}


def memory(data: int = DATA, width: int = 18) -> dict[str, Any]:
    """A memory that is read at port B, two bits of it."""
    settings = {f"{name}{side}": value for side in "AB" for name, value in (
        ("DATA_WIDTH_", f"{width:b}"), ("REGMODE_", "NOREG"))} | {"CLKAMUX": "CLKA", "CLKBMUX": "CLKB"}
    return cell("DP16KD", settings, {"DOB0": data, "DOB1": data + 1}, CLKA=CLOCK, CLKB=CLOCK, OCEA="1", OCEB="1",
                RSTA="0", RSTB="0")


def flip_flop(data: int, out: int, enable: int | None = None, **pins: Any) -> dict[str, Any]:
    settings = {"CLKMUX": "CLK", "LSRMUX": "LSR", "REGSET": "RESET", "CEMUX": "1 " if enable is None else "CE"}
    more = {} if enable is None else {"CE": enable}
    return cell("TRELLIS_FF", settings, {"Q": out}, **({"CLK": CLOCK, "LSR": "0", "DI": data} | more | pins))


def netlist() -> Cells:
    return {"ram": memory(), "f0": flip_flop(DATA, OUT, ENABLE), "f1": flip_flop(DATA + 1, OUT + 1, ENABLE)}


def setting(name: str, port: str, value: str) -> Callable[[Cells], None]:
    return lambda cells: cells[name]["parameters"].update({port: value})


def pin(name: str, port: str, net: Any) -> Callable[[Cells], None]:
    return lambda cells: cells[name]["connections"].update({port: [net]})


def reader(port: str, kind: str = "LUT4") -> Callable[[Cells], None]:
    """Something else that the memory's first bit goes to."""
    return lambda cells: cells.update({"other": cell(kind, {}, {}, **{port: DATA})})


def test_a_memory_takes_what_stands_behind_it() -> None:
    cells = netlist()
    assert absorb(cells, []) == 2 and cells.keys() == {"ram"}
    ram = cells["ram"]
    pins = [ram["connections"][port] for port in ("DOB0", "DOB1", "OCEB", "OCEA")]
    assert pins == [[OUT], [OUT + 1], [ENABLE], ["1"]]
    assert (ram["parameters"]["REGMODE_A"], ram["parameters"]["REGMODE_B"]) == ("NOREG", "OUTREG")


@pytest.mark.parametrize("change", [
    setting("ram", "CLKBMUX", "INV"), setting("ram", "REGMODE_B", "OUTREG"), pin("ram", "RSTB", 40),
    pin("ram", "OCEB", 40), pin("ram", "CLKB", 40), pin("f0", "CLK", 40), pin("f1", "CE", 40), pin("f0", "LSR", 40),
    setting("f0", "CLKMUX", "INV"), setting("f0", "LSRMUX", "INV"), setting("f0", "REGSET", "SET"),
    setting("f0", "CEMUX", "INV"), reader("A"), reader("DI", "TRELLIS_FF"), reader("CE", "TRELLIS_FF")])
def test_a_memory_leaves_what_is_not_its_register(change: Callable[[Cells], None]) -> None:
    cells, same = netlist(), netlist()
    change(cells)
    change(same)
    assert absorb(cells, []) == 0 and cells == same


def test_a_bit_that_leaves_the_chip_is_not_moved() -> None:
    assert absorb(netlist(), [DATA]) == 0


def test_a_wide_word_is_one_register_of_both_halves() -> None:
    cells = netlist()
    cells["ram"] = memory(width=36)
    cells["ram"]["port_directions"]["DOA0"], cells["ram"]["connections"]["DOA0"] = "output", [DATA + 2]
    cells["other"] = cell("LUT4", {}, {}, A=DATA + 2)
    assert absorb(cells, []) == 0, "the lower half is read at once"
    cells["other"] = flip_flop(DATA + 2, OUT + 2, ENABLE)
    assert absorb(cells, []) == 3 and cells["ram"]["connections"]["OCEB"] == [ENABLE]
    assert {cells["ram"]["parameters"][f"REGMODE_{side}"] for side in "AB"} == {"OUTREG"}


def test_an_enable_that_a_memory_reads_is_found_behind_one_that_was_moved() -> None:
    """Bit 0 of the second memory enables the flip-flops behind the first, which are part of it by then."""
    cells = {"first": memory(), "f0": flip_flop(DATA, OUT, 50), "f1": flip_flop(DATA + 1, OUT + 1, 50),
             "second": memory(50), "g1": flip_flop(51, 61)}
    assert absorb(cells, []) == 2 and cells.keys() == {"first", "second", "g1"}


def test_place_and_board_take_the_netlist_with_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def synthesized(folder: Path, _files: object, top: str, _script: str) -> None:
        ports = {"q": {"bits": [OUT, OUT + 1]}}
        (folder / "netlist.json").write_text(json.dumps({"modules": {top: {"cells": netlist(), "ports": ports}}}))

    for flow in (place, bitstream):
        monkeypatch.setattr(flow, "run_yosys", synthesized)
    assert place.netlist(tmp_path, NpuConfig(), "stamp_pe") == 2
    assert "OUTREG" in (tmp_path / place.NETLIST).read_text()
    bitstream.synthesize(tmp_path, {}, {}, "top")
    assert "OUTREG" in (tmp_path / bitstream.NETLIST).read_text()
