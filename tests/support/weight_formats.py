"""Weights in every form in which they travel."""

from __future__ import annotations

import numpy as np

from stamp_hw.config import HwConfig, JobConfig
from stamp_hw.engine.wire import WeightFormat
from stamp_hw.weight_groups import SIZES


def draw_format(rng: np.random.Generator, hw: HwConfig) -> WeightFormat:
    """Of weights of 8 bits, or of 4 in groups or in none."""
    group = (None, *SIZES)[int(rng.integers(4))]
    job = JobConfig(weight_bits=4, weight_group=group) if rng.integers(2) else JobConfig(weight_bits=8)
    return WeightFormat.of(hw, job)
