"""Layers of a chain: those of a trace, of a model, or of shapes as they are written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from sim.dma.shapes import Linear
from sim.task import Shape
from sim.workload import ops
from sim.workload.ops import Workload
from stamp_hw import schemes
from stamp_hw.config import NpuConfig
from stamp_hw.formats.trace import Trace


def of_trace(trace: Trace, config: NpuConfig, names: Sequence[str]) -> list[Linear]:
    """Layers of a trace, in their order, each under the job of its kind."""
    found = []
    for name in names:
        layer = trace.layer(name)
        own = replace(config.for_kind(trace.entry(name).kind), kinds=())
        shape = Shape.of(layer, own)
        outliers = tuple(own.job.outliers_of(layer.outliers, len(layer.x))) if shape.n_sink else ()
        found.append(Linear(shape=shape, config=own, outliers=outliers))
    return found


def of_shapes(shapes: Sequence[Shape], config: NpuConfig) -> list[Linear]:
    """Layers of given shapes, which are of no kind; outliers are their first tokens."""
    own = replace(config, kinds=())
    return [Linear(shape=shape, config=own, outliers=tuple(range(shape.n_sink))) for shape in shapes]


def of_workload(workload: Workload, config: NpuConfig) -> list[Linear]:
    """The linear layers of one sequence in the first phase of a model, block by block, each output a layer of its own:
    that of a chain reads what is in the memory, and nothing is merged there."""
    linears = [op for op in workload.phases[0].ops if isinstance(op, ops.Linear)]
    found: list[Linear] = []
    for repeat, group in groupby(linears, key=lambda op: op.repeat):
        block = [layer for op in group for layer in _outputs(op, config)]
        found += block * repeat
    return found


def _outputs(op: ops.Linear, config: NpuConfig) -> Iterator[Linear]:
    for kind, n in op.outputs:
        own = replace(config.for_kind(kind), kinds=())
        if op.weight_bits not in (None, own.job.weight_bits):
            own = own.with_job(weight_bits=op.weight_bits, weight_group=None)
        if op.activation_bits is not None:
            own = schemes.configure(f"a{op.activation_bits}", own)
        sinks = len(own.job.outliers_of((), op.tokens)) if op.transform and op.grid is None and op.tokens > 1 else 0
        shape = Shape(name=kind, tokens=op.tokens, k=op.k, n=n, grid=op.grid, n_sink=sinks, transform=op.transform)
        yield Linear(shape=shape, config=own, outliers=tuple(range(sinks)))
