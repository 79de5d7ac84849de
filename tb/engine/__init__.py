"""Layers for the engine's bench: random, refused, of a trace."""
