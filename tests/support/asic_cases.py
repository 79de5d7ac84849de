"""Small modules in the cells of the project's own library, for the tests of `rtl_gen.asic`."""

from __future__ import annotations

import functools

from rtl_gen.asic import libraries, library
from rtl_gen.asic.library import Library

#: A register that turns in every cycle, and one that never does; the clock pins of both are driven.
TURNS = """module turns (input wire clk, input wire rst, output wire q, output wire rests);
  reg now, held;
  always @(posedge clk) begin
    now <= rst ? 1'b0 : ~now;
    held <= held & rst;
  end
  assign q = now;
  assign rests = held;
endmodule
"""
#: A memory of 8 words of 6 bits with a register behind it.
KEEPS = """module keeps (input wire clk, input wire en, input wire [2:0] at, input wire [5:0] d, output wire [5:0] q);
  reg [5:0] words [0:7];
  reg [5:0] read;
  always @(posedge clk) begin
    if (en) words[at] <= d;
    read <= words[at];
  end
  assign q = read + 6'd1;
endmodule
"""


@functools.cache
def five() -> Library:
    """The library of five cells, its tables at their first slew."""
    return library.load(libraries.find("five").path, 0.01)


def five_text() -> str:
    return libraries.find("five").path.read_text(encoding="utf-8")
