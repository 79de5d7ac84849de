"""The block Hadamard unit."""
