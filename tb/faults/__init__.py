"""Faults seeded into the generated RTL: what the regression must catch.

Each `tb/faults/<block>.py` exports `FAULTS`, a tuple of `tb.run.fault.Fault`.
"""
