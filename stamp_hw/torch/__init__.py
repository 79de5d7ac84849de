"""The datapath on torch tensors, CPU or CUDA: the golden model's functions by the same names, the same bits.

`StampLinear` is a drop-in for `torch.nn.Linear`. This folder alone may import torch (`pip install 'stamp-hw[trace]'`).
"""

from __future__ import annotations

from stamp_hw.torch.linear import StampLinear

__all__ = ["StampLinear"]
