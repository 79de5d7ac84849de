"""Second opinion on the block Hadamard unit (docs/contract.md §3.9): scalar integers, the matrix by its definition.

It imports nothing and multiplies by all B² signs; the golden model has butterflies.
"""

from __future__ import annotations

from typing import Any


def sign(place: int) -> int:
    """σ: −1 where an odd number of the pairs of bits (0, 1), (2, 3), … of the place are both set."""
    value = 1
    while place:
        if place % 4 == 3:
            value = -value
        place //= 4
    return value


def sylvester(row: int, column: int) -> int:
    """H by its definition: H_1 = 1, H_2n = [[H, H], [H, −H]]."""
    size = 1
    while size <= max(row, column):
        size *= 2
    if size == 1:
        return 1
    half = size // 2
    below = sylvester(row % half, column % half)
    return -below if row >= half and column >= half else below


_MATRICES: dict[int, list[list[int]]] = {}


def matrix(block: int) -> list[list[int]]:
    """H·diag(σ)."""
    if block not in _MATRICES:
        _MATRICES[block] = [[sylvester(row, column) * sign(column) for column in range(block)] for row in range(block)]
    return _MATRICES[block]


def blocks(row: list[Any], block: int) -> list[list[Any]]:
    """The row in blocks, the last one filled with zeros."""
    whole = row + [0] * (-len(row) % block)
    return [whole[start : start + block] for start in range(0, len(whole), block)]


def transform(row: list[int], block: int, shift: int, width: int) -> tuple[list[int], int]:
    """(y of one token, values that saturated)."""
    found, saturated = [], 0
    for part in blocks(row, block):
        for signs in matrix(block):
            h = 0
            for value, one in zip(part, signs, strict=True):
                h += value * one
            exact = h if shift == 0 else (h + 2 ** (shift - 1)) >> shift
            y = max(-(2 ** (width - 1)), min(2 ** (width - 1) - 1, exact))
            saturated += y != exact
            found.append(y)
    return found, saturated


def fold(row: list[Any], block: int) -> list[Any]:
    """W·diag(σ)·H / B of one output channel, in the numbers that are given; integers give exact fractions of B."""
    found = []
    for part in blocks(row, block):
        for column in range(block):
            total = 0
            for k, value in enumerate(part):
                total += value * matrix(block)[column][k]  # H is symmetric
            found.append(total / block)
    return found
