"""Totals of the engine's events: saturated words of units that the hardware has."""

from __future__ import annotations

from dataclasses import replace

from sim.engine.events import events
from stamp_hw.config import HwConfig
from stamp_hw.engine.params import EngineParams


def test_words_of_a_hadamard_unit_count_where_there_is_one() -> None:
    plain = EngineParams.of(HwConfig())
    saturated = {"rescale": 1, "finish": 2, "hadamard": 0}
    assert events(plain, [], saturated) == {"rescale_saturated": 1, "finish_saturated": 2}
    assert events(replace(plain, hadamard=64), [], saturated) == {f"{unit}_saturated": count
                                                                  for unit, count in saturated.items()}
