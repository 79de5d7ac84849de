"""Integer products on tensors; `stamp_hw.mac` is the reference.

On a CPU that multiplies bytes into 32-bit sums (VNNI), torch's own integer product is taken, after it has been tried on
the extremes: where a kernel adds pairs in 16 bits, as without VNNI, they would saturate. Elsewhere products go through
the float32 product of the device, in chunks of K in which every partial sum is an integer of at most 2^24, so that they
are exact in any order of summation.

Integers wider than a byte go through the same two ways: as digits of a byte each, or through the float64 product.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import torch
from torch import Tensor

FLOAT32_EXACT = 1 << 24  # every integer up to here is a float32
_CODE = 128  # largest magnitude of an INT8 activation code
_ZEROED_CODE = 255  # and of one with an integer zero, in INT16
_BASE = 256  # of the digits
_HALVES = 0x808080  # half the base in every place but the highest of an INT32


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
    if codes.dtype == torch.int8 and _takes_bytes(codes):
        return torch._int_mm(codes.contiguous(), weights.contiguous().T)
    return _by_floats(codes, weights, largest)


def wide(values: Tensor, largest: Tensor) -> Callable[[Tensor], Callable[[slice], Tensor]]:
    """How integers int32[S, K] below 2^30 are multiplied by weights int8[N, K]: rows of the product, int64[rows, N] of
    their own memory, which must be below 2^53. `largest` int64[S] bounds the magnitudes of each row.

    What is to be done once for all weights is done here.
    """
    if _takes_bytes(values):
        counts = _rows_of_digits(largest)
        digits = _digits(values, counts)
        return lambda weights: _from_digits(torch._int_mm(digits, weights.contiguous().T), counts)
    exact = values.double()

    def by_floats(weights: Tensor) -> Callable[[slice], Tensor]:
        product = exact @ weights.double().T
        return lambda rows: product[rows].long()

    return by_floats


def _rows_of_digits(largest: Tensor) -> list[int]:
    """Of each place, from the lowest, the rows from the first to the last that may have a digit there."""
    counts = [len(largest)]
    most = _BASE // 2 - 1  # that the places so far hold
    while len(rows := (largest > most).nonzero()):
        counts.append(int(rows[-1]) + 1)
        most = most * _BASE + _BASE // 2 - 1
    return counts


def _digits(values: Tensor, counts: list[int]) -> Tensor:
    """Balanced digits −128…127 of int32[S, K], from the lowest place, of each so many leading rows: int8[Σ counts, K].

    Half the base is added in every place, so that what is carried is; and taken out of each byte again, by its highest
    bit.
    """
    balanced = (values + _HALVES).bitwise_xor_(_HALVES)
    digits = torch.empty((sum(counts), values.shape[1]), dtype=torch.int8)
    for count, place in zip(counts, digits.split(counts), strict=True):
        place.copy_(balanced[:count])  # the lowest byte
        balanced >>= 8
    return digits


def _from_digits(sums: Tensor, counts: list[int]) -> Callable[[slice], Tensor]:
    """Rows of the product of what has digits in so many rows of each place, from the products int32[Σ counts, N] of
    these; added in float64, as whose integers they are exact and fast."""
    lowest, *higher = sums.split(counts)

    def of(rows: slice) -> Tensor:
        total = lowest[rows].double()
        for place, part in enumerate(higher, 1):
            more = part[rows]
            total[: len(more)].add_(more, alpha=_BASE**place)
        exact: Tensor = total.long()
        return exact

    return of


def _by_floats(codes: Tensor, weights: Tensor, largest: int) -> Tensor:
    code = _CODE if codes.dtype == torch.int8 else _ZEROED_CODE
    chunk = FLOAT32_EXACT // (code * max(1, largest))
    act, wgt = codes.float(), weights.float()
    with exact_products():
        acc = torch.mm(act[:, :chunk], wgt[:, :chunk].T).int()
        for start in range(chunk, codes.shape[1], chunk):
            part = slice(start, start + chunk)
            acc += torch.mm(act[:, part], wgt[:, part].T).int()
    return acc


def _takes_bytes(values: Tensor) -> bool:
    """Whether torch's integer product is for [S, K]; a single channel is not: of torch 2.13 that product is wrong."""
    return values.device.type == "cpu" and values.shape[1] > 1 and _multiplies_bytes()


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
