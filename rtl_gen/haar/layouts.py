"""Registers of a lifting job, and the state of the walk through its slots (`rtl_gen/haar/slots.py`)."""

from __future__ import annotations

from typing import Any

from amaranth.lib import data

from rtl_gen.lib.bits import up_to
from stamp_hw.params import HaarParams


def job_layout(params: HaarParams) -> data.StructLayout:
    """Registers of a job.

    `levels` of lifting (2-D: each of both axes), `beats` a token, `width` tokens a row (a sequence is one row); in 2-D
    builds `height` rows (1 for a sequence) and `two_d`. Inside the engine `base`, the place of the first token in its
    super-tile; the forward unit also `sink`, whether a super-tile `begins` with the first token, the `half` of it, and
    `tile_width`, `tile_height` of a full one.
    """
    size = up_to(params.max_tokens)
    layout: dict[str, Any] = {"levels": up_to(params.max_levels), "beats": up_to(params.max_beats), "width": size}
    if params.axes == 2:
        layout |= {"height": size, "two_d": 1}
    if params.places:
        layout |= {"base": params.place_width}
        if params.direction == "forward":
            edge = tile_size(params)
            layout |= {"sink": 1, "begins": 1, "half": 1, "tile_width": edge}
            if params.axes == 2:
                layout |= {"tile_height": edge}
    return data.StructLayout(layout)


def tile_size(params: HaarParams) -> range:
    """Values of a super-tile's width or height: whole Haar tiles, so up to one more than the tokens need."""
    return up_to(params.max_tokens + 2**params.max_levels)


def walk_layout(params: HaarParams) -> data.StructLayout:
    """Where the slot stands that is planned next.

    `offset` of the slot in its tile, `mask` = tokens a tile − 1. Of the tile: where its last token is in it
    (`edge_row`, `edge_column`), whether it is `empty`, outside of the grid, and whether it `is_last` of the grid.
    Inside the engine `base`, the place of its first token in its super-tile. The forward unit also (`row`, `column`) of
    its first token, `levels`, whether a super-tile `begins` with the tile, its `half`, and `sink`. `…_before` is that
    of the tile before.
    """
    offset = up_to(2**params.max_levels - 1)
    layout: dict[str, Any] = {"offset": offset, "mask": offset}
    tile: dict[str, Any] = {"edge_column": offset, "empty": 1, "is_last": 1}
    if params.axes == 2:
        layout["two_d"] = 1
        tile["edge_row"] = up_to(2**(params.max_levels // 2) - 1)
    if params.places:
        tile["base"] = params.place_width
    if params.direction == "forward":
        place = range(params.max_tokens + 2 * 2**params.max_levels)
        layout["levels"] = up_to(params.max_levels)
        tile |= {"column": place} | ({"row": place} if params.axes == 2 else {})
        if params.places:
            layout |= {"sink": 1, "begins": 1}
            tile["half"] = 1
    return data.StructLayout(layout | tile | {f"{name}_before": shape for name, shape in tile.items()})


def position_layout(params: HaarParams) -> data.StructLayout:
    """A position relative to the tile at hand: its `offset` in its tile, and whether that is the one `before`."""
    return data.StructLayout({"offset": up_to(2**params.max_levels - 1), "before": 1})


def turn_layout(params: HaarParams) -> data.StructLayout:
    """Of a slot: its `offset` in its tile; `slot`, which the unit counts from somewhere else; the `lowest` one of that;
    whether it is of the `low` pass."""
    slot = up_to(2 * 2**max(params.max_levels, 1) - 1)
    return data.StructLayout({"offset": up_to(2**params.max_levels - 1), "slot": slot, "lowest": slot, "low": 1})
