"""Every output stream keeps its beat on offer, unchanged, until it is taken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from amaranth.hdl import Module, Value
from amaranth.lib import wiring

from rtl_gen.engine.top import Engine
from rtl_gen.haar.finish import Finish
from rtl_gen.haar.forward import Haar
from rtl_gen.haar.inverse import HaarInverse
from rtl_gen.rescale import Rescale
from rtl_gen.scale.unit import Scale
from stamp_hw.config import HwConfig
from stamp_hw.engine.params import EngineParams
from stamp_hw.params import FinishParams, HaarParams, RescaleParams, ScaleParams
from tb.faults.haar import _always_moves
from tb.formal import Property
from tb.formal.checker import Checker
from tb.formal.solver import TOP
from tb.run.fault import Fault


class Holds(Checker):
    """A waiting beat of `o` stays as it is."""

    def check(self, m: Module) -> None:
        self.must(m, self.stalls(m, self.unit.o, "o"))


def _holds(block: str, build: Callable[[Any], wiring.Component], params: Any, small: Any, seam: str,
           moves: Callable[[Value, Value], Value] = _always_moves, *, cover: int, seconds: float,
           free: tuple[str, ...] = ()) -> Property:
    bug = Fault(name="ignore_ready", block=block, why="the output moves on while its beat waits", patch=(seam, moves))
    return Property(name=f"{block}_holds", block=block, says="a beat on offer stays, unchanged, until it is taken",
                    build=lambda params: Holds(build(params)), params=params, small=small, free=free, depth=2,
                    cover=cover, bug=bug, bug_depth=cover, seconds=seconds)


HW = HwConfig()
TINY = HwConfig(rows=1, cols=1, lanes=1, axes=1, max_levels=1, max_k=2, max_tokens=4, act_slots=4, rescale_lanes=1,
                in_width=8, acc_width=17, recip_frac=0, mul_stages=1)
#: The engine's stages in front of its last one: the output holds whatever they do.
BEFORE_THE_OUTPUT = tuple(f"{TOP}_unit_{stage}" for stage in (
    "front", "rows", "acts", "loader", "weights", "issue", "mac", "scales", "drain"))
PROPERTIES = (
    _holds("haar", Haar, HaarParams.forward(HW), HaarParams.forward(TINY), "rtl_gen.haar.common.can_move", cover=15,
           seconds=10),
    _holds("haar_inverse", HaarInverse, HaarParams.inverse(HW), HaarParams.inverse(TINY),
           "rtl_gen.haar.common.can_move", cover=15, seconds=6),
    _holds("haar_finish", Finish, FinishParams.of(HW), FinishParams.of(HW), "rtl_gen.haar.finish.can_move", cover=5,
           seconds=2),
    _holds("scale", Scale, ScaleParams.of(HW), ScaleParams.of(TINY), "rtl_gen.scale.unit.can_move", cover=40,
           seconds=10),
    _holds("rescale", Rescale, RescaleParams.of(HW), RescaleParams.of(TINY), "rtl_gen.rescale.can_move", cover=20,
           seconds=40),
    _holds("engine", Engine, EngineParams.of(HW), EngineParams.of(TINY), "rtl_gen.haar.finish.can_move", cover=20,
           seconds=30, free=BEFORE_THE_OUTPUT),
)
