"""The prefill of a language model through the engine's RTL: every layer of it, and a block of it chained."""
