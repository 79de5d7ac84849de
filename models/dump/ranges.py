"""What runs of a model say of a layer's range: static scales, and which tokens are outliers (docs/traces.md)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from stamp_hw import outliers
from stamp_hw.errors import TraceError
from stamp_hw.positions import Which, most, right


@dataclass(frozen=True, slots=True)
class Ranges:
    """`x` the largest magnitude of an input token that is no outlier, `y` of the output; `threshold` the absmax beyond
    which a token is one, None where nobody looked."""

    x: float
    y: float
    threshold: float | None = None


def check(which: Which, tokens: int) -> None:
    """Raise TraceError for positions that are no tokens of a sequence, or too many of them."""
    if isinstance(which, str):
        return
    if not right(which, tokens):
        raise TraceError("outliers are no tokens", where="--outliers", got=", ".join(map(str, which)),
                         expected=f"ascending positions in 0…{tokens - 1}")
    if len(which) > most(tokens):
        raise TraceError("too many outliers", where="--outliers", got=len(which),
                         expected=f"at most {most(tokens)} of {tokens} tokens")


def threshold_of(runs: Iterable[np.ndarray], which: Which) -> float | None:
    """The threshold over the absmax of every token of every run, float32[tokens] each; None unless `which` is auto."""
    if which != "auto":
        return None
    above = outliers.threshold(np.concatenate(list(runs)))
    return above if np.isfinite(above) else None


def taken(absmax: np.ndarray, which: Which, above: float | None) -> tuple[int, ...]:
    """The outliers of one run of a layer."""
    if which == "auto":
        return () if above is None else outliers.find(absmax.astype(np.float64), above)
    return () if which == "off" else which


def largest(runs: Sequence[np.ndarray], which: Which, above: float | None) -> float:
    """The largest absmax of a token that is no outlier of its run; 0 where all are."""
    return max(float(np.delete(run, list(taken(run, which, above))).max(initial=0.0)) for run in runs)
