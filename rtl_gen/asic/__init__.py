"""What the generated Verilog costs in standard cells: area, time, leakage and energy (docs/asic.md)."""
