"""Outlier tokens: which tokens of a layer's input are kept out of the transform, and where they go (contract §3.1).

Language models give a few tokens, mostly the first, many times the magnitude of the others in some layers ("massive
activations", arXiv 2402.17762). A sequence transform would spread such a token over every coefficient that it takes
part in, and it would take the range of the input from all others. So it travels in front of the sequence, at 8 bits and
with a scale of its own, and its place in the sequence is filled by a token like the others: the sequence keeps its
length. What comes out at a filled place is no token's result.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from stamp_hw.positions import most_outliers

#: A token whose absmax is beyond so many times the median token's is an outlier. Chosen: ordinary tokens of the models
#: at hand stay below, and the sinks of the literature are at 100 and more.
RATIO = 8.0


class Places(NamedTuple):
    """`order` int64[n + S]: the token whose values each token on the wire has, the n outliers first, then the filled
    sequence; `rows` int64[S]: where on the wire each token's own result is."""

    order: np.ndarray
    rows: np.ndarray


def threshold(absmax: np.ndarray) -> float:
    """The absmax beyond which a token is an outlier: `RATIO` times the median of float[tokens], zeros aside."""
    positive = absmax[absmax > 0]
    return RATIO * float(np.median(positive)) if len(positive) else float("inf")


def loud(absmax: np.ndarray, above: float) -> tuple[int, ...]:
    """Positions of the tokens of a sequence whose absmax, float[S], is beyond `above`."""
    return tuple(map(int, np.flatnonzero(absmax > above)))


def find(absmax: np.ndarray, above: float) -> tuple[int, ...]:
    """The outliers of a sequence: the first token, which in a language model is a sink whether it is loud in this layer
    or not, and those that are loud, of too many the largest. A single token is one where it is loud."""
    found = loud(absmax, above)
    if len(absmax) == 1:
        return found
    largest = sorted({*found} - {0}, key=lambda token: (-absmax[token], token))[: most_outliers(len(absmax)) - 1]
    return tuple(sorted([0, *largest]))


@lru_cache(maxsize=256)
def places(tokens: int, outliers: tuple[int, ...]) -> Places:
    """Where the tokens of a sequence go.

    The place of an outlier is filled by the token that the first level of the transform pairs it with, or, where that
    is an outlier or not there, by the nearest ordinary token, of two the earlier. Where all tokens are outliers each
    stays in its place as well.
    """
    filled = np.arange(tokens)
    ordinary = np.setdiff1d(filled, outliers)
    for one in outliers:
        partner = one ^ 1
        if partner < tokens and partner not in outliers:
            filled[one] = partner
        elif len(ordinary):
            filled[one] = ordinary[np.argmin(np.abs(ordinary - one))]
    rows = np.arange(tokens) + len(outliers)
    rows[list(outliers)] = np.arange(len(outliers))
    order = np.concatenate([np.array(outliers, np.int64), filled])
    for shared in (order, rows):  # remembered, so nobody may write to them
        shared.flags.writeable = False
    return Places(order, rows)
