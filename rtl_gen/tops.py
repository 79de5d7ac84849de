"""The top modules: which there are of each block, and how their parameters follow from a configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from amaranth.lib import wiring

from rtl_gen.axi.top import EngineAxi
from rtl_gen.combine_stream import CombineStream
from rtl_gen.dma.top import Npu
from rtl_gen.engine.top import Engine
from rtl_gen.haar.finish import Finish
from rtl_gen.haar.forward import Haar
from rtl_gen.haar.inverse import HaarInverse
from rtl_gen.hadamard.unit import Hadamard
from rtl_gen.mac.array import Mac
from rtl_gen.mac.block_stream import BlockMacStream
from rtl_gen.rescale import Rescale
from rtl_gen.scale.unit import Scale
from stamp_hw.config import HwConfig
from stamp_hw.dma.params import DmaParams
from stamp_hw.engine.params import EngineParams
from stamp_hw.errors import ConfigError
from stamp_hw.hadamard_params import HadamardParams
from stamp_hw.params import CombineParams, FinishParams, HaarParams, MacParams, RescaleParams, ScaleParams

AXI_TOP, ENGINE_TOP = "stamp_engine_axi", "stamp_engine"  # the engine behind AXI, and with plain streams
NPU_TOP = "stamp_npu"  # the engine with a DMA of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A top module: its Verilog name, its component, and how its parameters follow from the hardware configuration.

    `inside` is the module of another top that it instantiates. Such a top has no vectors of its own. `key` of the
    hardware's configuration and `exists`, a test of its value, say where there is one; without them it is always there.
    `wanted` is what that key would have to hold.
    """

    module: str
    component: Callable[[Any], wiring.Component]
    params: Callable[[HwConfig], Any]
    inside: str | None = None
    key: str | None = None
    exists: Callable[[Any], bool] = bool
    wanted: str = "channels of a block"

    def is_built(self, hw: HwConfig) -> bool:
        """Whether hardware of this configuration has one."""
        return self.key is None or self.exists(getattr(hw, self.key))


BLOCKS: dict[str, tuple[Unit, ...]] = {
    "hadamard": (Unit(module="stamp_hadamard", component=Hadamard, params=HadamardParams.of, key="hadamard"),),
    "haar": (Unit(module="stamp_haar_forward", component=Haar, params=HaarParams.forward),
             Unit(module="stamp_haar_inverse", component=HaarInverse, params=HaarParams.inverse),
             Unit(module="stamp_haar_finish", component=Finish, params=FinishParams.of)),
    "scale": (Unit(module="stamp_scale", component=Scale, params=ScaleParams.of),),
    "mac": (Unit(module="stamp_mac", component=Mac, params=MacParams.of, key="block",
                 exists=lambda block: not block),
            Unit(module="stamp_block_mac", component=BlockMacStream, params=MacParams.of, key="block")),
    "combine": (Unit(module="stamp_combine", component=CombineStream, params=CombineParams.of, key="block"),),
    "rescale": (Unit(module="stamp_rescale", component=Rescale, params=RescaleParams.of),),
    "engine": (Unit(module=ENGINE_TOP, component=Engine, params=lambda hw: EngineParams.of(hw).unpadded),),
    "axi": (Unit(module=AXI_TOP, component=EngineAxi, params=EngineParams.of, inside=ENGINE_TOP),),
    "dma": (Unit(module=NPU_TOP, component=Npu, params=DmaParams.of, inside=ENGINE_TOP, key="bus_width",
                 wanted="bits of a word of the bus"),),
}
DESIGN = ("engine", "axi", "dma")  # what a design takes; the others are its parts, each as a top of its own


def units(block: str | None = None, hw: HwConfig | None = None) -> tuple[Unit, ...]:
    """The top modules of one block, or of all; with `hw` those that this hardware has.

    Raises ConfigError for an unknown block, or for one that the hardware does not have.
    """
    if block is not None and block not in BLOCKS:
        raise ConfigError("unknown block", where="block", got=block, expected=" or ".join(BLOCKS))
    every = BLOCKS.values() if block is None else (BLOCKS[block],)
    chosen = [unit for group in every for unit in group]
    found = tuple(unit for unit in chosen if hw is None or unit.is_built(hw))
    if not found and hw is not None:
        key = str(chosen[0].key)
        raise ConfigError(f"hardware without a block {block}", where=f"hw.{key}", got=getattr(hw, key) or "none",
                          expected=chosen[0].wanted)
    return found
