"""Integer products on tensors; `stamp_hw.mac` is the reference.

On a CPU that multiplies bytes into 32-bit sums (VNNI), torch's own integer product is taken, after it has been tried on
the extremes: where a kernel adds pairs in 16 bits, as without VNNI, they would saturate. Elsewhere products go through
the float32 product of the device, in chunks of K in which every partial sum is an integer of at most 2^24, so that they
are exact in any order of summation.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from torch import Tensor

_FLOAT32_EXACT = 1 << 24  # every integer up to here is a float32
_CODE = 128  # largest magnitude of an INT8 activation code
_ZEROED_CODE = 255  # and of one with an integer zero, in INT16


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
    """acc = codes · weightsᵀ, int8[S, K] (with integer zeros int16) and int8[N, K] to int32[S, N]; `largest` bounds the
    weights' magnitude."""
    # A single channel is not for it: of torch 2.13 that product is wrong.
    if codes.dtype == torch.int8 and codes.device.type == "cpu" and codes.shape[1] > 1 and _multiplies_bytes():
        return torch._int_mm(codes.contiguous(), weights.contiguous().T)
    return _by_floats(codes, weights, largest)


def _by_floats(codes: Tensor, weights: Tensor, largest: int) -> Tensor:
    code = _CODE if codes.dtype == torch.int8 else _ZEROED_CODE
    chunk = _FLOAT32_EXACT // (code * max(1, largest))
    act, wgt = codes.float(), weights.float()
    with exact_products():
        acc = torch.mm(act[:, :chunk], wgt[:, :chunk].T).int()
        for start in range(chunk, codes.shape[1], chunk):
            part = slice(start, start + chunk)
            acc += torch.mm(act[:, part], wgt[:, part].T).int()
    return acc


@cache
def _multiplies_bytes() -> bool:
    """Whether the CPU's integer product is there, and exact at the extremes of both operands, for sums of every length
    up to some vectors."""
    if not hasattr(torch, "_int_mm"):
        return False
    codes = torch.tensor([-128, 127, -127, 1, 0], dtype=torch.int8)
    try:
        for length in (2, 3, 31, 64, 130, 517):
            one, other = (codes[:, None].expand(-1, length).contiguous() for _ in range(2))
            if not torch.equal(torch._int_mm(one, other.T), _by_floats(one, other, _CODE)):
                return False
    except (RuntimeError, NotImplementedError):
        return False
    return True
