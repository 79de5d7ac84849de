"""Block Hadamard transform of the input channels on tensors; `stamp_hw.hadamard` is the reference and says what it is.

H is a matrix here: a product in floats that hold every sum, an integer, is exact in any order.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from stamp_hw import hadamard
from stamp_hw.torch.mac import FLOAT32_EXACT, exact_products
from stamp_hw.torch.rescale import clipped
from stamp_hw.torch.scale import rows_at_a_time


@cache
def matrix(block: int) -> Tensor:
    """diag(σ)·H, float64[block, block] of ±1: a block of x, a row, times this is that block of h."""
    eye = torch.eye(block, dtype=torch.float64).numpy()
    return torch.from_numpy(hadamard.butterflies(eye * hadamard.signs(block), block))


def sums(x: Tensor, block: int) -> Tensor:
    """h of x float[…, K]: the same floats[…, K'], exact where they hold all sums."""
    more = hadamard.channels(x.shape[-1], block) - x.shape[-1]
    wide = torch.nn.functional.pad(x, (0, more)) if more else x
    found: Tensor = (wide.unflatten(-1, (-1, block)) @ matrix(block).to(x)).flatten(-2)
    return found


def unfold(folded: Tensor, block: int, k: int) -> Tensor:
    """float[N, K'] folded weights to float[N, k] that they stand for."""
    found: Tensor = (folded.unflatten(-1, (-1, block)) @ matrix(block).T.to(folded)).flatten(-2)[..., :k]
    return found


def transform(codes: Tensor, block: int, shift: int, width: int) -> tuple[Tensor, Tensor]:
    """What the unit makes of codes int32[S, K] of `width` bits: (int32[S, K'], int64[S] values that saturated to as
    many)."""
    found = torch.empty((len(codes), hadamard.channels(codes.shape[1], block)), dtype=torch.int32, device=codes.device)
    saturated = torch.zeros(len(codes), dtype=torch.int64, device=codes.device)
    step = rows_at_a_time(codes.shape[1], codes.device)
    for start in range(0, len(codes), step):
        rows = slice(start, start + step)
        exact = _exact_sums(codes[rows], block, width).int()
        exact += 1 << shift >> 1
        exact >>= shift
        found[rows], saturated[rows] = clipped(exact, width)
    return found, saturated


def least_shift(codes: Tensor, block: int, width: int) -> int:
    """`stamp_hw.hadamard.least_shift` of int32[S, K] of `width` bits."""
    step = rows_at_a_time(codes.shape[1], codes.device)
    parts = [_exact_sums(codes[start : start + step], block, width).aminmax() for start in range(0, len(codes), step)]
    return hadamard.shift_for(int(min(part.min for part in parts)), int(max(part.max for part in parts)), block, width)


def _exact_sums(codes: Tensor, block: int, width: int) -> Tensor:
    """h of int32[S, K] of `width` bits, in floats that hold every partial sum."""
    fits = block << (width - 1) <= FLOAT32_EXACT
    with exact_products():
        return sums(codes.to(torch.float32 if fits else torch.float64), block)
