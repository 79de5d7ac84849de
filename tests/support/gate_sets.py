"""An energy set of gates whose figures are round."""

from __future__ import annotations

from typing import Any

from rtl_gen.asic import energy_set, libraries
from rtl_gen.asic.characterize import Result
from rtl_gen.asic.energy import Wires
from stamp_hw.config import HwConfig, NpuConfig
from tests.support.asic_cases import five

CONFIG = NpuConfig()


def result(name: str, count: int = 1, **events: float) -> Result:
    return Result(name=name, count=count, area_um2=100.0, flip_flop_um2=50.0, gate_equivalents=66.7, cells=40,
                  flip_flops=8, memory_bits=0, path_ps=500.0, sta_ps=None, leakage_uw=3.0, idle_pj=2.0, busy_pj=5.0,
                  clock_pj=2.0, energy_pj={name.replace("_", "."): value for name, value in events.items()}, cycles=100)


RESULTS = [result("lifting", lifting_add=0.01), result("inverse", inverse_add=0.02), result("finish", finish_add=0.03),
           result("scale", scale_add=0.04, scale_multiply=0.05), result("pe", 64, mac_step8=3.0, mac_step4=2.5),
           result("array", array_step=1.5), result("rescale", rescale_add=0.06, rescale_multiply=0.07),
           result("control", control_step=4.0)]


def document(results: list[Result] | None = None, hw: HwConfig = CONFIG.hw) -> dict[str, Any]:
    return energy_set.document(RESULTS if results is None else results, "gates45", libraries.find("five"), five(),
                               Wires(ff=1.0), hw, "random")
