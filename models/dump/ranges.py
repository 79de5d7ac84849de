"""What runs of a model say of a layer's range: static scales, and which tokens are outliers (docs/traces.md)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from stamp_hw import outliers
from stamp_hw.errors import TraceError, brief
from stamp_hw.positions import Which, ascend_within, most_outliers

_FIRST = 8  # runs that there is room for from the beginning


@dataclass(frozen=True, slots=True)
class Ranges:
    """`x` the largest magnitude of an input token that is no outlier, `y` of the output; `threshold` the absmax beyond
    which a token is one, None where nobody looked."""

    x: float
    y: float
    threshold: float | None = None


def check(which: Which, tokens: int, where: str = "--outliers") -> None:
    """Raise TraceError for positions that are no tokens of a sequence, or too many of them."""
    if isinstance(which, str):
        return
    if not ascend_within(which, tokens):
        raise TraceError("outliers are no tokens", where=where, got=brief(", ".join(map(str, which))),
                         expected=f"ascending positions in 0…{tokens - 1}")
    if len(which) > most_outliers(tokens):
        raise TraceError("too many outliers", where=where, got=len(which),
                         expected=f"at most {most_outliers(tokens)} of {tokens} tokens")


class Look:
    """Absmax of every token of the runs of a layer, one array that grows: a small one kept for each run would stand in
    the way of the memory that the runs free, a gigabyte of it in a model of 211 layers."""

    def __init__(self) -> None:
        self._rows = np.empty((0, 0), np.float32)
        self._count = 0

    def add(self, absmax: np.ndarray) -> None:
        """Rows float32[runs, tokens], as many tokens as ever."""
        needed = self._count + len(absmax)
        if needed > len(self._rows):
            grown = np.empty((max(_FIRST, 2 * needed), absmax.shape[1]), np.float32)
            if self._count:
                grown[: self._count] = self._rows[: self._count]
            self._rows = grown
        self._rows[self._count : needed] = absmax
        self._count = needed

    @property
    def rows(self) -> np.ndarray:
        """float32[runs, tokens]."""
        return self._rows[: self._count]


def threshold_of(runs: Iterable[np.ndarray], which: Which) -> float | None:
    """The threshold over the absmax of every token of every run, float32[tokens] each; None unless `which` is auto."""
    if which != "auto":
        return None
    above = outliers.threshold(np.concatenate(list(runs)))
    return above if np.isfinite(above) else None


def outliers_of_run(absmax: np.ndarray, which: Which, above: float | None) -> tuple[int, ...]:
    """The outliers of one run of a layer."""
    if which == "auto":
        return outliers.find(absmax.astype(np.float64), np.inf if above is None else above)
    return () if which == "off" else which


def largest(runs: Iterable[np.ndarray], which: Which, above: float | None) -> float:
    """The largest absmax of a token that is no outlier of its run; 0 where all are."""
    return max(float(np.delete(run, list(outliers_of_run(run, which, above))).max(initial=0.0)) for run in runs)
