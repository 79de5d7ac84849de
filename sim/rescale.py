"""Cycles and events of the rescale unit: one elastic pipeline of `params.latency` registers with one enable."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.pipeline import Pattern, Timing, always, run
from stamp_hw.params import RescaleParams

MULTIPLIES_PER_LANE = 3  # span·Q, lo·wsum, T'·mant


@dataclass(frozen=True, slots=True, kw_only=True)
class RescaleEvents:
    """Counts of one stream of beats; the fields are those of the unit's `events` port.

    `multiplies` products formed, `outputs` words delivered, `saturated` words that were clipped.
    """

    multiplies: int
    outputs: int
    saturated: int


def cycles(params: RescaleParams, beats: int) -> int:
    """Cycles from the first input beat up to and including the last output beat, when neither side stalls."""
    return beats + params.latency if beats else 0


def timing(params: RescaleParams, beats: int, valid: Pattern = always, ready: Pattern = always) -> Timing:
    """Cycle in which each of `beats` input beats and of the equally many output beats is taken, under stalls."""
    every = np.ones(beats, np.bool_)
    return run(every, every, params.latency, valid, ready)


def events(params: RescaleParams, beats: int, saturated: int = 0) -> RescaleEvents:
    """Counts of `beats` delivered beats; `saturated` is a property of the data and is handed through."""
    words = beats * params.lanes
    return RescaleEvents(multiplies=MULTIPLIES_PER_LANE * words, outputs=words, saturated=saturated)
