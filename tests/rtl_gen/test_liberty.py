"""Liberty files: functions, tables, what the flow takes from a library, and what it refuses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rtl_gen.asic import boolean, liberty, libraries, library, tables
from rtl_gen.asic.liberty import Group
from stamp_hw.errors import ConfigError, ToolError
from tests.support.asic_cases import five, five_text
from tests.support.refusals import refused


@pytest.mark.parametrize(("text", "same"), [
    ("!(A & B)", lambda a, b, c: not (a and b)), ("(!(A B))", lambda a, b, c: not (a and b)),
    ("A' + B*C", lambda a, b, c: not a or (b and c)), ("A ^ B ^ C", lambda a, b, c: (a + b + c) % 2 == 1),
    ("((C & B) | (A & !C))", lambda a, b, c: b if c else a), ("A B + !A C", lambda a, b, c: b if a else c),
    ("(A|B)'", lambda a, b, c: not (a or b)), ("A & 1 | 0", lambda a, b, c: a)])
def test_a_function_has_the_value_of_its_text(text: str, same: object) -> None:
    function = boolean.parse(text, "here")
    for pins in boolean.assignments(("A", "B", "C")):
        assert callable(same) and function.value(pins) == bool(same(*pins.values())), pins
        nets = {name: str(int(value)) for name, value in pins.items()}
        written = function.verilog(nets).replace("1'b", "").replace("~", "1^")
        assert eval(written) == function.value(pins)  # Verilog's operators of one bit are Python's


@pytest.mark.parametrize("text", ["", "A &", "(A", "A)", "A % B", "!"])
def test_a_text_that_is_no_function_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="no function"):
        boolean.parse(text, "here")


@pytest.mark.parametrize("order", [("input_transition_time", "total_output_net_capacitance"),
                                   ("total_output_net_capacitance", "input_transition_time")])
def test_a_table_is_read_by_its_variables_in_either_order(order: tuple[str, str]) -> None:
    points = {"input_transition_time": "1, 3", "total_output_net_capacitance": "10, 20, 40"}
    value = {(slew, load): slew * load for slew in (1, 3) for load in (10, 20, 40)}
    first, second = (tuple(int(word) for word in points[name].split(",")) for name in order)
    by_slew = order[0].startswith("input")
    rows = tuple(", ".join(str(value[(x, y) if by_slew else (y, x)]) for y in second) for x in first)
    template = Group("power_lut_template", ("t",), {"variable_1": order[0], "variable_2": order[1]},
                     {"index_1": (points[order[0]],), "index_2": (points[order[1]],)})
    table = tables.read(Group("rise_power", ("t",), {}, {"values": rows}), {"t": template}, 1.0, 1.0, 2.0, "here")
    for slew, load, wanted in ((1, 10, 10), (3, 40, 120), (2, 30, 60), (2, 50, 100), (1, 5, 5)):
        assert table.at(slew, load) == pytest.approx(2 * wanted)


def test_the_own_library_has_the_units_that_it_states() -> None:
    cells = five().cells
    assert sorted(cells) == ["BUF", "DFF", "INV", "NAND2", "NOR2"]
    assert (cells["INV"].area, cells["INV"].leakage, cells["INV"].inputs["A"].cap) == (1.0, 10.0, 1.0)
    assert five().gate().name == "NAND2" and five().voltage == 1.0
    flop = cells["DFF"].ff
    assert flop is not None and (flop.clock, flop.setup_ns) == ("CK", 0.03)
    (power,) = cells["INV"].outputs["Y"].power
    assert power.rise.at(0.01, 1.0) == 0.5 and power.rise.at(0.5, 1.0) == 0.75


def test_units_of_a_file_are_turned_into_those_of_the_flow(tmp_path: Path) -> None:
    """The same cells in pF and ps: capacitances and energies a thousand times, times a thousandth of their numbers."""
    path = tmp_path / "pf.lib"
    path.write_text(five_text().replace("(1, ff)", "(1, pf)").replace('"1ns"', '"1ps"').replace('"1nW"', '"1uW"'))
    cells = library.load(path, 1e-5).cells
    assert cells["INV"].inputs["A"].cap == 1000 and cells["INV"].leakage == 10_000
    assert cells["INV"].outputs["Y"].power[0].rise.at(1e-5, 1000) == pytest.approx(500)
    flop = cells["DFF"].ff
    assert flop is not None and flop.setup_ns == pytest.approx(3e-5)


@pytest.mark.parametrize(("cut", "cell", "attribute"), [
    (r"    area : 1.5;\n", "NAND2", "area"), (r"    cell_leakage_power : 20.0;\n", "BUF", "cell_leakage_power"),
    (r"direction : input; capacitance : 1.0;(?= }\n    pin \(Y\) {\n    direction : output;\n"
     r"    capacitance : 0.0;\n    max_capacitance : 64.0;\n    function : \"!A\")", "INV", "capacitance"),
    (r'    function : "!\(A \| B\)";\n', "NOR2", "function"), (r' clocked_on : "CK";', "DFF", "clocked_on"),
    (r'next_state : "D";', "DFF", "next_state"), (r"        timing_type : setup_rising;\n", "DFF", "setup_rising"),
    (r"  nom_voltage : 1.0;\n", "library", "nom_voltage"), (r"  capacitive_load_unit \(1, ff\);\n", "library",
                                                            "capacitive_load_unit")])
def test_a_library_that_lacks_something_is_refused_by_cell_and_attribute(
        cut: str, cell: str, attribute: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, found = re.subn(cut, "direction : input;" if attribute == "capacitance" else "", five_text(), count=1)
    assert found
    path = tmp_path / "cut.lib"
    path.write_text(text)
    line = refused(["characterize", "--liberty", str(path), "--block", "pe"], capsys)
    assert cell in line and attribute in line and "cut.lib" in line


@pytest.mark.parametrize("kind", ["internal_power", "rise_power", "cell_fall"])
def test_a_cell_without_its_tables_is_refused_by_cell_and_group(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "cut.lib"
    path.write_text(re.sub(rf"\b{kind} \(", "user_group (", five_text()))
    with pytest.raises(ConfigError, match=rf"cell \w+, pin \w+.*no group {kind}"):
        library.load(path, 0.01)


@pytest.mark.parametrize("cell", ["NAND2", "INV", "BUF", "DFF"])
def test_a_library_without_a_cell_that_the_flow_needs_is_refused(cell: str, tmp_path: Path) -> None:
    path = tmp_path / "few.lib"
    path.write_text(five_text().replace(f"cell ({cell}) {{", f"cell ({cell}) {{\n    dont_use : true;"))
    with pytest.raises(ConfigError, match="lacks a cell"):
        library.load(path, 0.01)


@pytest.mark.parametrize("text", ["", "module top;", "library (a) {", "library (a) { x : 1; ", 'library (a) { "b',
                                  "cell (a) {}"])
def test_a_text_that_is_no_library_is_refused_in_one_line(
        text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "no.lib"
    path.write_text(text)
    assert "no.lib" in refused(["characterize", "--liberty", str(path), "--block", "pe"], capsys)


def test_a_known_library_that_is_not_there_names_what_installs_it(
        monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here = libraries.known()
    for name, wanted in (("freepdk45", "stamp-hw[asic]"), ("osu018", "qflow-tech-osu018")):
        gone = libraries.Known(path=tmp_path / "gone", slew=0.1, wire_ff=1.0, install=here[name].install, node="")
        monkeypatch.setattr(libraries, "known", lambda name=name, gone=gone: {name: gone})
        with pytest.raises(ToolError, match="library not found"):
            libraries.find(name)
        assert wanted in refused(["characterize", "--liberty", name], capsys)
    assert "no such library" in refused(["characterize", "--liberty", "nangate"], capsys)


def test_comments_and_continued_lines_are_no_part_of_a_file() -> None:
    top = liberty.parse('library (a) { /* cell (x) { } */\n  b ("1, 2", \\\n "3"); // c : 1;\n  d : e f; }', "here")
    assert top.complex == {"b": ("1, 2", "3")} and top.attributes == {"d": "e f"} and not top.groups
