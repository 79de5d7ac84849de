// ${header}
// The top for a ULX3S: pins, clock, reset, and the memories with their contents around stamp_board.
`default_nettype none

module stamp_ulx3s (
  input wire clk_25mhz,
  input wire fire1,          // a button, high while it is pressed: the test begins anew
  output wire ftdi_rxd,      // to the host; ${baud} baud, 8 bits, no parity, 1 stop bit
  output wire [7:0] led,
  output wire wifi_gpio0     // high: the ESP32 on the board does not wait to be programmed
);
  // ${clki} MHz / ${clki_div} × ${clkfb_div} = ${mhz} MHz, of an oscillator of ${vco} MHz
  wire clk, locked;
  (* ICP_CURRENT="12" *) (* LPF_RESISTOR="8" *) (* MFG_ENABLE_FILTEROPAMP="1" *) (* MFG_GMCREF_SEL="2" *)
  EHXPLLL #(
    .CLKI_DIV(${clki_div}), .CLKFB_DIV(${clkfb_div}), .CLKOP_DIV(${clkop_div}), .CLKOP_CPHASE(${cphase}),
    .CLKOP_ENABLE("ENABLED"), .FEEDBK_PATH("CLKOP")
  ) pll (
    .CLKI(clk_25mhz), .CLKFB(clk), .CLKOP(clk), .LOCK(locked), .RST(1'b0), .STDBY(1'b0), .PHASESEL0(1'b0),
    .PHASESEL1(1'b0), .PHASEDIR(1'b0), .PHASESTEP(1'b0), .PHASELOADREG(1'b0), .PLLWAKESYNC(1'b0), .ENCLKOP(1'b0)
  );

  // reset ends some cycles after the clock is steady
  reg [3:0] steady = 4'd0;
  always @(posedge clk) steady <= {steady[2:0], locked};
  wire rst = !steady[3];

  wire ram_read_en;
  wire [${ram_high}:0] ram_read_addr, ram_write_addr;
  wire [${bus_high}:0] ram_read_data, ram_write_data, want_data;
  wire [${strobe_high}:0] ram_write_strb;
  wire [${want_high}:0] want_addr;
  wire [${program_high}:0] program_addr;
  wire [${word_high}:0] program_data;
  stamp_board board (
    .clk(clk), .rst(rst), .button(fire1), .tx(ftdi_rxd), .led(led), .ram_read_en(ram_read_en),
    .ram_read_addr(ram_read_addr), .ram_read_data(ram_read_data), .ram_write_addr(ram_write_addr),
    .ram_write_strb(ram_write_strb), .ram_write_data(ram_write_data), .want_addr(want_addr), .want_data(want_data),
    .program_addr(program_addr), .program_data(program_data)
  );
  stamp_ram #(.WORDS(${ram_words}), .ADDRESS_WIDTH(${ram_width}), .BYTES(${bus_bytes}), .FILE("${ram_file}")) memory (
    .clk(clk), .read_en(ram_read_en), .read_addr(ram_read_addr), .read_data(ram_read_data),
    .write_addr(ram_write_addr), .write_strb(ram_write_strb), .write_data(ram_write_data)
  );
  stamp_rom #(.WORDS(${want_words}), .ADDRESS_WIDTH(${want_width}), .WIDTH(${bus_width}), .FILE("${want_file}")) want (
    .clk(clk), .addr(want_addr), .data(want_data)
  );
  stamp_rom #(.WORDS(${program_words}), .ADDRESS_WIDTH(${program_width}), .WIDTH(${word_width}), .FILE("${program_file}")) instructions (
    .clk(clk), .addr(program_addr), .data(program_data)
  );
  assign wifi_gpio0 = 1'b1;
endmodule
`default_nettype wire
