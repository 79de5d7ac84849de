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

from stamp_hw import haar, mac, rescale, rooms, scale
from stamp_hw.config import NpuConfig
from stamp_hw.engine import linear
from stamp_hw.engine.params import EngineParams
from stamp_hw.errors import LayerError
from stamp_hw.haar_slots import HaarJob
from stamp_hw.layer import Layer
from stamp_hw.params import HaarParams, MacParams, RescaleParams, ScaleParams
from stamp_hw.scale import Quantized


@dataclass(frozen=True)
class Block:
    """A block of the hardware that `config` describes.

    `MODEL` is the module of its cycle model, `COMPONENT` module and class of its hardware, `MODULE` that one's name in
    Verilog.
    """

    config: NpuConfig

    MODEL: ClassVar[str]
    COMPONENT: ClassVar[tuple[str, str]]
    MODULE: ClassVar[str]

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


class _Lifting(Block):
    """Both lifting units."""

    MODEL = "sim.haar"

    def cycles(self, x: np.ndarray, levels: int, grid: haar.Grid | None = None) -> int:
        """From the job's first cycle to the last output beat."""
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
        return haar.inverse(x, levels, grid)


class Scale(Block):
    """Scale unit and quantizer (docs/contract.md §3.4); scale mode and group are the configuration's job's."""

    MODEL, COMPONENT, MODULE = "sim.scale", ("rtl_gen.scale.unit", "Scale"), "stamp_scale"

    @property
    def params(self) -> ScaleParams:
        return ScaleParams.of(self.config.hw)

    def compute(self, c: np.ndarray, bits: np.ndarray) -> Quantized:
        """Codes and scales of c integers[S, K] at bits [S], 8 or 4, as `stamp_hw.scale.quantize`."""
        return scale.quantize(c, bits, self.config)

    def cycles(self, c: np.ndarray, bits: np.ndarray) -> int:
        """From the first input beat to the last output beat; the precisions take the same time."""
        job = self.params.job(tokens=len(c), k=c.shape[1], group=self.config.job.group,
                              symmetric=self.config.job.symmetric)
        return int(self._model().cycles(self.params, job))


class Mac(Block):
    """The MAC array, one tile at a time (docs/contract.md §3.5): a row is an 8-bit token or two of 4 bits."""

    MODEL, COMPONENT, MODULE = "sim.mac", ("rtl_gen.mac.array", "Mac"), "stamp_mac"

    @property
    def params(self) -> MacParams:
        return MacParams.of(self.config.hw)

    def compute(self, codes: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Sums int32[S, N] of codes int8[S, K] and weights int8[N, K], S up to 2 · rows tokens, N up to cols outputs.

        Raises LayerError for more than a tile holds.
        """
        params = self.params
        if len(codes) > 2 * params.rows or len(weights) > params.cols or codes.shape[1] > params.max_k:
            raise LayerError("more than a tile", where="mac", got=f"{codes.shape} and {weights.shape}",
                             expected=f"at most {2 * params.rows} tokens, {params.cols} outputs, K {params.max_k}")
        return mac.matmul(codes, weights)

    def cycles(self, codes: np.ndarray, weights: np.ndarray) -> int:
        """From the first step to the last beat of the drain, at any precision."""
        return int(self._model().cycles(self.params, [codes.shape[1]]))


class Rescale(Block):
    """The rescale unit (docs/contract.md §3.6)."""

    MODEL, COMPONENT, MODULE = "sim.rescale", ("rtl_gen.rescale", "Rescale"), "stamp_rescale"

    @property
    def params(self) -> RescaleParams:
        return RescaleParams.of(self.config.hw)

    def compute(self, acc: np.ndarray, quantized: Quantized, wsum: np.ndarray, mant: np.ndarray, shift: np.ndarray
                ) -> np.ndarray:
        """Output coefficients int32[S, N], as `stamp_hw.rescale.rescale`."""
        return rescale.rescale(acc, quantized, wsum, mant, shift, self.config)

    def cycles(self, acc: np.ndarray, quantized: Quantized, wsum: np.ndarray, mant: np.ndarray, shift: np.ndarray
               ) -> int:
        """From the first input beat to the last output beat."""
        return int(self._model().cycles(self.params, len(acc) * -(-acc.shape[-1] // self.params.lanes)))


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
        """Of the layer's job, inputs at the memory's rate (`hw.dram_bytes_per_s`)."""
        task = rooms.load("sim.task")
        shape = task.Shape.of(layer, self.config)
        return int(self._model().simulate(task.Task.of(shape, self.config), self.config.hw).total)
