"""The ECP5's multiplier in place of `stamp_pe_multiplier` and of the other products that have registers behind them
(`rtl_gen/lib/registered_product.py`), with its own registers, which Yosys does not use by itself.

The slice is `MULT18X18D` (Lattice FPGA-TN-02205, "ECP5 and ECP5-5G sysDSP Usage Guide"): 18 × 18 bits, signed where
SIGNEDA and SIGNEDB are high, with registers in front, between its halves (PIPELINE) and behind. A port is one bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rtl_gen.lib.registered_product import ProductParams
from rtl_gen.mac.multiplier import MODULE, OPERAND_WIDTH, PRODUCT_WIDTH
from stamp_hw.config import HwConfig
from stamp_hw.params import CODE_WIDTH

DSP = "ecp5"  # in `hw.dsp`
PRIMITIVE = "MULT18X18D"
FACTOR_WIDTH, RESULT_WIDTH = 18, 36  # of the slice
INSIDE = 2  # registers behind the product that the slice has
_MODEL = Path(__file__).with_name("mult18x18d.v")
_HEAD = f"""// {{module}} for a Lattice ECP5: a {PRIMITIVE} with its own registers, in place of the file of that name.
// It gives the same product in the same cycle. {PRIMITIVE}.v is a model of the slice, for simulation alone.
"""


def model() -> str:
    """Verilog of the slice for simulation and proofs, as far as it is used here."""
    return _MODEL.read_text(encoding="utf-8")


def multiplier(mul_stages: int) -> str:
    """Verilog of the module `stamp_pe_multiplier`, its product `mul_stages` + 1 cycles behind its inputs."""
    return _module(MODULE, _factor("A", "operand_i", OPERAND_WIDTH), _factor("B", "wgt_i", CODE_WIDTH), PRODUCT_WIDTH,
                   mul_stages, inputs=True, ports=[f"[{OPERAND_WIDTH - 1}:0] operand_i", f"[{CODE_WIDTH - 1}:0] wgt_i"])


def product(params: ProductParams) -> str:
    """Verilog of a module of `rtl_gen.lib.registered_product`."""
    a, b = (_factor(port, f"{port.lower()}_i", bits, signed=params.signed)
            for port, bits in (("A", params.a_bits), ("B", params.b_bits)))
    return _module(params.module, a, b, params.a_bits + params.b_bits, params.stages, inputs=False,
                   ports=["enable", f"[{params.a_bits - 1}:0] a_i", f"[{params.b_bits - 1}:0] b_i"])


def _module(name: str, a: Mapping[str, str], b: Mapping[str, str], width: int, stages: int, *, inputs: bool,
            ports: Sequence[str]) -> str:
    """Verilog of a module `name` around a slice: pins of its factors, bits of its product, `stages` registers behind
    that, registers in front of it or not, input ports beside the clock, of which `enable` moves every register."""
    outside, enable = max(0, stages - INSIDE), "enable" in ports
    registers = {**dict.fromkeys(("REG_INPUTA_CLK", "REG_INPUTB_CLK"), "CLK0" if inputs else "NONE"),
                 "REG_PIPELINE_CLK": "CLK0" if stages >= INSIDE else "NONE", "REG_OUTPUT_CLK": "CLK0"}
    pins = {"CLK0": "clk", "CE0": "enable" if enable else "1'b1", "RST0": "1'b0", "SOURCEA": "1'b0",
            "SOURCEB": "1'b0", **a, **b,
            **{f"C{bit}": "1'b0" for bit in range(FACTOR_WIDTH)},
            **{f"P{bit}": f"slice[{bit}]" for bit in range(width)}}
    names = [f"product{stage}" for stage in range(INSIDE + 1, stages + 1)]
    delayed = "".join(f"    {now} <= {before};\n" for before, now in zip(["slice", *names], names, strict=False))
    return "".join((
        _HEAD.format(module=name), f"`default_nettype none\n\nmodule {name} (\n  input wire clk,\n",
        *(f"  input wire {port},\n" for port in ports),
        f"  output wire [{width - 1}:0] product_o\n);\n  wire [{width - 1}:0] slice;\n",
        *(f"  reg [{width - 1}:0] {now};\n" for now in names),
        f"  {PRIMITIVE} #(\n{_listed(registers, quote=True)}\n  ) multiplier (\n{_listed(pins)}\n  );\n",
        f"  always @(posedge clk) {'if (enable) ' if enable else ''}begin\n{delayed}  end\n" if outside else "",
        f"  assign product_o = {names[-1] if outside else 'slice'};\nendmodule\n`default_nettype wire\n"))


def slices(files: Iterable[str], hw: HwConfig) -> dict[str, str]:
    """File name → Verilog with a slice, of those modules in `files` that have one where `hw.dsp` asks for it."""
    if hw.dsp != DSP:
        return {}
    found = {}
    for file in files:
        params = ProductParams.named(file.removesuffix(".v"))
        if file == f"{MODULE}.v":
            found[file] = multiplier(hw.mul_stages)
        elif params is not None:
            found[file] = product(params)
    return found


def for_synthesis(files: Mapping[str, str], hw: HwConfig) -> dict[str, str]:
    """The modules of hardware, slices in the place of those that have one."""
    return {**files, **slices(files, hw)}


def delivered(files: Iterable[str], hw: HwConfig) -> dict[str, str]:
    """Relative path → text of what `stamp-hw generate` adds for synthesis: nothing without `hw.dsp`."""
    own = {**slices(files, hw), f"{PRIMITIVE}.v": model()} if hw.dsp == DSP else {}
    return {f"{DSP}/{name}": text for name, text in own.items()}


def _factor(port: str, name: str, width: int, *, signed: bool = True) -> dict[str, str]:
    """A factor's pins, what is above its bits its sign, or zero."""
    pins = {f"{port}{bit}": f"{name}[{min(bit, width - 1)}]" if signed or bit < width else "1'b0"
            for bit in range(FACTOR_WIDTH)}
    return {f"SIGNED{port}": f"1'b{int(signed)}", **pins}


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
