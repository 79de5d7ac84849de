"""The register maps in SystemRDL, read by systemrdl-compiler: all that the project's own tables say, and no more."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from rtl_gen.axi.registers import Register, registers
from rtl_gen.delivery import handover
from rtl_gen.delivery.handover_rdl import document, quoted
from rtl_gen.dma.registers import npu_registers
from stamp_hw.config import NpuConfig
from stamp_hw.dma.params import DmaParams
from stamp_hw.engine.params import EngineParams
from tests.support.generate_cases import BLOCKED, LINE, ROTATED, SMALL, generated

systemrdl = pytest.importorskip("systemrdl", reason="systemrdl-compiler is not installed (extra dev)")

CONFIGS = {"default": NpuConfig(), "small": SMALL, "line": LINE, "blocked": BLOCKED, "rotated": ROTATED}
#: What of systemrdl's properties an access of ours is: (software reads, writes, onwrite, singlepulse).
ACCESS = {"const": (True, False, None, False), "ro": (True, False, None, False), "rw": (True, True, None, False),
          "w1c": (True, True, "woclr", False), "pulse": (False, True, None, True)}


def compiled(text: str, folder: Path) -> object:
    """The address map that the compiler makes of a file."""
    path = folder / "map.rdl"
    path.write_text(text, encoding="utf-8")
    compiler = systemrdl.RDLCompiler()
    compiler.compile_file(str(path))
    return compiler.elaborate().top


def read(top: object) -> dict[str, object]:
    """Register → (address, bits, description, fields by their names)."""
    found: dict[str, object] = {}
    for register in top.registers():  # type: ignore[attr-defined]
        fields = {}
        for field in register.fields():
            onwrite = field.get_property("onwrite")
            access = (field.is_sw_readable, field.is_sw_writable, onwrite and onwrite.name,
                      field.get_property("singlepulse"))
            fields[field.inst_name] = (
                field.low, field.width, field.get_property("reset"), access, field.get_property("desc"),
                field.get_property("hw").name)
        found[register.inst_name] = (register.absolute_address, register.get_property("regwidth"),
                                     register.get_property("desc"), fields)
    return found


def wanted(table: Sequence[Register]) -> dict[str, object]:
    hardware = {"const": "na", "ro": "w", "rw": "r", "w1c": "r", "pulse": "r"}
    return {register.name: (register.offset, 32, register.description, {
        field.name: (field.low, field.width, field.reset, ACCESS[field.access], field.description,
                     hardware[field.access]) for field in register.fields}) for register in table}


@pytest.mark.parametrize("name", CONFIGS)
def test_the_maps_say_what_the_tables_say(name: str, tmp_path: Path) -> None:
    hw = CONFIGS[name].with_hw(bus_width=128).hw
    files = handover.files(hw, ["a.v"], "waivers.vlt")
    for file, table in (("stamp_engine_axi.rdl", registers(EngineParams.of(hw))),
                        ("stamp_npu.rdl", npu_registers(DmaParams.of(hw)))):
        top = compiled(files[file], tmp_path)
        assert top.inst_name == file.removesuffix(".rdl")  # type: ignore[attr-defined]
        assert read(top) == wanted(table)


def test_a_string_that_has_quotes_stays_a_string(tmp_path: Path) -> None:
    table = (Register(name="ONE", offset=0, description='a "quoted" \\ word', fields=registers(
        EngineParams.of(SMALL.hw))[0].fields),)
    assert quoted('a "b"') == r'"a \"b\""'
    assert read(compiled(document("top", "x", table), tmp_path)) == wanted(table)


def test_a_map_under_another_prefix_has_its_name(tmp_path: Path) -> None:
    files = generated(SMALL.with_hw(bus_width=64), prefix="mine")
    assert compiled(files["mine_npu.rdl"], tmp_path).inst_name == "mine_npu"  # type: ignore[attr-defined]
    assert "stamp_engine_axi.rdl" not in files
