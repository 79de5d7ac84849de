"""Two small configurations, and the top modules, that the tests of generation, lint and synthesis share."""

from __future__ import annotations

from rtl_gen.generate import units
from stamp_hw.config import NpuConfig

SMALL = NpuConfig().with_hw(rows=2, cols=4, lanes=3, rescale_lanes=2, max_k=64, max_tokens=100, max_levels=6)
LINE = NpuConfig().with_hw(rows=3, cols=3, lanes=2, rescale_lanes=3, axes=1, max_k=50, max_tokens=64, max_levels=3,
                           mul_stages=1, act_slots=64)
MODULES = [unit.module for unit in units()]
