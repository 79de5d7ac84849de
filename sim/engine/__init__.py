"""Cycles of the linear engine, beat by beat and in closed form."""
