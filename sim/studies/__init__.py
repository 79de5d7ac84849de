"""Studies of layers, and their reports: figures, tables, plots."""
