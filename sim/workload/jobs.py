"""From operations to jobs of the engine: shapes and registers, as a host would hand them over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from sim.task import Shape
from sim.workload.ops import Attention, Linear, Product, Workload
from stamp_hw import schemes
from stamp_hw.config import JobConfig, NpuConfig, ResolvedJob
from stamp_hw.engine import super_tile
from stamp_hw.engine.job import COLUMNS_WIDTH
from stamp_hw.errors import ConfigError, StampError

#: The job of an attention product: every token of 8 bits, a scale a token, no transform of either axis.
_PLAIN: dict[str, Any] = {"levels": 0, "n_hi": "1/1", "group": None, "weight_group": None, "hadamard": "off",
                          "outliers": "off"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """So many `times` the same job: its shape, the configuration that it runs under, and tokens of a super-tile at
    most, which are those of the configuration's own job for every scheme (`stamp_hw.engine.super_tile`)."""

    shape: Shape
    config: NpuConfig
    limit: int
    times: int


def check_inputs(workload: Workload, config: NpuConfig) -> None:
    """Raise ConfigError where a linear layer has more inputs than the hardware takes: of the one that has most, with
    the `hw.max_k` that takes all."""
    linear = [op for phase in workload.phases for op in phase.ops if isinstance(op, Linear)]
    widest = max(linear, key=lambda op: op.k, default=None)
    if widest is not None and widest.k > config.hw.max_k:
        block = config.hw.hadamard or 1
        enough = -(-widest.k // block) * block
        raise ConfigError("impossible value", where=f"{widest.name}: job.k", got=widest.k,
                          expected=f"at most hw.max_k = {config.hw.max_k}; {workload.name} takes --hw max_k={enough}")


def of_linear(op: Linear, batch: int, scheme: str, config: NpuConfig) -> Iterator[Job]:
    """The jobs of one step of linear layers. Raises StampError for a job beyond the hardware, naming the operation."""
    for own, n in _merged(op, config):
        own = _given(op, own)
        under = schemes.configure(scheme if op.activation_bits is None else f"a{op.activation_bits}", own)
        sinks = len(own.job.outliers_of((), op.tokens)) if op.transform and op.grid is None and op.tokens > 1 else 0
        for part, channels in _parts(n, (2**COLUMNS_WIDTH - 1) * config.hw.cols):
            shape = Shape(name=op.name, tokens=op.tokens, k=op.k, n=part, grid=op.grid, n_sink=sinks,
                          transform=op.transform)
            limit = super_tile.token_limit(_resolved(shape, own), own.hw)
            for job in _beside(shape, batch, under, limit):
                yield replace(job, times=job.times * channels * op.repeat)


def of_attention(op: Attention, step: int, batch: int, config: NpuConfig) -> Iterator[Job]:
    """The jobs of a step's two products, the number of the step given: of each block of queries and head of keys."""
    own = _plain(config, op.kv_bits)
    share, times = op.heads // op.kv_heads, op.kv_heads * batch * op.repeat
    for queries, seen in op.queries():
        keys = seen + op.grow * step
        for rows, blocks in _parts(queries * share, config.hw.max_tokens):
            yield _plain_job(op.name, rows, op.head_dim, keys, own, times * blocks)
            for k, chunks in _parts(keys, config.hw.max_k):
                yield _plain_job(op.name, rows, k, op.head_dim, own, times * blocks * chunks)


def of_product(op: Product, batch: int, config: NpuConfig) -> Iterator[Job]:
    """The jobs of a step of other products of activations."""
    own = _plain(config, op.kv_bits)
    for rows, blocks in _parts(op.tokens, config.hw.max_tokens):
        for k, chunks in _parts(op.k, config.hw.max_k):
            yield _plain_job(op.name, rows, k, op.n, own, blocks * chunks * op.heads * batch * op.repeat)


def _plain_job(name: str, tokens: int, k: int, n: int, config: NpuConfig, times: int) -> Job:
    shape = Shape(name=name, tokens=tokens, k=k, n=n, transform=False)
    return Job(shape=shape, config=config, limit=super_tile.token_limit(_resolved(shape, config), config.hw),
               times=times)


def _plain(config: NpuConfig, bits: int) -> NpuConfig:
    return replace(config, job=replace(config.job, weight_bits=bits, **_PLAIN), kinds=())


def _parts(size: int, most: int) -> Iterator[tuple[int, int]]:
    """`size` in parts of at most `most`: (size of a part, how many of it)."""
    whole, rest = divmod(size, most)
    if whole:
        yield most, whole
    if rest:
        yield rest, 1


def _merged(op: Linear, config: NpuConfig) -> Iterator[tuple[NpuConfig, int]]:
    """(configuration, output channels) of each job: neighbours of one input whose jobs are the same are one."""
    jobs: list[tuple[JobConfig, int]] = []
    for kind, n in op.outputs:
        job = config.for_kind(kind).job
        if op.shared_input and jobs and jobs[-1][0] == job:
            jobs[-1] = job, jobs[-1][1] + n
        else:
            jobs.append((job, n))
    for job, n in jobs:
        yield replace(config, job=job, kinds=()), n


def _given(op: Linear, config: NpuConfig) -> NpuConfig:
    """The configuration with what an operation says of its weights, and no groups of those that have none."""
    if op.weight_bits in (None, config.job.weight_bits):
        return config
    assert op.weight_bits is not None
    return config.with_job(weight_bits=op.weight_bits, weight_group=None)


def _beside(shape: Shape, batch: int, config: NpuConfig, limit: int) -> Iterator[Job]:
    """`batch` sequences or grids as one job each, or side by side in one where that is the same to every token.

    Haar tiles do not overlap, so that sequences of whole tiles side by side are lifted each by itself; and where the
    8-bit tokens of each are just its low pass, those of all are the low pass of all. Without levels any order will do.
    """
    job = _resolved(shape, config)
    at_once = min(batch, config.hw.max_tokens // shape.tokens) if _stands_beside(shape, job) else 1
    for together, times in _parts(batch, at_once):
        wide, own = shape, config
        if together > 1:
            grid = None if shape.grid is None else (shape.grid[0] * together, shape.grid[1])
            wide = replace(shape, tokens=shape.tokens * together, grid=grid)
            own = config.with_job(levels=job.levels, n_hi=job.n_hi * together)
        yield Job(shape=wide, config=own, limit=limit, times=times)


def _resolved(shape: Shape, config: NpuConfig) -> ResolvedJob:
    """The registers of a shape. Raises StampError naming the operation too."""
    try:
        return config.resolve(shape.tokens, shape.grid, n_sink=shape.n_sink, k=shape.k, transform=shape.transform)
    except StampError as error:
        raise type(error)(error.what, where=f"{shape.name}: {error.where}", got=error.got,
                          expected=error.expected) from None


def _stands_beside(shape: Shape, job: ResolvedJob) -> bool:
    """Whether sequences of this job may share one; outliers stand in front of a sequence each."""
    if shape.n_sink:
        return False
    if job.levels == 0:
        return True
    side = 1 << job.levels
    length, across = (shape.tokens, 1) if shape.grid is None else (shape.grid[0], -(-shape.grid[1] // side))
    return length % side == 0 and job.n_hi == length // side * across
