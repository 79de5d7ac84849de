"""The Verilog that users get is the same hardware as Amaranth's own translation of the same components.

The writer (`rtl_gen.verilog`) and Amaranth's RTLIL share no code behind the netlist. Yosys reads both, and ABC shows
that no input, over runs of any length, makes an output differ: registers that correspond are found and merged by
induction, on hardware that is small and has all of its logic.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from amaranth.back import rtlil
from amaranth.lib import data, wiring

from rtl_gen.axi.event_counters import EventCounters
from rtl_gen.axi.lite import RegisterFile
from rtl_gen.axi.registers import registers
from rtl_gen.engine.issue import Issue
from rtl_gen.engine.lift import Lift
from rtl_gen.engine.loader import Loader
from rtl_gen.engine.rows import Rows
from rtl_gen.haar.finish import Finish
from rtl_gen.haar.forward import Haar
from rtl_gen.haar.inverse import HaarInverse
from rtl_gen.scale.divider import Divider
from rtl_gen.scale.dividers import Dividers
from rtl_gen.verilog.emit import verilog
from stamp_hw.engine.params import EngineParams
from stamp_hw.params import FinishParams, HaarParams, ScaleParams
from tb.formal.solver import TOP
from tb.mutate.netlist import made
from tb.mutate.proof import never
from tests.support.constructs import Everything

FLAT = """{read}
hierarchy -top {top}
proc
flatten
memory_map
attrmap -remove init
opt_clean
rename {top} {name}
write_rtlil {name}.il
"""
MITER = """read_rtlil gold.il
read_rtlil gate.il
miter -equiv -flatten gold gate miter
hierarchy -top miter
flatten
opt
techmap
opt -fast
dffunmap
setundef -undriven -zero
setundef -zero
setundef -init -zero
aigmap
opt_clean
write_aiger -zinit miter.aig
"""
DUMMY = "module dummy(input a, input b, output y); assign y = a & b; endmodule\n"
ABC = "read_verilog dummy.v\nhierarchy -top dummy\nsimplemap\nabc -script merge.abc\n"
MERGE = "read_aiger miter.aig\nstrash\nscorr\nwrite_aiger merged.aig\n"


def same(files: Mapping[str, str], twin: wiring.Component, folder: Path) -> bool:
    """Whether Verilog is Amaranth's RTLIL of a component, from registers of zeros on."""
    for name, text in files.items():
        (folder / name).write_text(re.sub(r"\brelease_\b", r"\\release ", text), "utf-8")  # a keyword of Verilog
    (folder / "amaranth.il").write_text(rtlil.convert(twin, name="amaranth", emit_src=False), "utf-8")
    made(folder, FLAT.format(read="read_rtlil amaranth.il", top="amaranth", name="gold"), "gold.il")
    made(folder, FLAT.format(read=f"read_verilog {' '.join(files)}", top=TOP, name="gate"), "gate.il")
    made(folder, MITER, "miter.aig")
    (folder / "dummy.v").write_text(DUMMY, "utf-8")
    (folder / "merge.abc").write_text(MERGE, "utf-8")
    return never(made(folder, ABC, "merged.aig").read_bytes())


TINY = EngineParams(rows=2, cols=2, lanes=2, axes=1, max_levels=3, max_k=12, max_tokens=40, act_slots=16,
                    rescale_lanes=2, in_width=10, acc_width=24, recip_frac=8, z_frac=4, mul_stages=1)
UNITS = {
    "everything": Everything,
    "haar_forward": lambda: Haar(HaarParams(lanes=1, width=6, axes=2, max_levels=2, max_beats=2, max_tokens=6)),
    "haar_inverse": lambda: HaarInverse(HaarParams(lanes=1, width=8, axes=1, max_levels=2, max_beats=2, max_tokens=6,
                                                   direction="inverse", read_stages=2)),
    "haar_finish": lambda: Finish(FinishParams(lanes=1, width=8, z_frac=2)),
    "divider": lambda: Divider(ScaleParams(lanes=2, width=6, recip_frac=4, max_beats=2, mul_stages=1)),
    "dividers": lambda: Dividers(ScaleParams(lanes=2, width=4, recip_frac=0, max_beats=2, mul_stages=1, block_beats=8)),
    "issue": lambda: Issue(TINY),
    "loader": lambda: Loader(TINY),
    "rows": lambda: Rows(TINY),
    "lift": lambda: Lift(TINY),
    "registers": lambda: RegisterFile(registers(TINY)),
    "counters": lambda: EventCounters(data.StructLayout({"a": 1, "b": 2, "c": 1})),
}


@pytest.mark.rtl
@pytest.mark.parametrize("name", UNITS)
def test_the_text_is_the_hardware_that_amaranth_itself_describes(name: str, tmp_path: Path) -> None:
    assert same(verilog(UNITS[name](), TOP), UNITS[name](), tmp_path)


@pytest.mark.rtl
@pytest.mark.parametrize(("old", "new"), [("count - 4'd1", "count + 4'd2"), ("= $signed(", "= ("),
                                          ("if (rst) ", "if (1'b0) "), ("held_c_1 <= b[1:0]", "held_c_2 <= b[1:0]")])
def test_text_that_is_other_hardware_is_told_apart(old: str, new: str, tmp_path: Path) -> None:
    files = verilog(Everything(), TOP)
    text = files[f"{TOP}.v"]
    assert old in text
    assert not same(files | {f"{TOP}.v": text.replace(old, new, 1)}, Everything(), tmp_path)
