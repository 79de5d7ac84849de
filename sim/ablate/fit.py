"""Sequences to fit on: the same layers of the same model on other inputs than those that are measured."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

from stamp_hw.errors import StampError
from stamp_hw.formats.safetensors_file import printable
from stamp_hw.formats.trace import Trace
from stamp_hw.layer import Layer


class Fit:
    """Layers of the fit traces by name, without the part that names the prompt.

    Raises StampError for a trace of the measured trace's own bytes.
    """

    def __init__(self, measured: Trace, traces: Sequence[Trace]) -> None:
        self.sha256 = [trace.sha256() for trace in traces]
        own = measured.sha256() if traces else ""
        for trace, digest in zip(traces, self.sha256, strict=True):
            if digest == own:
                raise StampError("fitted on what is measured", where=f"--fit {trace.path}",
                                 expected="a trace of other sequences")
        self._layers: dict[str, list[tuple[Trace, str]]] = {}
        self._steps: dict[str, list[tuple[Trace, str]]] = {}
        for trace in traces:
            for name in trace.layer_names:
                self._layers.setdefault(without_prompt(name), []).append((trace, name))
                self._steps.setdefault(without_run(name), []).append((trace, name))

    def __bool__(self) -> bool:
        return bool(self._layers)

    def inputs(self, layer: Layer) -> list[np.ndarray]:
        """float32[S, K] of every fit sequence of this layer (and denoising step).

        Raises StampError where there is none, where shapes or weights are another model's, or where one of them is the
        measured input.
        """
        return list(self._found(layer, self._layers.get(without_prompt(layer.name), [])))

    def absmax(self, layer: Layer) -> np.ndarray:
        """float64[K], largest magnitude of each channel over all fit sequences and denoising steps: scales that fold
        into weights cannot change with the step. Raises as `inputs`."""
        found = self._found(layer, self._steps.get(without_run(layer.name), []))
        result: np.ndarray = np.max([np.abs(x).max(axis=0) for x in found], axis=0).astype(np.float64)
        return result

    def sequences(self, name: str) -> int:
        """How many a layer has."""
        return len(self._layers.get(without_prompt(name), []))

    def _found(self, layer: Layer, sources: Sequence[tuple[Trace, str]]) -> Iterator[np.ndarray]:
        if not sources:
            raise StampError("no fit sequence of this layer", where=f"--fit, layer {printable(layer.name)}",
                             expected="traces with the same layers")
        for trace, name in sources:
            other = trace.layer(name)
            where = f"--fit {trace.path}, layer {printable(name)}"
            if other.x.shape != layer.x.shape or other.grid != layer.grid:
                raise StampError("shape differs from the layer that is measured", where=where,
                                 got=f"{other.x.shape}, grid {other.grid}",
                                 expected=f"{layer.x.shape}, grid {layer.grid}")
            if not np.array_equal(other.weight, layer.weight):
                raise StampError("weights of another model", where=where, expected="the layer that is measured")
            if np.array_equal(other.x, layer.x):
                raise StampError("fitted on what is measured", where=where, expected="another sequence")
            yield other.x


def without_prompt(name: str) -> str:
    """`to_q@prompt2.step8` as `to_q.step8`."""
    return re.sub(r"@prompt\d+", "", name)


def without_run(name: str) -> str:
    """`to_q@prompt2.step8` as `to_q`."""
    return re.sub(r"@prompt\d+.*", "", name)
