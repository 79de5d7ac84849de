"""Integer products on tensors; `stamp_hw.mac` is the reference.

Products go through the float32 product of the device, in chunks of K in which every partial sum is an integer of at
most 2^24, so that they are exact in any order of summation.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

_FLOAT32_EXACT = 1 << 24  # every integer up to here is a float32
_CODE = 128  # largest magnitude of an activation code


@contextmanager
def exact_products() -> Iterator[None]:
    """While the block runs, float32 products are float32: neither TF32 nor bfloat16, whatever the user has chosen."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def matmul(codes: Tensor, weights: Tensor, largest: int) -> Tensor:
    """acc = codes · weightsᵀ, int8[S, K] and int8[N, K] to int32[S, N]; `largest` bounds the weights' magnitude."""
    chunk = _FLOAT32_EXACT // (_CODE * max(1, largest))
    act, wgt = codes.float(), weights.float()
    with exact_products():
        acc = torch.mm(act[:, :chunk], wgt[:, :chunk].T).int()
        for start in range(chunk, codes.shape[1], chunk):
            part = slice(start, start + chunk)
            acc += torch.mm(act[:, part], wgt[:, part].T).int()
    return acc
