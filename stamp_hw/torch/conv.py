"""`StampConv`: a 1 × 1 convolution as the linear layer that it is."""

from __future__ import annotations

import torch
from torch import Tensor

from stamp_hw.torch.linear import StampLinear


class StampConv(torch.nn.Module):
    """A 1 × 1 convolution, [B, K, H, W] to [B, N, H, W], as the `StampLinear` that it is over its H × W grid."""

    def __init__(self, linear: StampLinear) -> None:
        super().__init__()
        self.linear = linear

    def forward(self, x: Tensor) -> Tensor:
        """float[B, K, H, W] to float[B, N, H, W]."""
        height, width = x.shape[2:]
        self.linear.grid = (height, width) if self.linear.transform else None
        y = self.linear(x.movedim(1, -1).flatten(1, 2))
        found: Tensor = y.unflatten(1, (height, width)).movedim(-1, 1)
        return found
