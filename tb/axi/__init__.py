"""The bench of the engine's AXI edge."""
