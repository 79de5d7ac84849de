"""Checkpoints and pipelines of the families that are known, and which of their layers are linear."""
