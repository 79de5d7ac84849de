"""Which bits of the engine's registers the bench reaches, and why it does not reach the others."""
