"""The prefill of a language model on the engine: the host's part, which runs the model around its linear layers."""
