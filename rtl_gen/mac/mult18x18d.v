// Model of the Lattice ECP5's multiplier for simulation and proofs, after FPGA-TN-02205 ("ECP5 and ECP5-5G sysDSP Usage
// Guide"): what `stamp_pe_multiplier` uses of it. Factors come from A and B (SOURCEA and SOURCEB are low), each register is
// there or not, clocked by CLK0, enabled by CE0 and reset by RST0. For synthesis the tools bring the slice itself.
`default_nettype none

module MULT18X18D #(
  parameter REG_INPUTA_CLK = "NONE",
  parameter REG_INPUTB_CLK = "NONE",
  parameter REG_PIPELINE_CLK = "NONE",
  parameter REG_OUTPUT_CLK = "NONE"
) (
  input wire A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0,
  input wire B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0,
  input wire C17, C16, C15, C14, C13, C12, C11, C10, C9, C8, C7, C6, C5, C4, C3, C2, C1, C0,
  input wire SIGNEDA, SIGNEDB, SOURCEA, SOURCEB, CLK0, CE0, RST0,
  output wire P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18,
  output wire P17, P16, P15, P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0
);
  // a factor and its sign bit, which is zero where it is unsigned
  wire [18:0] a = {SIGNEDA & A17, A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0};
  wire [18:0] b = {SIGNEDB & B17, B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0};
  reg [18:0] a_register, b_register;
  reg [35:0] pipeline, result;
  wire [18:0] a_now = REG_INPUTA_CLK == "NONE" ? a : a_register;
  wire [18:0] b_now = REG_INPUTB_CLK == "NONE" ? b : b_register;
  wire [37:0] product = $signed(a_now) * $signed(b_now);
  wire [35:0] behind = REG_PIPELINE_CLK == "NONE" ? product[35:0] : pipeline;
  always @(posedge CLK0)
    if (RST0) begin
      a_register <= 19'd0;
      b_register <= 19'd0;
      pipeline <= 36'd0;
      result <= 36'd0;
    end
    else if (CE0) begin
      a_register <= a;
      b_register <= b;
      pipeline <= product[35:0];
      result <= behind;
    end
  assign {P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18, P17, P16, P15, P14,
          P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0} = REG_OUTPUT_CLK == "NONE" ? behind : result;
endmodule
`default_nettype wire
