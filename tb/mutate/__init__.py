"""Mutation testing of the generated Verilog: `stamp-hw verify mutate`.

A mutant is the Verilog of a block in which one bit of one cell's port is inverted, stuck, or inverted while another bit
of it has some value. Yosys picks them and puts all mutants of a unit into one netlist, from which an input chooses at
run time; so there is one build a unit. A mutant that the unit's bench does not notice survived, unless it is
proved that nobody could notice it.
"""
