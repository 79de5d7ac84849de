"""The engine under proof: some of its stages as they are, the others taken as doing anything."""

from __future__ import annotations

from rtl_gen.engine.top import Engine
from stamp_hw.config import HwConfig
from stamp_hw.engine.params import EngineParams
from tb.formal.checker import Checker
from tb.formal.solver import TOP
from tb.formal.streams import TINY

DEFAULT, SMALL = EngineParams.of(HwConfig()), EngineParams.of(TINY)
STAGES = ("front", "rows", "acts", "loader", "weights", "issue", "mac", "scales", "drain", "back")


def all_but(*kept: str) -> tuple[str, ...]:
    """Modules of the stages that are not `kept`."""
    return tuple(f"{TOP}_unit_{stage}" for stage in STAGES if stage not in kept)


class OfEngine(Checker):
    """Checker of something inside the engine, in the wiring that it has there."""

    def __init__(self, params: EngineParams) -> None:
        self.params = params
        super().__init__(Engine(params))
