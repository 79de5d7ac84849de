"""A layer as the engine is given it: outliers in front of the sequence, their places filled (docs/contract.md §3.1)."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from stamp_hw import given, outliers
from stamp_hw.config import NpuConfig
from stamp_hw.layer import Layer


@dataclass(frozen=True, slots=True, eq=False)
class WireLayer(Layer):
    """`x` float32[n_sink + S, K]: the first `n_sink` tokens bypass the transform, the others are the sequence.

    `rows` int64: where each token's own result is, or None where every row is a token of its own. Where the engine is
    tried, not a model, the first rows need not be anybody's outliers.
    """

    n_sink: int = 0
    rows: np.ndarray | None = None

    def __post_init__(self) -> None:
        # Not super(): a class with slots is made twice, and super() without arguments knows the first.
        Layer.__post_init__(self)
        tokens = self.x.shape[0]
        self._check(given.is_whole(self.n_sink) and 0 <= self.n_sink < tokens, "n_sink out of range", self.n_sink,
                    f"0…{tokens - 1}")
        self._check(not (self.n_sink and self.grid), "a 2-D grid has no outliers", self.n_sink, "none")
        self._check(not self.outliers, "outliers are in front already", self.outliers, "none")

    @property
    def own(self) -> np.ndarray | slice:
        """Index of the rows that are a token's own, in the order of the tokens."""
        return slice(None) if self.rows is None else self.rows


def arrange(layer: Layer, config: NpuConfig) -> WireLayer:
    """The layer with the outliers that the job names, or that it has, in front.

    Static scales were taken without the layer's own outliers: where the job leaves one of these in the sequence they do
    not hold, and the layer is calibrated on itself. Raises ConfigError as `JobConfig.outliers_of`.
    """
    if isinstance(layer, WireLayer):
        return layer
    taken = config.job.outliers_of(layer.outliers, len(layer.x))
    values = {field.name: getattr(layer, field.name) for field in fields(Layer)} | {"outliers": ()}
    if not set(layer.outliers) <= set(taken):
        values |= {"s_x": None, "s_y": None}
    if not taken:
        return WireLayer(**values)
    order, rows = outliers.places(len(layer.x), taken)
    return WireLayer(**{**values, "x": layer.x[order], "n_sink": len(taken), "rows": rows})
