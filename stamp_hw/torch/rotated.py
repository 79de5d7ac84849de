"""x · R of what several layers read one after the other, as queries, keys and values do: made once."""

from __future__ import annotations

import torch
from torch import Tensor


class LastProduct:
    """The product that was made last, and what of: layers that share one, and a rotation, have it again where they read
    the same tokens. To compare the tokens takes a thousandth of the time; the rotation is known by its object, and must
    not be written to."""

    def __init__(self) -> None:
        self._x: Tensor | None = None
        self._rotation: Tensor | None = None
        self._product: Tensor | None = None

    def of(self, x: Tensor, rotation: Tensor) -> Tensor:
        """x · rotation of float32[S, K] and float32[K, K] on a CPU; not to be written to."""
        if self._product is None or self._x is None or self._rotation is not rotation or not torch.equal(x, self._x):
            self._x, self._rotation, self._product = x.clone(), rotation, x @ rotation
        return self._product
