"""Which layers of a trace an engine's bench has room and time for."""

from __future__ import annotations

import os
import sys

from stamp_hw.config import NpuConfig
from stamp_hw.engine.job import EngineJob
from stamp_hw.engine.linear import resolve
from stamp_hw.engine.params import EngineParams
from stamp_hw.errors import ConfigError
from stamp_hw.formats.trace import Trace

LAYER_PRODUCTS, LAYER_STEPS = 25_000_000, 2_000_000  # of a layer of the trace that a test has time for
DEEP = bool(os.environ.get("STAMP_DEEP"))  # every layer of the trace, whatever its size (`make regress`)


def unfit(trace: Trace, name: str, params: EngineParams, deep: bool = DEEP) -> str:
    """Why a layer cannot run on this build, or takes too long for a test unless all are to run; empty if it can."""
    layer = trace.layer(name)
    try:
        job = resolve(layer, NpuConfig(hw=params.hw))
        EngineJob.of(job, k=layer.x.shape[1], n=len(layer.weight), params=params)
    except ConfigError as error:
        return str(error)
    most = sys.maxsize if deep else min(LAYER_PRODUCTS, LAYER_STEPS * params.rows * params.cols)
    size = layer.x.size * len(layer.weight)
    return "" if size <= most else f"{size:,} products take too long here, {most:,} at most"
