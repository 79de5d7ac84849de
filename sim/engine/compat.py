"""The array counted as SCALE-Sim counts it, to compare with that simulator (`stamp-hw simulate --mode scalesim`).

SCALE-Sim (A. Samajdar et al., ISPASS 2020) cuts a product [m, k] x [k, n] into folds, each as much as the array of
`rows` x `cols` PEs holds at once, and counts the array alone: no lifting, no weights on their way, no memory that is
late, and no overlap, so that a fold's first operands enter when the last PE of the fold before has made its last
product. Every fold takes the whole array's skew, also where it fills a part of it. Operands are 8-bit ones, a row each.

| dataflow | stays in the PEs | folds | cycles of a fold |
|---|---|---|---|
| `os` | outputs | ceil(m / rows) * ceil(n / cols) | k + rows + cols - 2 |
| `ws` | weights | ceil(k / rows) * ceil(n / cols) | rows + m + rows + cols - 2 |
| `is` | inputs | ceil(k / rows) * ceil(m / cols) | rows + n + rows + cols - 2 |

A stationary operand enters in `rows` cycles before the others stream. The forms are those that the totals of SCALE-Sim
3.0.0 follow in every run of `tests/reference/scalesim.json`; `make peers` runs it again. Of `os` the tile loop is the
engine's own (`sim.engine.array.issue`): what differs is the distance of two tiles, their steps and the skew in place of
the steps or the drain alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """`folds` of the array, `fold_cycles` each; `macs` useful products; `pes` of the array."""

    folds: int
    fold_cycles: int
    macs: int
    pes: int

    @property
    def cycles(self) -> int:
        """Cycle of the last product, counted from 0: SCALE-Sim's `Total Cycles`."""
        return self.folds * self.fold_cycles - 1

    @property
    def utilization(self) -> float | None:
        """Products over what all PEs could have made in `cycles`: SCALE-Sim's `Overall Util %`; None in no cycle."""
        return self.macs / (self.cycles * self.pes) if self.cycles else None


def output_stationary(m: int, k: int, n: int, rows: int, cols: int) -> Count:
    """A product [m, k] x [k, n] whose outputs stay where they are summed."""
    return _count(m, n, k, m * k * n, rows, cols)


def weight_stationary(m: int, k: int, n: int, rows: int, cols: int) -> Count:
    """The same, `rows` x `cols` weights at a time in the PEs."""
    return _count(k, n, rows + m, m * k * n, rows, cols)


def input_stationary(m: int, k: int, n: int, rows: int, cols: int) -> Count:
    """The same, `rows` x `cols` inputs at a time in the PEs."""
    return _count(k, m, rows + n, m * k * n, rows, cols)


#: By the word that SCALE-Sim's configuration has for it.
DATAFLOWS: dict[str, Callable[[int, int, int, int, int], Count]] = {
    "os": output_stationary, "ws": weight_stationary, "is": input_stationary}


def _count(down: int, across: int, steps: int, macs: int, rows: int, cols: int) -> Count:
    """`down` x `across` values that stay, `steps` cycles in which a PE takes operands."""
    return Count(folds=-(-down // rows) * -(-across // cols), fold_cycles=steps + rows + cols - 2, macs=macs,
                 pes=rows * cols)
