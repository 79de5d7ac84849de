"""Line and branch points that no stimulus can reach, each for a reason that was reviewed.

A waiver names the builds and the module it is for and the source line it means. It may cover nothing that was reached,
so that it cannot be wider than its reason, and must cover something that was not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tb.coverage.points import Point


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """`sets` are parameter sets of `block`; `what` is the point's; `source` is a regular expression for a part of the
    point's source line."""

    block: str
    sets: tuple[str, ...]
    module: str
    what: str
    source: str
    reason: str

    def covers(self, block: str, set_name: str, point: Point) -> bool:
        """Whether this waiver means that point."""
        return (point.kind in ("line", "branch") and block == self.block and set_name in self.sets
                and point.module == self.module and point.what == self.what
                and bool(re.search(self.source, point.source)))


def _waiver(block: str, sets: str, module: str, what: str, source: str, reason: str) -> Waiver:
    return Waiver(block=block, sets=tuple(sets.split()), module=module, what=what, source=source, reason=reason)


_SCALE = "lanes16 lanes4 lanes3 lane lane_deep"
WAIVERS: tuple[Waiver, ...] = (
    _waiver("scale", _SCALE, "stamp_scale", "cond_then", r"_last & \(product\d_tail <= \d'd0\)\) \? 8'd0",
            "lane 0 is never padding: the last beat of a token has at least one channel"),
    _waiver("mac", "odd flat wide", "stamp_mac", "cond_else", r"= chunk_ends \? 1'h0 :",
            "as many lanes as columns: every beat ends the drain of a row"),
)
