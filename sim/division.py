"""What of a layer's division into super-tiles decides its bytes and events, whatever the super-tiles' shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stamp_hw.engine.super_tile import SuperTile


@dataclass(frozen=True, slots=True, kw_only=True)
class Division:
    """`super_tiles`; `array_tiles` of all of them; `row_slots` that hold a token, `row_slots4` of them in 4-bit mode.

    Counts of one column tile.
    """

    super_tiles: int
    array_tiles: int
    row_slots: int
    row_slots4: int

    @classmethod
    def of(cls, parts: Sequence[SuperTile]) -> Division:
        """Of the super-tiles themselves."""
        return cls(super_tiles=len(parts), array_tiles=sum(part.array_tiles for part in parts),
                   row_slots=sum(len(part.rows) for part in parts), row_slots4=sum(-(-part.n4 // 2) for part in parts))
