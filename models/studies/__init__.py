"""Runs of `stamp-hw eval` that belong together, and the table that they make."""
