"""The block design for a Zynq, which Vivado has never run: here Tcl runs it, with Vivado's commands only noted."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from rtl_gen.delivery.handover_npu import ZYNQ
from tests.support.generate_cases import BUSSED, SMALL, generated

tkinter = pytest.importorskip("tkinter")
CONFIG = BUSSED.with_hw(freq_hz=75e6)
NOTED = """
proc unknown {args} { lappend ::noted $args; return [join [lrange $args 1 end] " "] }
set noted {}
"""


def noted(folder: Path, *arguments: str) -> list[tuple[str, ...]]:
    """Commands of Vivado that the script would have run, in their order."""
    tcl: Any = tkinter.Tcl()
    tcl.eval(NOTED)
    tcl.eval(f"set argv [list {' '.join(arguments)}]; set argc [llength $argv]")
    tcl.call("source", str(folder / ZYNQ))
    return [tuple(map(str, tcl.splitlist(one))) for one in tcl.splitlist(tcl.getvar("noted"))]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = generated(CONFIG)
    for name in (ZYNQ, "files.f"):
        (tmp_path / name).write_text(files[name])
    return tmp_path


def test_it_takes_every_file_and_connects_the_ports_that_the_module_has(folder: Path) -> None:
    ran = noted(folder)
    files = generated(CONFIG)
    added = {Path(one[-1]).name for one in ran if one[0] == "add_files"}
    assert set(files["files.f"].split()) <= added
    declared = r"^  (?:input|output) (?:wire|reg) (?:\[\d+:0\] )?(\w+)"
    ports = set(re.findall(declared, files["stamp_npu.v"], re.MULTILINE))
    used = {pin for one in ran if one[0].startswith("get_bd") for pin in one[1:] if pin.startswith("npu/")}
    assert used == {"npu/aclk", "npu/aresetn", "npu/irq", "npu/m_axi", "npu/s_axil"}
    for pin in used:
        name = pin.removeprefix("npu/")
        assert name in ports or f"{name}_awvalid" in ports, pin
    assert all(name in used or any(name.startswith(f"{pin.removeprefix('npu/')}_") for pin in used)
               for name in ports if f"npu/{name}" not in used), "a port that nobody connects"


def test_every_net_joins_pins_of_cells_that_were_created(folder: Path) -> None:
    ran = noted(folder, "xc7z010clg400-1", "a:board:part0:1.0")
    cells = {one[-1] for one in ran if one[0] == "create_bd_cell"}
    assert cells == {"ps", "npu", "reset", "memory", "registers"}
    pins = [pin for one in ran if one[0].startswith("get_bd") for pin in one[1:]]
    assert {pin.partition("/")[0] for pin in pins} == cells
    assert len(pins) == len(set(pins)), "no pin is on two nets"
    assert any(one[:3] == ("set_property", "board_part", "a:board:part0:1.0") for one in ran)
    assert any(re.search(r"PCW_FPGA0_PERIPHERAL_FREQMHZ\W+75\b", " ".join(one)) for one in ran)


def test_it_says_that_nobody_has_run_it_and_comes_with_a_dma_alone() -> None:
    text = generated(CONFIG)[ZYNQ]
    assert "# UNTESTED: this script has never been run by Vivado.\n" in text
    assert ZYNQ not in generated(SMALL)
