"""The top modules: which there are of each block, and how their parameters follow from a configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from amaranth.lib import wiring

from rtl_gen.axi.top import EngineAxi
from rtl_gen.engine.top import Engine
from rtl_gen.haar.finish import Finish
from rtl_gen.haar.forward import Haar
from rtl_gen.haar.inverse import HaarInverse
from rtl_gen.hadamard.unit import Hadamard
from rtl_gen.mac.array import Mac
from rtl_gen.rescale import Rescale
from rtl_gen.scale.unit import Scale
from stamp_hw.config import HwConfig
from stamp_hw.engine.params import EngineParams
from stamp_hw.errors import ConfigError
from stamp_hw.hadamard_params import HadamardParams
from stamp_hw.params import FinishParams, HaarParams, MacParams, RescaleParams, ScaleParams

AXI_TOP, ENGINE_TOP = "stamp_engine_axi", "stamp_engine"  # the engine behind AXI, and with plain streams


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A top module: its Verilog name, its component, and how its parameters follow from the hardware configuration.

    `inside` is the module of another top that it instantiates. Such a top has no vectors of its own. `is_built` says
    whether a configuration's hardware has it.
    """

    module: str
    component: Callable[[Any], wiring.Component]
    params: Callable[[HwConfig], Any]
    inside: str | None = None
    is_built: Callable[[HwConfig], bool] = lambda _hw: True


BLOCKS: dict[str, tuple[Unit, ...]] = {
    "hadamard": (Unit(module="stamp_hadamard", component=Hadamard, params=HadamardParams.of,
                      is_built=lambda hw: hw.hadamard is not None),),
    "haar": (Unit(module="stamp_haar_forward", component=Haar, params=HaarParams.forward),
             Unit(module="stamp_haar_inverse", component=HaarInverse, params=HaarParams.inverse),
             Unit(module="stamp_haar_finish", component=Finish, params=FinishParams.of)),
    "scale": (Unit(module="stamp_scale", component=Scale, params=ScaleParams.of),),
    "mac": (Unit(module="stamp_mac", component=Mac, params=MacParams.of),),
    "rescale": (Unit(module="stamp_rescale", component=Rescale, params=RescaleParams.of),),
    "engine": (Unit(module=ENGINE_TOP, component=Engine, params=EngineParams.of),),
    "axi": (Unit(module=AXI_TOP, component=EngineAxi, params=EngineParams.of, inside=ENGINE_TOP),),
}
DESIGN = ("engine", "axi")  # what a design takes; the others are its parts, each as a top of its own


def units(block: str | None = None) -> tuple[Unit, ...]:
    """The top modules of one block, or of all. Raises ConfigError for an unknown block."""
    if block is None:
        return tuple(unit for group in BLOCKS.values() for unit in group)
    if block not in BLOCKS:
        raise ConfigError("unknown block", where="block", got=block, expected=" or ".join(BLOCKS))
    return BLOCKS[block]


def units_of(hw: HwConfig, block: str | None = None) -> tuple[Unit, ...]:
    """Those of `units` that this hardware has."""
    return tuple(unit for unit in units(block) if unit.is_built(hw))
