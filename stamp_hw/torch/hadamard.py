"""Block Hadamard transform of the input channels on tensors; `stamp_hw.hadamard` is the reference and says what it is.

H is a matrix here: a product in float64, where every sum is an integer below 2^26, is exact in any order.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from stamp_hw import hadamard
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
    """What the unit makes of codes int32[S, K]: (int32[S, K'], int64[S] values that saturated to `width` bits)."""
    top = (1 << (width - 1)) - 1
    found = torch.empty((len(codes), hadamard.channels(codes.shape[1], block)), dtype=torch.int32, device=codes.device)
    saturated = torch.zeros(len(codes), dtype=torch.int64, device=codes.device)
    step = rows_at_a_time(codes.shape[1], codes.device)
    for start in range(0, len(codes), step):
        rows = slice(start, start + step)
        exact = (sums(codes[rows].double(), block).int() + (1 << shift >> 1)) >> shift
        found[rows] = exact.clamp(-top - 1, top)
        saturated[rows] = (found[rows] != exact).sum(dim=1)
    return found, saturated


def least_shift(codes: Tensor, block: int, width: int) -> int:
    """`stamp_hw.hadamard.least_shift` of int32[S, K]."""
    step = rows_at_a_time(codes.shape[1], codes.device)
    parts = [sums(codes[start : start + step].double(), block).aminmax() for start in range(0, len(codes), step)]
    return hadamard.shift_for(int(min(part.min for part in parts)), int(max(part.max for part in parts)), block, width)
