"""One linear layer through the whole datapath on tensors; `stamp_hw.engine.linear` is the reference."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from stamp_hw.config import NpuConfig, ResolvedJob
from stamp_hw.engine.linear import sink_exponent
from stamp_hw.scale import group_starts
from stamp_hw.torch import haar, mac, rescale, scale
from stamp_hw.torch.scale import Quantized


class Constants(NamedTuple):
    """What a layer keeps between runs, on one device: `wgt` int8[N, K]; `wsum` int64[groups, N], their sums; `largest`
    magnitude of them; `mant`, `shift` int64[tables, N]; `bias` int64[N] in steps of s_y; `s_x`, `s_y` real value of a
    step."""

    wgt: Tensor
    wsum: Tensor
    largest: int
    mant: Tensor
    shift: Tensor
    bias: Tensor
    s_x: float
    s_y: float


class Datapath(NamedTuple):
    """Every stage, as `stamp_hw.engine.linear.Datapath`, in the order of the wire; `acc` is int32[W, groups, N], the
    counts are tensors, so that nothing waits for the device."""

    x: Tensor
    coefficients: Tensor
    quantized: Quantized
    acc: Tensor
    z: Tensor
    y: Tensor
    x_saturated: Tensor
    y_saturated: Tensor


def datapath(x: Tensor, constants: Constants, job: ResolvedJob, config: NpuConfig) -> Datapath:
    """What the hardware computes of float[W, K], outliers first, bit for bit."""
    sinks = job.n_sink
    codes, sink_shift, x_saturated = quantize_input(x, constants.s_x, sinks, config.hw.in_width)
    lifted = haar.forward(codes[sinks:], job.levels, job.grid)
    coefficients = torch.cat([codes[:sinks], lifted]) if sinks else lifted
    quantized = scale.quantize(coefficients, sinks + job.n_hi, config)
    acc = products(quantized, constants)
    z = rescale.rescale(acc, quantized, constants.wsum, constants.mant, constants.shift, config, sink_shift)
    v = haar.inverse(z[sinks:], job.levels, job.grid)
    if sinks:
        v = torch.cat([z[:sinks], v])
    y, y_saturated = rescale.finish(v, constants.bias, config)
    return Datapath(codes, coefficients, quantized, acc, z, y, x_saturated, y_saturated)


def quantize_input(x: Tensor, s_x: float, n_sink: int, width: int) -> tuple[Tensor, list[int], Tensor]:
    """(codes int32[W, K], e of each of the first `n_sink` tokens, int64[W] values that saturated): round to nearest
    even, saturate to `width` bits."""
    top = (1 << (width - 1)) - 1
    exponents = [sink_exponent(float(token.abs().max()), s_x, width) for token in x[:n_sink]]
    codes = torch.empty(x.shape, dtype=torch.int32, device=x.device)
    saturated = torch.zeros(len(x), dtype=torch.int64, device=x.device)

    def fill(rows: slice, step: float) -> None:
        # By a tensor of the device: CUDA multiplies by the reciprocal of a number, which is not a division.
        work = x[rows].double().div_(torch.tensor(step, dtype=torch.float64, device=x.device)).round_()
        if work.device.type == "cpu":  # a look at the extremes is cheap here, and waits for the device elsewhere
            low, high = work.aminmax()
            if low >= -top - 1 and high <= top:
                codes[rows] = work
                return
        clipped = work.clamp(-top - 1, top)
        saturated[rows] = (clipped != work).sum(dim=1)
        codes[rows] = clipped

    for token, exponent in enumerate(exponents):
        fill(slice(token, token + 1), math.ldexp(s_x, exponent))
    step = scale.rows_at_a_time(x.shape[1], x.device)
    for start in range(n_sink, len(x), step):
        fill(slice(start, start + step), s_x)
    return codes, exponents, saturated


def products(quantized: Quantized, constants: Constants) -> Tensor:
    """acc int32[S, groups, N]."""
    channels, group = quantized.codes.shape[1], quantized.group
    parts = [slice(start, start + group) for start in group_starts(channels, group).tolist()]
    wgt = constants.wgt
    return torch.stack([mac.matmul(quantized.codes[:, part], wgt[:, part], constants.largest) for part in parts], 1)
