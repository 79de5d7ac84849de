// Model of the Lattice ECP5's EHXPLLL for simulation (FPGA-TN-02200, "ECP5 and ECP5-5G sysCLOCK PLL/DLL Design and Usage
// Guide"): what stands at its input is the clock that leaves it, so that whoever simulates drives that one; LOCK comes
// some cycles later. For synthesis the tools bring the PLL itself.
`default_nettype none

module EHXPLLL #(
  parameter CLKI_DIV = 1,
  parameter CLKFB_DIV = 1,
  parameter CLKOP_DIV = 8,
  parameter CLKOP_CPHASE = 0,
  parameter CLKOP_ENABLE = "ENABLED",
  parameter FEEDBK_PATH = "CLKOP"
) (
  input wire CLKI,
  input wire CLKFB,
  input wire RST,
  input wire STDBY,
  input wire PHASESEL0,
  input wire PHASESEL1,
  input wire PHASEDIR,
  input wire PHASESTEP,
  input wire PHASELOADREG,
  input wire PLLWAKESYNC,
  input wire ENCLKOP,
  output wire CLKOP,
  output wire LOCK
);
  reg [3:0] cycles = 4'd0;
  always @(posedge CLKI) if (!LOCK) cycles <= cycles + 4'd1;
  assign LOCK = &cycles;
  assign CLKOP = CLKI;
endmodule
`default_nettype wire
