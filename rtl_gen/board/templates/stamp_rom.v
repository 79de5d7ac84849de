// Block RAM that is only read; its contents are a file. It belongs to its user.
`default_nettype none

module stamp_rom #(
  parameter WORDS = 2,
  parameter ADDRESS_WIDTH = 1,
  parameter WIDTH = 8,
  parameter FILE = ""
) (
  input wire clk,
  input wire [ADDRESS_WIDTH-1:0] addr,
  output reg [WIDTH-1:0] data
);
  reg [WIDTH-1:0] words [0:WORDS-1];
  generate if (FILE != "") initial $readmemh(FILE, words); endgenerate
  always @(posedge clk) data <= words[addr];
endmodule
`default_nettype wire
