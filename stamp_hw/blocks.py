"""One object a block: what it computes, in how many cycles, and its hardware.

    >>> from stamp_hw import NpuConfig
    >>> from stamp_hw.blocks import HaarForward
    >>> lifting = HaarForward(NpuConfig())
    >>> c = lifting.compute(x, levels=3)        # the golden model's integers
    >>> lifting.cycles(x, levels=3)             # of the generated unit for that very input, when nothing stalls
    >>> lifting.component()                     # the unit, an Amaranth component with `lifting.params`

`compute` and `cycles` take the same arguments. Cycles and components belong to packages above this one (`sim`,
`rtl_gen`), which are asked for by name when they are needed; `component` needs Amaranth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from stamp_hw import combine, given, haar, hadamard, mac, rescale, rooms, scale
from stamp_hw.config import NpuConfig
from stamp_hw.engine import linear
from stamp_hw.engine.params import EngineParams
from stamp_hw.errors import ConfigError, LayerError, brief
from stamp_hw.haar_slots import HaarJob
from stamp_hw.hadamard_params import HadamardJob, HadamardParams
from stamp_hw.layer import Layer
from stamp_hw.params import CombineParams, HaarParams, MacParams, RescaleParams, ScaleJob, ScaleParams
from stamp_hw.scale import Quantized


@dataclass(frozen=True)
class Block:
    """A block of the hardware that `config` describes.

    `MODEL` is the module of its cycle model, `COMPONENT` module and class of its hardware, `MODULE` that one's name in
    Verilog; where there is a `KEY`, the block is in hardware alone whose configuration sets it (`BUILT`), or does not.
    Raises ConfigError for a `config` that is none, or that describes hardware without this block. What a method gets of
    another type than it says is a LayerError.
    """

    config: NpuConfig

    MODEL: ClassVar[str]
    COMPONENT: ClassVar[tuple[str, str]]
    MODULE: ClassVar[str]
    KEY: ClassVar[str | None] = None
    BUILT: ClassVar[bool] = True

    def __post_init__(self) -> None:
        given.of_type(self.config, NpuConfig, type(self).__name__, ConfigError)
        if self.KEY is not None and bool(value := getattr(self.config.hw, self.KEY)) is not self.BUILT:
            raise ConfigError(f"hardware without {self.MODULE}", where=f"hw.{self.KEY}", got=value or "none",
                              expected="channels of a block" if self.BUILT else "none")

    @property
    def params(self) -> Any:
        """What golden model, cycle model and hardware of the block share (`stamp_hw.params`)."""
        raise NotImplementedError

    def component(self) -> Any:
        """The Amaranth component. Raises ImportError without Amaranth (`pip install 'stamp-hw[rtl]'`)."""
        module, name = self.COMPONENT
        return getattr(rooms.load(module), name)(self.params)

    def _model(self) -> Any:
        return rooms.load(self.MODEL)


class Hadamard(Block):
    """The block Hadamard unit (docs/contract.md §3.9) of hardware that has one."""

    MODEL, COMPONENT, MODULE = "sim.hadamard", ("rtl_gen.hadamard.unit", "Hadamard"), "stamp_hadamard"
    KEY = "hadamard"

    @property
    def params(self) -> HadamardParams:
        """Raises ConfigError for hardware without the unit."""
        return HadamardParams.of(self.config.hw)

    def compute(self, x: np.ndarray, shift: int) -> np.ndarray:
        """int32[S, K'] of x integers[S, K], as `stamp_hw.hadamard.transform`."""
        self._job(x, shift)
        return hadamard.transform(x, self.params.block, shift, self.params.width)[0]

    def cycles(self, x: np.ndarray, shift: int) -> int:
        """From the job's registers to the last output beat."""
        return int(self._model().cycles(self.params, self._job(x, shift)))

    def _job(self, x: np.ndarray, shift: int) -> HadamardJob:
        """The job's registers. Raises LayerError or ConfigError for one that the unit cannot take."""
        given.integers(x, "x", self.MODULE)
        if np.ndim(x) != 2 or not given.is_whole(shift):
            raise LayerError("no tokens or no shift", where=self.MODULE,
                             got=f"{given.described(x)}, shift {brief(shift)}", expected="[S, K] and a whole number")
        return self.params.job(tokens=len(x), k=x.shape[1], shift=shift)


class _Lifting(Block):
    """Both lifting units."""

    MODEL = "sim.haar"

    def _check(self, x: np.ndarray, levels: int, grid: haar.Grid | None) -> None:
        """Raise LayerError for a job that the unit cannot take."""
        given.integers(x, "x", self.MODULE)
        params, (tokens, channels) = self.params, np.shape(x) if np.ndim(x) == 2 else (0, 0)
        if not given.is_whole(levels) or not (grid is None or given.is_grid(grid)):
            raise LayerError("no levels or no grid", where=self.MODULE,
                             got=f"levels {brief(levels)}, grid {brief(grid)}",
                             expected="a whole number, and None or two whole numbers from 1 on")
        most = params.max_levels if grid is None else params.max_levels // 2
        if not 1 <= tokens <= params.max_tokens or not 1 <= channels <= params.max_beats * params.lanes:
            raise LayerError("tokens that the unit cannot take", where=self.MODULE, got=np.shape(x),
                             expected=f"up to {params.max_tokens} × {params.max_beats * params.lanes}")
        if not 0 <= levels <= most or grid is not None and (params.axes == 1 or grid[0] * grid[1] != tokens):
            raise LayerError("levels or a grid that the unit cannot take", where=self.MODULE,
                             got=f"levels {levels}, grid {grid}",
                             expected=f"0…{most} levels, a grid of {tokens} tokens where the unit has two axes")

    def cycles(self, x: np.ndarray, levels: int, grid: haar.Grid | None = None) -> int:
        """From the job's first cycle to the last output beat."""
        self._check(x, levels, grid)
        job = HaarJob(tokens=len(x), levels=levels, beats=-(-x.shape[1] // self.params.lanes), grid=grid)
        return int(self._model().cycles(self.params, [job]))


class HaarForward(_Lifting):
    """The lifting unit in front of the array (docs/contract.md §3.2)."""

    COMPONENT = ("rtl_gen.haar.forward", "Haar")
    MODULE = "stamp_haar_forward"

    @property
    def params(self) -> HaarParams:
        return HaarParams.forward(self.config.hw)

    def compute(self, x: np.ndarray, levels: int, grid: haar.Grid | None = None) -> np.ndarray:
        """Coefficients int32[S, K] of x integers[S, K], as `stamp_hw.haar.forward`."""
        self._check(x, levels, grid)
        return haar.forward(x, levels, grid)


class HaarInverse(_Lifting):
    """The lifting unit behind the array (docs/contract.md §3.7)."""

    COMPONENT = ("rtl_gen.haar.inverse", "HaarInverse")
    MODULE = "stamp_haar_inverse"

    @property
    def params(self) -> HaarParams:
        return HaarParams.inverse(self.config.hw)

    def compute(self, x: np.ndarray, levels: int, grid: haar.Grid | None = None) -> np.ndarray:
        """Tokens int32[S, N] of coefficients x integers[S, N], as `stamp_hw.haar.inverse`."""
        self._check(x, levels, grid)
        return haar.inverse(x, levels, grid)


class Scale(Block):
    """Scale unit and quantizer (docs/contract.md §3.4); scale mode and group are the configuration's job's."""

    MODEL, COMPONENT, MODULE = "sim.scale", ("rtl_gen.scale.unit", "Scale"), "stamp_scale"

    @property
    def params(self) -> ScaleParams:
        return ScaleParams.of(self.config.hw)

    def compute(self, c: np.ndarray, bits: np.ndarray) -> Quantized:
        """Codes and scales of c integers[S, K] at bits [S], 8 or 4, as `stamp_hw.scale.quantize`; in hardware without
        blocks, where no group has an integer zero, as `quantize_apart`."""
        self._job(c, bits)
        return (scale.quantize if self.params.block_beats else scale.quantize_apart)(c, bits, self.config)

    def cycles(self, c: np.ndarray, bits: np.ndarray) -> int:
        """From the first input beat to the last output beat; the precisions take the same time."""
        return int(self._model().cycles(self.params, self._job(c, bits)))

    def _job(self, c: np.ndarray, bits: np.ndarray) -> ScaleJob:
        """The job's registers. Raises LayerError or ConfigError for one that the unit cannot take."""
        given.integers(c, "c", self.MODULE)
        given.integers(bits, "bits", self.MODULE)
        if np.ndim(c) != 2 or np.shape(bits) != np.shape(c)[:1] or not np.isin(bits, (4, 8)).all():
            raise LayerError("bits do not fit the tokens", where=self.MODULE, got=f"{np.shape(c)} and {np.shape(bits)}",
                             expected="one 4 or 8 for each token")
        return self.params.job(tokens=len(c), k=c.shape[1], group=self.config.job.group,
                               symmetric=self.config.job.symmetric)


class Mac(Block):
    """The MAC array, one tile at a time (docs/contract.md §3.5): a row is an 8-bit token or two of 4 bits."""

    MODEL, COMPONENT, MODULE = "sim.mac", ("rtl_gen.mac.array", "Mac"), "stamp_mac"
    KEY, BUILT = "block", False
    CODES: ClassVar[type[np.signedinteger[Any]]] = np.int8

    @property
    def params(self) -> MacParams:
        return MacParams.of(self.config.hw)

    def compute(self, codes: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Sums int32[S, N] of codes int8[S, K], int16 with blocks, and weights int8[N, K], S up to 2 · rows tokens, N
        up to cols outputs.

        Raises LayerError for what is no tile.
        """
        self._check(codes, weights)
        return mac.matmul(codes, weights)

    def _check(self, codes: np.ndarray, weights: np.ndarray) -> None:
        if any(not isinstance(one, np.ndarray) or one.dtype != kind
               for one, kind in ((codes, self.CODES), (weights, np.int8))):
            raise LayerError("other types of integers", where=self.MODULE,
                             got=f"{given.described(codes)}, {given.described(weights)}",
                             expected=f"NumPy arrays of {self.CODES.__name__} and int8")
        params, shapes = self.params, (np.shape(codes), np.shape(weights))
        fits = all(len(shape) == 2 and min(shape) > 0 for shape in shapes) and shapes[0][1] == shapes[1][1]
        if not fits or shapes[0][0] > 2 * params.rows or shapes[1][0] > params.cols or shapes[0][1] > params.max_k:
            raise LayerError("no tile", where=self.MODULE, got=f"{shapes[0]} and {shapes[1]}",
                             expected=f"[S, K] and [N, K], at most {2 * params.rows} tokens (8 bits: a row each), "
                                      f"{params.cols} outputs, K {params.max_k}")

    def cycles(self, codes: np.ndarray, weights: np.ndarray) -> int:
        """From the first step to the last beat of the drain, at any precision."""
        self._check(codes, weights)
        return int(self._model().cycles(self.params, [codes.shape[1]]))


class BlockMac(Mac):
    """The MAC array of hardware with blocks (docs/contract.md §4, "Blocks"): its codes are int16, q − z in −255…255."""

    COMPONENT, MODULE = ("rtl_gen.mac.block_stream", "BlockMacStream"), "stamp_block_mac"
    KEY, BUILT = "block", True
    CODES = np.int16


class Combine(Block):
    """The combine unit of hardware with blocks, one array tile at a time (docs/contract.md §4, "Blocks")."""

    MODEL, COMPONENT, MODULE = "sim.combine", ("rtl_gen.combine_stream", "CombineStream"), "stamp_combine"
    KEY = "block"

    @property
    def params(self) -> CombineParams:
        return CombineParams.of(self.config.hw)

    def compute(self, acc: np.ndarray, span: np.ndarray) -> np.ndarray:
        """T int64[S, N] of sums acc integers[S, G, N] and spans integers[S, G], as `stamp_hw.combine.combine`; S up to
        2 · rows tokens, N up to cols outputs.

        Raises LayerError for what is no tile, or where a T is too wide for the unit.
        """
        self._check(acc, span)
        return combine.combine(acc, span, self.params.total_width)

    def cycles(self, acc: np.ndarray, span: np.ndarray) -> int:
        """From the first token to the last T; a tile's absent tokens and columns take their time."""
        self._check(acc, span)
        return int(self._model().cycles(self.params, [acc.shape[1]]))

    def _check(self, acc: np.ndarray, span: np.ndarray) -> None:
        params = self.params
        given.integers(acc, "acc", self.MODULE)
        given.integers(span, "span", self.MODULE)
        fits = acc.ndim == 3 and acc.shape[:2] == span.shape and min(acc.shape) > 0
        if not fits or len(acc) > params.tokens or acc.shape[2] > params.cols:
            raise LayerError("no tile", where=self.MODULE, got=f"{np.shape(acc)} and {np.shape(span)}",
                             expected=f"[S, G, N] and [S, G], at most {params.tokens} tokens, {params.cols} outputs")
        top = 1 << (params.acc_width - 1)
        inside = -top <= acc.min() and acc.max() < top and span.min() >= 0 and span.max() < 1 << params.width
        if not inside:
            raise LayerError("beyond the unit's widths", where=self.MODULE,
                             got=f"acc {acc.min()}…{acc.max()}, span {span.min()}…{span.max()}",
                             expected=f"{params.acc_width} signed and {params.width} bits")


class Rescale(Block):
    """The rescale unit (docs/contract.md §3.6)."""

    MODEL, COMPONENT, MODULE = "sim.rescale", ("rtl_gen.rescale", "Rescale"), "stamp_rescale"

    @property
    def params(self) -> RescaleParams:
        return RescaleParams.of(self.config.hw)

    def compute(self, acc: np.ndarray, quantized: Quantized, wsum: np.ndarray, mant: np.ndarray, shift: np.ndarray
                ) -> np.ndarray:
        """Output coefficients int32[S, N], as `stamp_hw.rescale.rescale`."""
        self._check(acc, quantized, wsum, mant, shift)
        return rescale.rescale(acc, quantized, wsum, mant, shift, self.config)

    def cycles(self, acc: np.ndarray, quantized: Quantized, wsum: np.ndarray, mant: np.ndarray, shift: np.ndarray
               ) -> int:
        """From the first input beat to the last output beat."""
        self._check(acc, quantized, wsum, mant, shift)
        return int(self._model().cycles(self.params, len(acc) * -(-acc.shape[-1] // self.params.lanes)))

    def _check(self, acc: np.ndarray, quantized: Quantized, wsum: np.ndarray, mant: np.ndarray, shift: np.ndarray
               ) -> None:
        """Raise LayerError for what is no accumulator with its token and its channel."""
        given.of_type(quantized, Quantized, self.MODULE)
        for name, value in (("acc", acc), ("wsum", wsum), ("mant", mant), ("shift", shift)):
            given.integers(value, name, self.MODULE)
        channels, tables = acc.shape[-1:], 1 + self.config.job.symmetric
        fits = acc.ndim in (2, 3) and len(acc) == len(quantized.bits) and min(acc.shape) > 0
        if not fits or wsum.shape != acc.shape[1:] or {mant.shape, shift.shape} - {channels, (tables, *channels)}:
            raise LayerError("parts that do not fit each other", where=self.MODULE,
                             got=", ".join(map(given.described, (acc, wsum, mant, shift))),
                             expected=f"acc [S, N] or [S, groups, N], S {len(quantized.bits)}, wsum as one of its "
                                      f"tokens, mant and shift [N] or [{tables}, N]")


class Engine(Block):
    """The linear engine: a whole layer (docs/contract.md §3, §4)."""

    MODEL, COMPONENT, MODULE = "sim.engine.closed_form", ("rtl_gen.engine.top", "Engine"), "stamp_engine"

    @property
    def params(self) -> EngineParams:
        return EngineParams.of(self.config.hw)

    def compute(self, layer: Layer) -> linear.LinearResult:
        """Every stage of the layer, as `stamp_hw.run_linear`."""
        return linear.run_linear(layer, self.config)

    def cycles(self, layer: Layer) -> int:
        """Of the layer's job, inputs as the memory gives them (`hw.dram_bytes_per_s` or `hw.memory`)."""
        given.of_type(layer, Layer, self.MODULE)
        task = rooms.load("sim.task")
        shape = task.Shape.of(layer, self.config)
        return int(self._model().simulate(task.Task.of(shape, self.config), self.config.hw).total)
