"""Prices that follow the values: what a unit takes above rest a beat, of bits that change (`stamp_hw.engine.changes`).

    pJ a beat = base + Σ price of a measure · the measure,    no price below zero

fitted on made layers alone, as parts of what the unit took. And the errors of both prices, mean and following, on
layers that no price has seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

BASE = "base"  # pJ of a beat without a bit that changes


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A run of gates: `pj` above rest, in `beats` beats with these `measures`; `rest_pj` of its cycles; `mean_pj` above
    rest that the mean prices of its events come to."""

    pj: float
    rest_pj: float
    mean_pj: float
    beats: int
    measures: Mapping[str, float]

    @property
    def total_pj(self) -> float:
        return self.rest_pj + self.pj


@dataclass(frozen=True, slots=True, kw_only=True)
class Error:
    """Of what is charged for `run` over what its gates took, less one: by the `mean` prices and by the `following`
    ones; `total_pj` of the gates."""

    run: str
    total_pj: float
    mean: float
    following: float


def fit(samples: Sequence[Sample]) -> dict[str, float]:
    """Measure → pJ of one of it, and `BASE`: least squares of the relative errors of the totals. A measure whose price
    would be below zero is left out, the worst one first."""
    names = [BASE, *samples[0].measures]
    table = np.array([[1.0, *(sample.measures[name] for name in names[1:])] for sample in samples])
    weights = np.array([sample.beats / sample.total_pj for sample in samples])
    wanted = np.array([sample.pj / sample.beats for sample in samples])
    while names:
        scale = np.abs(table).max(axis=0) + (np.abs(table).max(axis=0) == 0)
        found = np.linalg.lstsq(table / scale * weights[:, None], wanted * weights, rcond=1e-9)[0]
        worst = int(np.argmin(found))
        if found[worst] >= 0:
            return {name: float(price) for name, price in zip(names, found / scale, strict=True) if price > 0}
        names.pop(worst)
        table = np.delete(table, worst, axis=1)
    return {}


def charged(prices: Mapping[str, float], beats: int, measures: Mapping[str, float]) -> float:
    """pJ above rest of so many beats."""
    return beats * (prices.get(BASE, 0.0) + sum(prices.get(name, 0.0) * value for name, value in measures.items()))


def error(run: str, samples: Sequence[Sample], prices: Mapping[str, float]) -> Error:
    """Of a run, which may have several kinds of beats."""
    total = sum(sample.total_pj for sample in samples)
    rest = sum(sample.rest_pj for sample in samples)
    mean = sum(sample.mean_pj for sample in samples)
    following = sum(charged(prices, sample.beats, sample.measures) for sample in samples)
    return Error(run=run, total_pj=total, mean=(rest + mean) / total - 1, following=(rest + following) / total - 1)
