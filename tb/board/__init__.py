"""A board's top under Verilator, from the first cycle to the last byte on its serial line."""
