"""Bytes of the AXI4-Streams of a layer, in the order in which they cross the port: what a DMA reads and writes."""

from __future__ import annotations

import numpy as np
from amaranth.hdl import Shape

from rtl_gen.axi.stream import parameter_data
from stamp_hw.engine.params import EngineParams
from stamp_hw.engine.streams import Beats
from stamp_hw.engine.wire import OUT_BYTES, value_bytes

#: The fields of `rtl_gen.axi.stream.parameter_data`, little endian.
PARAMETER = np.dtype([(name, f"<{'i' if Shape.cast(shape).signed else 'u'}{Shape.cast(shape).width // 8}")
                      for name, shape in parameter_data().members.items()])


def activations(params: EngineParams, beats: Beats) -> bytes:
    """TDATA of all tokens: `lanes` values a beat, those beyond K zero."""
    return beats["x"].astype(f"<i{value_bytes(params.in_width)}").tobytes()


def sink_shifts(beats: Beats) -> list[int]:
    """TUSER of each token."""
    return [int(shift) for shift in beats["sink_shift"][beats["last"] == 1]]


def weights(beats: Beats) -> bytes:
    """TDATA of all k-steps: a byte a column."""
    return beats["wgt"].astype("<i1").tobytes()


def parameters(beats: Beats) -> bytes:
    """TDATA of all parameter words: 16 bytes an output channel."""
    words = np.zeros(len(beats["bias"]), PARAMETER)
    for name, values in beats.items():
        words[name] = values
    return words.tobytes()


def results(beats: Beats) -> bytes:
    """TDATA of all results without the bytes that TKEEP leaves out."""
    return bytes(beats["y"][beats["keep"] == 1].astype(f"<i{OUT_BYTES}").tobytes())
