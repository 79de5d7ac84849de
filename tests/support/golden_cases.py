"""Cases that the tests of the golden model share: this run's seed, and tensors that hypothesis draws and shrinks.

The seed is fresh in every run unless the environment sets STAMP_SEED. Values are drawn as bytes, so that a whole tensor
is one draw.
"""

from __future__ import annotations

import functools
import os
import secrets
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from stamp_hw.config import NpuConfig
from tests.support.compared import CASES, compared

SEED = int(os.environ.get("STAMP_SEED") or secrets.randbits(31))
EXTREMES = np.array([-32768, 32767, -32767, -1, 0, 1, 255, -256])
LENGTHS = st.one_of(st.sampled_from([1, 2, 3, 5, 7, 13, 31, 32, 33, 37]), st.integers(1, 40))
GRIDS = st.one_of(st.tuples(st.just(1), st.integers(1, 20)), st.tuples(st.integers(1, 20), st.just(1)),
                  st.tuples(st.integers(1, 7), st.integers(1, 7)))
MODES = st.sampled_from(["minmax", "symmetric"])
Grid = tuple[int, int] | None


@pytest.fixture(autouse=True)
def reproduce(request: pytest.FixtureRequest) -> None:
    """Shows with a failure the command that repeats it."""
    command = f"STAMP_SEED={SEED} pytest '{request.node.nodeid}'"
    request.node.add_report_section("setup", "to reproduce", command)


def cases(count: int, kind: str = CASES, **strategies: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """`count` hypothesis examples of `strategies` from this run's seed, without a database of earlier runs, for a test
    that compares each with the scalar reference: they are counted as `kind`."""
    fixed = settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck))

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def counted(*args: Any, **drawn: Any) -> None:
            test(*args, **drawn)
            compared(kind)
        return seed(SEED)(fixed(given(**strategies)(counted)))
    return decorate


def npu(mode: str, group: int | None = None, axes: int = 2, **job: Any) -> NpuConfig:
    """The default array with a scale mode and other job registers; a beat of one channel, so that any group is a block
    that it may have."""
    return NpuConfig().with_hw(axes=axes, lanes=1, block=group).with_job(scale_mode=mode, group=group, **job)


@st.composite
def tensors(draw: st.DrawFn, rows: int, columns: int, bound: int = 32768) -> np.ndarray:
    """int64[rows, columns] in [−bound, bound): uniform, corner values only, near zero, constant rows, or sparse."""
    size = 4 * rows * columns
    raw = np.frombuffer(draw(st.binary(min_size=size, max_size=size)), dtype="<i4").reshape(rows, columns)
    raw = raw.astype(np.int64)
    uniform = raw % (2 * bound) - bound
    style = draw(st.sampled_from(["uniform", "corners", "small", "flat", "sparse"]))
    if style == "corners":
        return np.clip(EXTREMES * bound // 32768, -bound, bound - 1)[raw % len(EXTREMES)]
    if style == "small":
        return raw % 7 - 3
    if style == "flat":
        return np.repeat(uniform[:, :1], columns, axis=1)
    return np.where(raw % 5 == 0, uniform, 0) if style == "sparse" else uniform


@st.composite
def token_tensors(draw: st.DrawFn, bound: int = 32768) -> tuple[np.ndarray, Grid]:
    """(x int64[S, K], grid): a sequence or a grid of any shape, at most 4 channels."""
    grid = draw(st.none() | GRIDS)
    tokens = draw(LENGTHS) if grid is None else grid[0] * grid[1]
    return draw(tensors(tokens, draw(st.integers(1, 4)), bound)), grid
