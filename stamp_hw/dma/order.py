"""The order table: a word of 32 bits a place of the stream `i`, in its order.

    bits 15…0   token, the row of the input tensor that goes there, and of the results that come from there
    bits 19…16  e, the exponent of an outlier (docs/contract.md §3.1)
    bit 30      the place is filled, or nobody wants what comes out: nothing is written
    bit 31      the super-tile ends

So Haar tiles, Morton order, outliers and filled places are the table's business, and no hardware knows of them. The
writer goes through a super-tile's places once a column tile.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stamp_hw import outliers as outlier_tokens
from stamp_hw.engine.job import EngineJob
from stamp_hw.engine.params import EngineParams
from stamp_hw.engine.streams import token_order

ENTRY_BYTES = 4
TOKEN_BITS, EXPONENT_AT, EXPONENT_BITS = 16, 16, 4
SUPPRESS, ENDS = 1 << 30, 1 << 31


def order_table(params: EngineParams, job: EngineJob, outliers: Sequence[int], exponents: Sequence[int]) -> np.ndarray:
    """uint32[places] of a job.

    Parameters
    ----------
    outliers : positions of the tokens that travel in front; empty where the job's `n_sink` first rows are tokens of
        their own
    exponents : e of each of those in front
    """
    tokens = job.width * job.height
    source, wanted = np.arange(job.n_sink + tokens), np.ones(job.n_sink + tokens, np.bool_)
    if outliers:
        places = outlier_tokens.places(tokens, tuple(outliers))
        source = places.order
        wanted = np.isin(np.arange(len(source)), places.rows)
    words = source.astype(np.uint32)
    words[: job.n_sink] |= np.array(exponents, np.uint32) << EXPONENT_AT
    words[~wanted] |= np.uint32(SUPPRESS)
    table = []
    for part in token_order(params, job):
        one = words[part]
        one[-1] |= np.uint32(ENDS)
        table.append(one)
    return np.concatenate(table)


def tokens_of(table: np.ndarray) -> np.ndarray:
    """int64[places]: the token of each place."""
    return (table & ((1 << TOKEN_BITS) - 1)).astype(np.int64)


def super_tiles(table: np.ndarray) -> list[np.ndarray]:
    """The table cut behind each place that ends a super-tile."""
    return [part for part in np.split(table, np.flatnonzero(table & ENDS) + 1) if len(part)]
