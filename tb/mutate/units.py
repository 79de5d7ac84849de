"""What is mutated: every unit on small hardware that has all of its logic, so that a run is quick and proofs end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from stamp_hw.config import HwConfig
from stamp_hw.dma.params import DmaParams
from stamp_hw.engine.params import EngineParams
from stamp_hw.hadamard_params import HadamardParams
from stamp_hw.params import (
    CombineParams,
    FinishParams,
    HaarParams,
    MacParams,
    RescaleParams,
    ScaleParams,
    block_acc_width,
)
from tb.mutate.proof import STEP_SECONDS


def everything(_module: str) -> bool:
    return True


def nothing(_module: str) -> bool:
    return False


_DATA = ("stamp_pe", "stamp_mac_row", "stamp_rescale_lane", "stamp_engine_back_send_finish",
         "stamp_engine_back_inverse", "stamp_engine_drain_rescale", "stamp_engine_front_haar",
         "stamp_engine_front_scale", "stamp_engine_front_hadamard", "stamp_engine_drain_combine",
         "stamp_combine_column")


def of_the_engine(module: str) -> bool:
    """The engine's own modules: the units inside are mutated where they are small and alone."""
    return not module.startswith((*_DATA, "stamp_engine_mac"))


def around_the_array(module: str) -> bool:
    """What carries the engine's data, and the stages before and behind those that the array's pace holds together."""
    return (module.startswith((*_DATA, "stamp_engine_acts", "stamp_engine_weights", "stamp_engine_scales",
                               "stamp_engine_spans", "stamp_engine_back_buffer"))
            or module in ("stamp_engine_front", "stamp_engine_back"))


def of_the_blocks(module: str) -> bool:
    """The engine's own stages that a scale a block, a Hadamard unit or packed weights make others."""
    return of_the_engine(module) and module.startswith(("stamp_engine_front", "stamp_engine_rows", "stamp_engine_issue",
                                                        "stamp_engine_drain", "stamp_engine_spans"))


def unpacking(module: str) -> bool:
    return module in ("stamp_engine_loader_unpack", "stamp_expand")


def rows_of_the_array(module: str) -> bool:
    """Multipliers and accumulators, whose sums a proof about what is around them can leave aside."""
    return module == "stamp_mac_row"


def of_the_edge(module: str) -> bool:
    return module.startswith("stamp_axi")


def of_the_dma(module: str) -> bool:
    """What the edge with a DMA has of its own: the other edge has the registers' logic, the counters and the time-out
    as well."""
    return module.startswith("stamp_dma") and not module.startswith(("stamp_dma_registers", "stamp_dma_counters",
                                                                     "stamp_dma_watchdog"))


def behind_the_edge(module: str) -> bool:
    return module == "stamp_engine"


def around_the_dma(module: str) -> bool:
    """The engine, what the other edge has as well, and the memories in which words, bursts and places wait."""
    return (module.startswith(("stamp_dma_registers", "stamp_dma_counters", "stamp_dma_inward_places"))
            or module.endswith(("_words", "_bursts")) or behind_the_edge(module))


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """Hardware of a block's bench: `count` mutants of the modules that `mutated` names.

    `rounds` are output words of the bench's random tests: a mutant that outlives one meets the next, with a new seed.
    `tests` are the bench's tests, None for all. `cut` names modules to cut out where a proof is about more than the
    changed one (`tb.mutate.proof`), `alarms` are queues whose alarm a property proves silent: module → property.
    A step of a proof may take `seconds` of processor time.
    """

    name: str
    block: str
    params: Any
    count: int
    mutated: Callable[[str], bool] = everything
    cut: Callable[[str], bool] = nothing
    rounds: tuple[int, ...] = (2_000, 30_000)
    tests: tuple[str, ...] | None = None
    alarms: Mapping[str, str] = field(default_factory=dict)
    seconds: int = STEP_SECONDS


UNITS = (
    Unit(name="hadamard", block="hadamard", count=45,
         params=HadamardParams(lanes=4, width=8, block=16, max_beats=9)),
    Unit(name="haar_forward", block="haar", count=50,
         params=HaarParams(lanes=2, width=9, axes=2, max_levels=4, max_beats=3, max_tokens=77)),
    Unit(name="haar_inverse", block="haar", count=50,
         params=HaarParams(lanes=2, width=13, axes=2, max_levels=4, max_beats=3, max_tokens=77, direction="inverse",
                           read_stages=2)),
    Unit(name="haar_finish", block="haar", count=20, params=FinishParams(lanes=2, width=26, z_frac=2)),
    Unit(name="scale", block="scale", count=50,
         params=ScaleParams(lanes=3, width=9, recip_frac=4, max_beats=5, mul_stages=2)),
    Unit(name="scale_blocks", block="scale", count=50,
         params=ScaleParams(lanes=2, width=9, recip_frac=1, max_beats=28, mul_stages=1, block_beats=5)),
    Unit(name="mac", block="mac", count=45, cut=rows_of_the_array,
         params=MacParams(rows=3, cols=4, lanes=2, mul_stages=2, max_k=15, acc_width=19)),
    Unit(name="block_mac", block="mac", count=45, cut=rows_of_the_array,
         params=MacParams(rows=2, cols=3, lanes=3, mul_stages=2, max_k=16, acc_width=block_acc_width(16), blocks=True)),
    Unit(name="split_mac", block="mac", count=45, cut=rows_of_the_array,
         params=MacParams(rows=3, cols=2, lanes=2, mul_stages=2, max_k=15, acc_width=19, multiplier="split")),
    Unit(name="combine", block="combine", count=40,
         params=CombineParams(cols=3, lanes=1, tokens=4, acc_width=17, width=9, total_width=28, mul_stages=2)),
    Unit(name="rescale", block="rescale", count=40,
         params=RescaleParams(lanes=2, acc_width=22, width=17, max_k=64, mul_stages=2)),
    Unit(name="engine", block="engine", count=60, mutated=of_the_engine, cut=around_the_array, rounds=(3_000, 30_000),
         alarms={"stamp_engine_front_sinks": "engine_sinks", "stamp_engine_front_tags": "engine_tags"},
         params=EngineParams.of(HwConfig(rows=2, cols=4, lanes=2, axes=2, max_levels=4, max_k=12, max_tokens=48,
                                         act_slots=20, rescale_lanes=2, in_width=9, acc_width=24, z_frac=2,
                                         mul_stages=1))),
    Unit(name="engine_blocks", block="engine", count=50, mutated=of_the_blocks, cut=around_the_array,
         rounds=(3_000, 30_000),
         params=EngineParams.of(HwConfig(rows=2, cols=3, lanes=2, axes=1, max_levels=3, max_k=32, max_tokens=40,
                                         act_slots=20, block=6, rescale_lanes=1, in_width=9, z_frac=2, mul_stages=1,
                                         hadamard=16, packed_weights=True))),
    Unit(name="engine_unpack", block="engine", count=30, mutated=unpacking, cut=around_the_array,
         rounds=(3_000, 30_000),
         tests=("jobs_in_a_row_equal_the_models", "jobs_under_stalls_equal_the_models",
                "weights_that_leave_int8_saturate_and_are_an_error"),
         params=EngineParams.of(HwConfig(rows=2, cols=2, lanes=2, axes=1, max_levels=2, max_k=140, max_tokens=24,
                                         act_slots=20, in_width=9, acc_width=24, z_frac=2, mul_stages=1,
                                         packed_weights=True))),
    Unit(name="axi", block="axi", count=40, mutated=of_the_edge, cut=behind_the_edge, rounds=(300, 3_000),
         params=EngineParams(rows=2, cols=2, lanes=2, axes=1, max_levels=3, max_k=12, max_tokens=40, act_slots=16,
                             rescale_lanes=2, in_width=10, acc_width=24, recip_frac=8, z_frac=4, mul_stages=1)),
    Unit(name="dma", block="dma", count=40, mutated=of_the_dma, cut=around_the_dma, rounds=(300, 3_000), seconds=20,
         params=DmaParams(bus_width=64, address_width=32, burst_words=4, fifo_words=8, engine=EngineParams(
             rows=2, cols=8, lanes=2, axes=1, max_levels=3, max_k=12, max_tokens=160, act_slots=16, rescale_lanes=2,
             in_width=16, acc_width=24, recip_frac=8, z_frac=4, mul_stages=1))),
)
