"""One linear layer through the whole datapath on tensors; `stamp_hw.engine.linear` is the reference."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from stamp_hw.config import NpuConfig, ResolvedJob
from stamp_hw.engine.linear import MAX_SINK_SHIFT, sink_exponent
from stamp_hw.hadamard import Rotation
from stamp_hw.scale import group_starts
from stamp_hw.torch import haar, hadamard, mac, rescale, scale
from stamp_hw.torch.scale import Quantized

CHANNELS = 4096  # output channels whose float products are made at a time
_INTEGERS = 1024  # output channels whose integers are: several tensors of 32 bits at once, smaller and used again


class Constants(NamedTuple):
    """What a layer keeps between runs, on one device: `wgt` int8[N, K]; `wsum` int64[groups, N], their sums; `largest`
    magnitude of them; `mant`, `shift` int64[tables, N]; `bias` int64[N] in steps of s_y; `s_x`, `s_y` real value of a
    step; `rotation` of the Hadamard unit or None, the weights are folded for it then and K is K'."""

    wgt: Tensor
    wsum: Tensor
    largest: int
    mant: Tensor
    shift: Tensor
    bias: Tensor
    s_x: float
    s_y: float
    rotation: Rotation | None = None

    def part(self, channels: slice) -> Constants:
        """Those of some output channels."""
        return self._replace(wgt=self.wgt[channels], wsum=self.wsum[:, channels], mant=self.mant[:, channels],
                             shift=self.shift[:, channels], bias=self.bias[channels])


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
    h_saturated: Tensor


class Outputs(NamedTuple):
    """`y` int16[W, N], and int64[W] values of x, h and y that saturated."""

    y: Tensor
    x_saturated: Tensor
    h_saturated: Tensor
    y_saturated: Tensor


class Front(NamedTuple):
    """The stages in front of the products, of all channels: input codes, exponents of the first tokens, values that
    saturated there and in the Hadamard unit, coefficients, their codes."""

    x: Tensor
    sink_shift: list[int]
    x_saturated: Tensor
    h_saturated: Tensor
    coefficients: Tensor
    quantized: Quantized


def front(x: Tensor, s_x: float, job: ResolvedJob, config: NpuConfig, rotation: Rotation | None = None) -> Front:
    """float[W, K], outliers first, up to the codes."""
    sinks, width = job.n_sink, config.hw.in_width
    codes, sink_shift, x_saturated = quantize_input(x, s_x, sinks, width, rotation)
    mixed, h_saturated = (codes, torch.zeros_like(x_saturated)) if rotation is None else hadamard.transform(
        codes, *rotation, width)
    lifted = haar.forward(mixed[sinks:], job.levels, job.grid)
    coefficients = torch.cat([mixed[:sinks], lifted]) if sinks else lifted
    return Front(codes, sink_shift, x_saturated, h_saturated, coefficients,
                 scale.quantize(coefficients, sinks + job.n_hi, config))


def back(begun: Front, total: rescale.Totals, constants: Constants, job: ResolvedJob, config: NpuConfig
         ) -> tuple[Tensor, Tensor, Tensor]:
    """(z, y, int64[W] values of y that saturated) of T of the output channels that `constants` are of."""
    sinks = job.n_sink
    z = rescale.rescale(total, begun.quantized, constants.mant, constants.shift, config, begun.sink_shift)
    v = haar.inverse(z[sinks:], job.levels, job.grid)
    y, saturated = rescale.finish(torch.cat([z[:sinks], v]) if sinks else v, constants.bias, config)
    return z, y, saturated


def datapath(x: Tensor, constants: Constants, job: ResolvedJob, config: NpuConfig) -> Datapath:
    """What the hardware computes of float[W, K], outliers first, bit for bit: every stage."""
    begun = front(x, constants.s_x, job, config, constants.rotation)
    acc = products(begun.quantized, constants)
    z, y, saturated = back(begun, rescale.totals(acc, begun.quantized, constants.wsum), constants, job, config)
    return Datapath(begun.x, begun.coefficients, begun.quantized, acc, z, y, begun.x_saturated, saturated,
                    begun.h_saturated)


def outputs(x: Tensor, constants: Constants, job: ResolvedJob, config: NpuConfig) -> Outputs:
    """As `datapath`, with the stages behind the codes of so many output channels at a time in memory, and blocks that
    have an integer zero combined at once."""
    begun = front(x, constants.s_x, job, config, constants.rotation)
    y = torch.empty((len(x), len(constants.bias)), dtype=torch.int16, device=x.device)
    saturated = torch.zeros(len(x), dtype=torch.int64, device=x.device)
    combined = None if begun.quantized.zero is None else combine(begun.quantized)
    for start in range(0, y.shape[1], _INTEGERS):
        part = slice(start, start + _INTEGERS)
        own = constants.part(part)
        total = combined(own.wgt) if combined else rescale.totals(products(begun.quantized, own), begun.quantized,
                                                                  own.wsum)
        y[:, part], more = back(begun, total, own, job, config)[1:]
        saturated += more
    return Outputs(y, begun.x_saturated, begun.h_saturated, saturated)


def quantize_input(x: Tensor, s_x: float, n_sink: int, width: int, rotation: Rotation | None = None
                   ) -> tuple[Tensor, list[int], Tensor]:
    """(codes int32[W, K], e of each of the first `n_sink` tokens, int64[W] values that saturated): round to nearest
    even, saturate to `width` bits; with a rotation, e as the reference says."""
    top = (1 << (width - 1)) - 1
    exponents = [_exponent(x[token : token + 1], s_x, width, rotation) for token in range(n_sink)]
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


def _exponent(token: Tensor, s_x: float, width: int, rotation: Rotation | None) -> int:
    """e of an outlier float[1, K]: the smallest at which nothing saturates, in the Hadamard unit either, or 15."""
    exponent = sink_exponent(float(token.abs().max()), s_x, width)
    while rotation is not None and exponent < MAX_SINK_SHIFT:
        codes, _, _ = quantize_input(token, math.ldexp(s_x, exponent), 0, width)
        if not hadamard.transform(codes, *rotation, width)[1].any():
            break
        exponent += 1
    return exponent


def combine(quantized: Quantized) -> Callable[[Tensor], rescale.Totals]:
    """Weights → T = Σ span·acc of blocks with an integer zero, as one product of all channels: of span·a, which is
    below 2^26 (coefficients have 18 bits at most) as T is below 2^48 (`RescaleParams.total_width`)."""
    channels, group = quantized.codes.shape[1], quantized.group
    steps = scale.blocks(quantized.codes, group) * quantized.span.int()[:, :, None]
    return mac.wide(steps.flatten(1)[:, :channels], quantized.span.amax(dim=1) * quantized.qmax[:, 0])


def products(quantized: Quantized, constants: Constants) -> Tensor:
    """acc int32[S, groups, N]."""
    channels, group = quantized.codes.shape[1], quantized.group
    parts = [slice(start, start + group) for start in group_starts(channels, group).tolist()]
    wgt = constants.wgt
    found = [mac.matmul(quantized.codes[:, part], wgt[:, part], constants.largest) for part in parts]
    return found[0][:, None] if len(found) == 1 else torch.stack(found, 1)
