"""Testbenches under Verilator, and what shows that they see mistakes: faults, coverage, census, proofs, mutants."""
