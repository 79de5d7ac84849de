"""The ECP5's multiplier in place of `stamp_pe_multiplier`, with its own registers, which Yosys does not use by itself.

The slice is `MULT18X18D` (Lattice FPGA-TN-02205, "ECP5 and ECP5-5G sysDSP Usage Guide"): 18 × 18 bits, signed where
SIGNEDA and SIGNEDB are high, with registers in front, between its halves (PIPELINE) and behind. A port is one bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rtl_gen.mac.multiplier import MODULE, OPERAND_WIDTH, PRODUCT_WIDTH
from stamp_hw.config import HwConfig
from stamp_hw.params import CODE_WIDTH

DSP = "ecp5"  # in `hw.dsp`
PRIMITIVE = "MULT18X18D"
FACTOR_WIDTH, RESULT_WIDTH = 18, 36  # of the slice
INSIDE = 2  # registers behind the product that the slice has
_MODEL = Path(__file__).with_name("mult18x18d.v")
_HEAD = f"""// {MODULE} for a Lattice ECP5: a {PRIMITIVE} with its own registers, in place of the file of that name.
// It gives the same product in the same cycle. {PRIMITIVE}.v is a model of the slice, for simulation alone.
"""


def model() -> str:
    """Verilog of the slice for simulation and proofs, as far as it is used here."""
    return _MODEL.read_text(encoding="utf-8")


def multiplier(mul_stages: int) -> str:
    """Verilog of the module `stamp_pe_multiplier`, its product `mul_stages` + 1 cycles behind its inputs."""
    outside = max(0, mul_stages - INSIDE)
    registers = {"REG_INPUTA_CLK": "CLK0", "REG_INPUTB_CLK": "CLK0",
                 "REG_PIPELINE_CLK": "CLK0" if mul_stages >= INSIDE else "NONE", "REG_OUTPUT_CLK": "CLK0"}
    pins = {"CLK0": "clk", "CE0": "1'b1", "RST0": "1'b0", "SIGNEDA": "1'b1", "SIGNEDB": "1'b1", "SOURCEA": "1'b0",
            "SOURCEB": "1'b0", **_factor("A", "operand_i", OPERAND_WIDTH), **_factor("B", "wgt_i", CODE_WIDTH),
            **{f"C{bit}": "1'b0" for bit in range(FACTOR_WIDTH)},
            **{f"P{bit}": f"slice[{bit}]" for bit in range(PRODUCT_WIDTH)}}
    names = [f"product{stage}" for stage in range(INSIDE + 1, mul_stages + 1)]
    delayed = "".join(f"    {name} <= {before};\n" for before, name in zip(["slice", *names], names, strict=False))
    return "".join((
        _HEAD, f"`default_nettype none\n\nmodule {MODULE} (\n  input wire clk,\n",
        f"  input wire [{OPERAND_WIDTH - 1}:0] operand_i,\n  input wire [{CODE_WIDTH - 1}:0] wgt_i,\n",
        f"  output wire [{PRODUCT_WIDTH - 1}:0] product_o\n);\n  wire [{PRODUCT_WIDTH - 1}:0] slice;\n",
        *(f"  reg [{PRODUCT_WIDTH - 1}:0] {name};\n" for name in names),
        f"  {PRIMITIVE} #(\n{_listed(registers, quote=True)}\n  ) multiplier (\n{_listed(pins)}\n  );\n",
        f"  always @(posedge clk) begin\n{delayed}  end\n" if outside else "",
        f"  assign product_o = {names[-1] if outside else 'slice'};\nendmodule\n`default_nettype wire\n"))


def for_synthesis(files: Mapping[str, str], hw: HwConfig) -> dict[str, str]:
    """The modules of hardware, the slice in its place where `hw.dsp` asks for it and they have a PE."""
    name = f"{MODULE}.v"
    return {**files, name: multiplier(hw.mul_stages)} if hw.dsp == DSP and name in files else dict(files)


def delivered(hw: HwConfig) -> dict[str, str]:
    """Relative path → text of what `stamp-hw generate` adds for synthesis: nothing without `hw.dsp`."""
    return {f"{DSP}/{MODULE}.v": multiplier(hw.mul_stages), f"{DSP}/{PRIMITIVE}.v": model()} if hw.dsp == DSP else {}


def _factor(port: str, name: str, width: int) -> dict[str, str]:
    """A factor's pins, the sign repeated above its bits."""
    return {f"{port}{bit}": f"{name}[{min(bit, width - 1)}]" for bit in range(FACTOR_WIDTH)}


def _listed(named: Mapping[str, str], *, quote: bool = False) -> str:
    """Connections, as many a line as there is room for."""
    lines: list[str] = []
    line = "   "
    for place, (name, value) in enumerate(named.items(), 1):
        shown = f'"{value}"' if quote else value
        text = f" .{name}({shown}){',' if place < len(named) else ''}"
        if len(line) + len(text) > 120:
            lines, line = [*lines, line], "   "
        line += text
    return "\n".join([*lines, line])
