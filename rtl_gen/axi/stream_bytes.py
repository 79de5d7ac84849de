"""Bytes of the AXI4-Streams of a layer, in the order in which they cross the port: what a DMA reads and writes."""

from __future__ import annotations

import numpy as np
from amaranth.hdl import Shape

from rtl_gen.axi.stream import parameter_data
from stamp_hw.beats import value_bytes
from stamp_hw.engine.params import EngineParams
from stamp_hw.engine.streams import Beats
from stamp_hw.engine.wire import OUT_BYTES, beat_bytes

#: The fields of `rtl_gen.axi.stream.parameter_data`, little endian.
PARAMETER = np.dtype([(name, f"<{'i' if Shape.cast(shape).signed else 'u'}{Shape.cast(shape).width // 8}")
                      for name, shape in parameter_data().members.items()])


def activations(params: EngineParams, beats: Beats) -> bytes:
    """TDATA of all tokens: `lanes` values a beat, those beyond K zero."""
    return _whole(beats["x"].astype(f"<i{value_bytes(params.in_width)}"), beat_bytes(params)["i"])


def sink_shifts(beats: Beats) -> list[int]:
    """TUSER of each token."""
    return [int(shift) for shift in beats["sink_shift"][beats["last"] == 1]]


def weights(params: EngineParams, beats: Beats) -> bytes:
    """TDATA of all k-steps: a byte a column."""
    return _whole(beats["wgt"].astype("<i1"), beat_bytes(params)["w"])


def _whole(values: np.ndarray, size: int) -> bytes:
    """Values (beats, of a beat) as beats of `size` bytes, zeros behind the values of each."""
    used = values.itemsize * values.shape[1]
    return np.pad(values.view(np.uint8).reshape(len(values), used), ((0, 0), (0, size - used))).tobytes()


def parameters(beats: Beats) -> bytes:
    """TDATA of all parameter words: 16 bytes an output channel."""
    words = np.zeros(len(beats["bias"]), PARAMETER)
    for name, values in beats.items():
        words[name] = values
    return words.tobytes()


def results(beats: Beats) -> bytes:
    """TDATA of all results without the bytes that TKEEP leaves out."""
    return bytes(beats["y"][beats["keep"] == 1].astype(f"<i{OUT_BYTES}").tobytes())
