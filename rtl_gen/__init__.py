"""The Amaranth generator: each block's Verilog, the engine made of them, and what goes with it to its users."""
