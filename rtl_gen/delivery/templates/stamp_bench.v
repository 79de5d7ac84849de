// A stream's source and sink for the testbenches beside this file. A line of FILE is a beat in hexadecimal: a digit of
// stall, then the payload.
`default_nettype none

module stamp_source #(parameter WIDTH = 1, parameter BEATS = 1, parameter FILE = "") (
    input wire clk, input wire rst, output wire valid, input wire ready, output wire [WIDTH-1:0] payload,
    output wire done);
  localparam DIGITS = (WIDTH + 3) / 4;
  reg [4*DIGITS+3:0] beats [0:BEATS-1];
  reg [31:0] index;
  reg [3:0] waited;
  initial $readmemh(FILE, beats);

  wire [4*DIGITS+3:0] beat = beats[done ? 0 : index];
  assign done = index == BEATS;
  assign valid = ~rst & ~done & (waited == beat[4*DIGITS+3:4*DIGITS]);
  assign payload = beat[WIDTH-1:0];
  always @(posedge clk)
    if (rst) begin
      index <= 0;
      waited <= 0;
    end else if (valid & ready) begin
      index <= index + 1;
      waited <= 0;
    end else if (~valid) waited <= waited + 1;
endmodule

module stamp_sink #(parameter WIDTH = 1, parameter BEATS = 1, parameter FILE = "") (
    input wire clk, input wire rst, input wire valid, output wire ready, input wire [WIDTH-1:0] payload,
    output wire done, output reg failed);
  localparam DIGITS = (WIDTH + 3) / 4;
  reg [4*DIGITS+3:0] beats [0:BEATS-1];
  reg [31:0] index;
  reg [3:0] waited;
  initial $readmemh(FILE, beats);

  wire [4*DIGITS+3:0] beat = beats[done ? 0 : index];
  assign done = index == BEATS;
  assign ready = ~rst & (done | waited == beat[4*DIGITS+3:4*DIGITS]);  // at the end ready for what must not come
  always @(posedge clk)
    if (rst) begin
      index <= 0;
      waited <= 0;
      failed <= 0;
    end else if (valid & ready & ~failed) begin
      if (done) begin
        $display("%0s: a beat after the last one: %h", FILE, payload);
        failed <= 1;
      end else if (payload !== beat[WIDTH-1:0]) begin
        $display("%0s: beat %0d: got %h, expected %h", FILE, index, payload, beat[WIDTH-1:0]);
        failed <= 1;
      end
      if (~done) index <= index + 1;
      waited <= 0;
    end else if (valid) waited <= waited + 1;
endmodule
`default_nettype wire
