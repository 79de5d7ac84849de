"""The engine's array counted as other simulators count an output-stationary one, to compare with them.

SCALE-Sim (A. Samajdar et al., ISPASS 2020) counts the array alone: no lifting, no buffers, no weight loads, and no
overlap, so that a tile's first operands enter when the last PE of the tile before has made its last product. Tokens are
8-bit ones, a row each. The tile loop is the engine's own (`sim.engine.array.issue`): what differs is the distance of
two tiles, their steps and the skew of the operands across the array in place of the steps or the drain alone.
"""

from __future__ import annotations

from sim.engine.array import NEVER, issue


def output_stationary(m: int, k: int, n: int, rows: int, cols: int) -> int:
    """Cycle of the last product of a product [m, k] x [k, n] on `rows` x `cols` PEs, counted from 0."""
    skew = rows + cols - 2  # from a step's entry to its product in the last PE
    last = NEVER
    for _ in range(-(-n // cols)):
        last = issue(last, [0] * -(-m // rows), k, k + skew)
    return last + skew
