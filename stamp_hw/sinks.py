"""Attention sinks: tokens whose norm is an outlier among the tokens of a layer's input.

Some language models give one token, mostly the first, hundreds of times the norm of the others in a few layers
("massive activations", arXiv 2402.17762). A sequence transform would spread such a token over every coefficient that it
takes part in, and it would take the INT16 range from all others. The hardware keeps leading tokens out of the transform
instead, with a scale of their own (docs/contract.md §3.1).
"""

from __future__ import annotations

import numpy as np

#: A token whose Euclidean norm is beyond so many times the median token's is an outlier. Chosen: the small Llama that
#: ships stays below 6 in every layer, and the sinks of the literature are at 100 and more.
OUTLIER_RATIO = 10.0
#: Only so many leading tokens are looked at for sinks: later outliers cannot be kept out of the transform.
MOST_SINKS = 16


def norm_ratios(x: np.ndarray) -> np.ndarray:
    """float64[S]: norm of each token of float[S, K] over the median of the norms that are not 0 (1 if all are)."""
    norms = np.sqrt(np.einsum("sk,sk->s", x, x, dtype=np.float64))
    positive = norms[norms > 0]
    return norms / np.median(positive) if len(positive) else np.ones(len(norms))


def outliers(x: np.ndarray, ratio: float = OUTLIER_RATIO) -> np.ndarray:
    """int64: positions of the tokens of float[S, K] whose norm is beyond `ratio` times the median's."""
    return np.flatnonzero(norm_ratios(x) > ratio)


def leading_sinks(x: np.ndarray, ratio: float = OUTLIER_RATIO) -> int:
    """n_sink that keeps the outliers among the first `MOST_SINKS` tokens of float[S, K] out of the transform.

    It is at most S − 1: a layer has a token behind its sinks.
    """
    found = outliers(x, ratio)
    found = found[found < min(MOST_SINKS, len(x) - 1)]
    return int(found[-1]) + 1 if len(found) else 0
