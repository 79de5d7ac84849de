"""One linear layer with its captured input: the unit of work of everything in this project."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stamp_hw import given, positions
from stamp_hw.errors import LayerError
from stamp_hw.weights import Weights

#: Bounds of a scale, and of every value: far beyond any model, and their products stay within a float64.
MIN_SCALE, MAX_SCALE = 2.0**-100, 2.0**100
MAX_VALUE = 2.0**100


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """`y = x · weightᵀ + bias` for one captured input.

    Parameters
    ----------
    name : unique name inside its trace, e.g. ``model.layers.0.self_attn.q_proj``
    x : float32[S, K], the captured input
    weight : float32[N, K]
    bias : float32[N] or None
    grid : (H, W) of the tokens in raster order, or None for a 1-D sequence
    outliers : positions, ascending, of the tokens that are kept out of the transform (`stamp_hw.outliers`); none on a
        grid
    kind : role of the layer, e.g. ``q_proj``; free text, used for grouping in reports
    s_x, s_y : static scales of input and output (real value of one INT16 step), or None to calibrate on this
        tensor itself (`calibration: self`)
    quantized : integers that stand for `weight`, as `stamp_hw.ready_weights` makes them, or None: it is rounded as the
        job says
    transform : False where the tokens are no sequence worth transforming (text of a cross-attention, a pooled vector):
        the layer then runs without lifting, whatever the job's levels

    Raises
    ------
    LayerError : wrong type or rank, shapes that do not fit, empty tensors, NaN or infinite values, values beyond
        ±2^100, scales outside 2^-100…2^100
    """

    name: str
    x: np.ndarray
    weight: np.ndarray
    bias: np.ndarray | None = None
    grid: tuple[int, int] | None = None
    outliers: tuple[int, ...] = ()
    kind: str = "linear"
    s_x: float | None = None
    s_y: float | None = None
    transform: bool = True
    quantized: Weights | None = None

    def __post_init__(self) -> None:
        for field, rank in (("x", 2), ("weight", 2), ("bias", 1)):
            value = getattr(self, field)
            if value is None and field == "bias":
                continue
            self._check(isinstance(value, np.ndarray) and value.ndim == rank, f"{field} has the wrong rank",
                        getattr(value, "shape", type(value).__name__), f"an array of rank {rank}")
            self._check(value.dtype == np.float32, f"{field} is not float32", str(value.dtype), "float32 values")
            self._check(value.size > 0, f"{field} is empty", value.shape, "at least one element")
            self._check(bool(np.isfinite(value).all()), f"{field} holds NaN or infinite values",
                        f"{int((~np.isfinite(value)).sum())} of {value.size}", "finite values")
            largest = max(float(value.max()), -float(value.min()))
            self._check(largest <= MAX_VALUE, f"{field} holds values too large", f"{largest:.3g}",
                        "magnitudes up to 2^100 = 1.27e30")
        self._check(self.x.shape[1] == self.weight.shape[1], "x and weight differ in K",
                    f"x {self.x.shape}, weight {self.weight.shape}", "the same last dimension")
        if self.bias is not None:
            self._check(self.bias.shape == (self.weight.shape[0],), "bias does not fit weight",
                        self.bias.shape, f"({self.weight.shape[0]},)")
        tokens = self.x.shape[0]
        self._check(isinstance(self.outliers, tuple) and positions.ascend_within(self.outliers, tokens),
                    "outliers are no positions", self.outliers,
                    f"a tuple of ascending numbers in 0…{tokens - 1}")
        if self.grid is not None:
            self._check(not self.outliers, "a 2-D grid has no outliers", self.outliers, "none")
            self._check(given.is_grid(self.grid) and self.grid[0] * self.grid[1] == tokens,
                        "grid does not hold the tokens", self.grid, f"H·W = {tokens}")
        if self.quantized is not None:
            self._check(isinstance(self.quantized, Weights) and self.quantized.codes.shape == self.weight.shape,
                        "quantized does not fit weight", getattr(self.quantized, "codes", self.quantized),
                        f"Weights with codes of shape {self.weight.shape}")
        for field in ("s_x", "s_y"):
            scale = getattr(self, field)
            self._check(scale is None or given.is_number(scale) and MIN_SCALE <= scale <= MAX_SCALE,
                        f"{field} is not a scale", scale,
                        "a number in 2^-100…2^100")

    def _check(self, ok: bool, what: str, got: object, expected: str) -> None:
        if not ok:
            raise LayerError(what, where=f"layer {self.name}", got=got, expected=expected)
