"""What drives a gate level module and says what must come out: a testbench, its vectors, and the phases in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from rtl_gen.delivery import vectors
from rtl_gen.tops import Unit
from stamp_hw.config import NpuConfig

RESET, BUSY, IDLE = 0, 1, 2  # phases: not counted, at work, at rest with its inputs held
_SETTLED = 32  # cycles behind the last result until a unit is at rest
_QUIET = 512  # cycles until a testbench ends
ROWS = "rows.hex"  # a table's file
_END = "f"  # stall of the line behind the last beat


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """`module` is the testbench's, `phase` the Verilog of the phase in it, `files` name → text of all it reads.

    `steps` phase → events of each of its cycles, where a phase is made of one kind of event alone. `runs` name → files
    that take the place of `files` in a run of that name, which is one more of the same build.
    """

    module: str
    phase: str
    files: dict[str, str]
    steps: dict[int, str] = field(default_factory=dict)
    runs: dict[str, dict[str, str]] = field(default_factory=dict)


def of_unit(unit: Unit, config: NpuConfig, given: vectors.Vectors | None = None,
            others: Mapping[str, vectors.Vectors] | None = None) -> Bench:
    """The delivered testbench of a top module (`rtl_gen.delivery.vectors`), its beats from the golden model or `given`
    by it, without stalls: at work from the reset to the last result, at rest after it. `others` are further runs."""
    module = f"tb_{unit.module}"
    found = [vectors.files(unit, config, one) for one in (given, *(others or {}).values())]
    beats = [{name: _at_full_rate(text) for name, text in files.items() if name.endswith(".hex")} for files in found]
    text = found[0][f"{module}.v"]
    for name in beats[0]:
        most = max(one[name].count("\n") for one in beats)
        text = re.sub(rf"BEATS\(\d+\)(, \.FILE\(\"{re.escape(name)}\"\))", rf"BEATS({most})\1", text)
    limit = max(int(found_limit[1]) for files in found
                if (found_limit := re.search(r"LIMIT = (\d+);", files[f"{module}.v"])) is not None)
    text = re.sub(r"QUIET = \d+;", f"QUIET = {_QUIET};", re.sub(r"LIMIT = \d+;", f"LIMIT = {limit};", text))
    phase = f"({module}.rst ? {RESET} : ~{module}.done ? {BUSY} : {module}.quiet < {_SETTLED} ? {RESET} : {IDLE})"
    shared = vectors.shared_files()
    shared["stamp_bench.v"] = _until_the_end(shared["stamp_bench.v"])
    return Bench(module=module, phase=phase, files={f"{module}.v": text} | beats[0] | shared,
                 runs=dict(zip(others or {}, beats[1:], strict=True)))


def _at_full_rate(text: str) -> str:
    """Beats with a stall of nought, which is a line's first digit; a last line with all of its bits says that none
    follows."""
    lines = text.splitlines()
    return "".join(f"0{line[1:]}\n" for line in lines) + f"{_END}{'0' * (len(lines[0]) - 1)}\n"


def _until_the_end(text: str) -> str:
    """Sources and sinks whose file may be shorter than they have room for."""
    found, count = re.subn(r"assign done = index == BEATS;",
                           f"assign done = index == BEATS | beats[index][4*DIGITS+3:4*DIGITS] == 4'h{_END};", text)
    assert count == 2
    return found


def of_table(module: str, inputs: dict[str, int], outputs: dict[str, int], rows: list[dict[str, int]],
             steps: dict[int, str]) -> Bench:
    """A testbench of a table, a line a cycle: `phase`, every input, and every output that must be there before the
    next edge; an output that a line does not name may be anything. Widths by port name.

    Checks nothing of what the module was before the first output that is named.
    """
    width_in, width_out = sum(inputs.values()), sum(outputs.values())
    lines = []
    for row in rows:
        word, place = 0, 0
        for name, width in [*outputs.items(), *((f"mask {name}", width) for name, width in outputs.items()),
                            *inputs.items(), ("phase", 4)]:
            if name.startswith("mask "):
                value = (1 << width) - 1 if name.removeprefix("mask ") in row else 0
            else:
                value = int(row.get(name, 0)) & ((1 << width) - 1)
            word |= value << place
            place += width
        lines.append(f"{word:x}")
    total = 2 * width_out + width_in + 4

    def ports(names: dict[str, int], bus: str) -> list[str]:
        place, found = 0, []
        for name, width in names.items():
            found.append(f".{name}({bus}[{place + width - 1}:{place}])")
            place += width
        return found

    connected = ", ".join([*ports(inputs, "given"), *ports(outputs, "found")])
    tb = f"tb_{module}"
    text = f"""`timescale 1ns/1ps
module {tb} (input wire clk, output reg failed);
  reg [{total - 1}:0] rows [0:{len(rows) - 1}];
  reg [31:0] cycle;
  initial $readmemh("{ROWS}", rows);
  initial cycle = 0;
  wire [{total - 1}:0] row = rows[cycle];
  wire [{width_out - 1}:0] wanted = row[{width_out - 1}:0];
  wire [{width_out - 1}:0] mask = row[{2 * width_out - 1}:{width_out}];
  wire [{width_in - 1}:0] given = row[{total - 5}:{2 * width_out}];
  wire [3:0] phase = row[{total - 1}:{total - 4}];
  wire [{width_out - 1}:0] found;
  {module} dut (.clk(clk), {connected});
  always @(posedge clk) begin
    cycle <= cycle + 1;
    failed <= 0;
    if ((found ^ wanted) & mask) begin
      $display("cycle %0d: got %h, expected %h", cycle, found & mask, wanted & mask);
      $display("FAIL {module}");
      failed <= 1;
      $finish;
    end else if (cycle == {len(rows) - 1}) begin
      $display("PASS {module}: {len(rows)} cycles");
      $finish;
    end
  end
endmodule
"""
    files = {f"{tb}.v": text, ROWS: "".join(f"{line}\n" for line in lines),
             "main.cpp": vectors.shared_files()["main.cpp"]}
    return Bench(module=tb, phase=f"{{28'b0, {tb}.phase}}", files=files, steps=steps)


def seeded(seed: int) -> np.random.Generator:
    """The stimulus' randomness, the same everywhere."""
    return np.random.default_rng(seed)
