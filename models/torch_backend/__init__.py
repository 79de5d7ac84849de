"""The golden model's integers on torch tensors, on CPU or CUDA: the same stem, the same functions, the same bits.

Tests hold every function equal (`==`) to its twin in `stamp_hw/`, which stays the reference.
"""
