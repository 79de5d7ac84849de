// Block RAM whose first contents are a file: a read and a write port, each byte of a word written where its strobe is set.
// It belongs to its user.
`default_nettype none

module stamp_ram #(
  parameter WORDS = 2,
  parameter ADDRESS_WIDTH = 1,
  parameter BYTES = 8,
  parameter FILE = ""
) (
  input wire clk,
  input wire read_en,
  input wire [ADDRESS_WIDTH-1:0] read_addr,
  output reg [8*BYTES-1:0] read_data,
  input wire [ADDRESS_WIDTH-1:0] write_addr,
  input wire [BYTES-1:0] write_strb,
  input wire [8*BYTES-1:0] write_data
);
  reg [8*BYTES-1:0] words [0:WORDS-1];
  integer lane;
  generate if (FILE != "") initial $readmemh(FILE, words); endgenerate
  always @(posedge clk) begin
    for (lane = 0; lane < BYTES; lane = lane + 1)
      if (write_strb[lane]) words[write_addr][8*lane +: 8] <= write_data[8*lane +: 8];
    if (read_en) read_data <= words[read_addr];
  end
endmodule
`default_nettype wire
