"""Mutation testing of the generated Verilog: `python -m tb.mutate`, `make mutate`.

A mutant is the Verilog of a block with one bit of one cell's port inverted, stuck, or inverted when another bit says so.
Yosys picks them and puts all mutants of a unit into one netlist, from which the plusarg `mutant` chooses at run time;
so there is one build a unit. A mutant that the unit's bench does not notice survived, unless it is proved that no input
can tell it from the original.
"""
