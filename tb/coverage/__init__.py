"""Coverage of the generated Verilog under the testbenches: `stamp-hw verify coverage`.

Points are Verilator's: a line point for each block of statements, a branch point for each way out of an `if` or
`?:`, a toggle point for each direction of each bit. Every parameter set of a block is Verilog of its own and is
counted as such.
"""
