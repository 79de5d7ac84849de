// Self-checking testbench of $module: prints PASS or FAIL, and the first beat that differs.
// Run it in this folder:
//   $$ verilator --cc --exe --build -Wno-fatal --timescale 1ns/1ps --Mdir /tmp/$module --prefix Vtb --top-module tb_$module \
//       $$PWD/main.cpp tb_$module.v stamp_bench.v -y .. && /tmp/$module/Vtb
//   $$ iverilog -o /tmp/$module.vvp -s tb_$module tb_$module.v stamp_bench.v -y .. && vvp /tmp/$module.vvp
`timescale 1ns/1ps
`default_nettype none

`ifdef VERILATOR
module tb_$module (input wire clk, output reg failed);  // main.cpp drives the clock
`else
module tb_$module;
  reg failed;
  reg clk = 0;
  always #5 clk = ~clk;
`endif
  localparam LIMIT = $limit;  // cycles
  localparam QUIET = 64;  // cycles without a beat too many, after the last one
  reg [31:0] cycle;
  reg [31:0] quiet;
  initial cycle = 0;
  wire rst = cycle < 4;

$streams
  $module dut (
    .clk(clk),
    .rst(rst),
$ports
  );

  wire done = $done;
  wire wrong = $wrong;
  always @(posedge clk) begin
    cycle <= cycle + 1;
    failed <= wrong | cycle == LIMIT;
    quiet <= done ? quiet + 1 : 0;
    if (rst) begin
      quiet <= 0;
      failed <= 0;
    end else if (wrong | cycle == LIMIT) begin
      if (~wrong) $$display("hang: beats are missing after %0d cycles", cycle);
      $$display("FAIL $module");
      $$finish;
    end else if (quiet == QUIET) begin
      $$display("PASS $module: $beats beats, %0d cycles", cycle - QUIET);
      $$finish;
    end
  end
endmodule
`default_nettype wire
