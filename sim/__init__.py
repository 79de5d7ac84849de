"""Cycles, bytes and energy: a cycle model a block, the engine's, and the studies made with them."""
