"""How busy the array is, and what the transform costs: `stamp-hw throughput` (`make throughput`).

Cycles come from `sim.engine.closed_form`, which the RTL regression holds equal to the generated Verilog. The external
memory is taken as fast enough, because the question is what the engine itself loses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sim.engine import closed_form
from sim.engine.closed_form import EngineCycles
from sim.task import Shape, Task
from stamp_hw.config import HwConfig, JobConfig, NpuConfig
from stamp_hw.params import ScaleParams

FAST = 1e15  # bytes per second


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A layer on an array: `rows` × `cols`, `lanes`, `tokens` × `k` → `n`, `levels`, tokens at 8 bits (None: one in
    32)."""

    rows: int
    cols: int
    lanes: int
    tokens: int
    k: int
    n: int
    levels: int
    n_hi: int | None = None

    @property
    def hw(self) -> HwConfig:
        """The default's row slots, or 16 array tiles and the low-pass rows of 2R Haar tiles."""
        return HwConfig(rows=self.rows, cols=self.cols, lanes=self.lanes, axes=1, max_k=16384, max_tokens=65536,
                        act_slots=max(HwConfig().act_slots, 33 * self.rows), dram_bytes_per_s=FAST)

    @property
    def steady(self) -> bool:
        """Whether it has the shape for which the array is to be full: 2R | M, C | N, K ≥ 1024, and the array is no
        faster with 2R tokens of 4 bits, K · N / C cycles, than they come, max(⌈K / lanes⌉, `recip_width`) cycles each.
        """
        comes = max(-(-self.k // self.lanes), ScaleParams.of(self.hw).recip_width)
        return (self.tokens % (2 * self.rows) == 0 and self.n % self.cols == 0 and self.k >= 1024
                and self.k * (self.n // self.cols) >= 2 * self.rows * comes)

    def cycles(self) -> EngineCycles:
        """By the closed form."""
        job = JobConfig(levels=self.levels, n_hi="auto" if self.n_hi is None else self.n_hi)
        shape = Shape(name="point", tokens=self.tokens, k=self.k, n=self.n)
        hw = self.hw
        return closed_form.simulate(Task.of(shape, NpuConfig(hw=hw, job=job)), hw)


def points() -> Iterator[tuple[str, Point]]:
    """What the table shows: an 8-bit, a 4-bit and a mixed layer on four arrays, and the smallest legal output."""
    for size in (4, 8, 16, 32):
        layer = {"rows": size, "cols": size, "lanes": 2 * size, "tokens": 1024, "k": 2048, "n": 32 * size}
        yield f"{size} x {size}, 8 bits", Point(**layer, levels=0, n_hi=1024)
        yield f"{size} x {size}, 4 bits", Point(**layer, levels=0, n_hi=0)
        yield f"{size} x {size}, STaMP", Point(**layer, levels=5)
        yield f"{size} x {size}, one column tile", Point(**layer | {"n": size}, levels=5)
    yield "transform's share", Point(rows=32, cols=32, lanes=64, tokens=2048, k=4096, n=4096, levels=5)


def share(cycles: EngineCycles) -> float:
    """Cycles in which the array waits for activations, over all."""
    return cycles.wait_activations / cycles.total
