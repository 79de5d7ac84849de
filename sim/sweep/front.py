"""Pareto fronts: of some points those that no other is better than in one objective without being worse in another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def front(points: Sequence[Sequence[float]]) -> list[int]:
    """Places of the points on the front, ascending; objectives are costs: less is better. Equal points are all on it.

    In lexicographic order no point is better than an earlier one, so that each is held against the front so far alone.
    """
    if not points:
        return []
    costs = np.array(points, np.float64)
    order = np.lexsort(costs.T[::-1])
    found: list[int] = []
    kept = np.empty_like(costs)
    for place in order:
        others = kept[: len(found)]
        if not ((others <= costs[place]).all(1) & (others < costs[place]).any(1)).any():
            kept[len(found)] = costs[place]
            found.append(int(place))
    return sorted(found)
