"""Mutation testing of the generated Verilog: `python -m tb.mutate`, `make mutate`.

Yosys puts all mutants of a module into one netlist; a port `mutsel` chooses one at run time, 0 for none. So a unit is
built once, and its testbench runs once for each mutant until a test finds a difference.
"""
