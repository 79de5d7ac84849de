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

    `offset` of the slot in its tile, `mask` = tokens a tile − 1, (`row`, `column`) of the tile and of the one before it
    (`row_before`, `column_before`), the job's shape. A tile that does not exist stands outside of the grid. Inside the
    engine `base`, the place of the tile's first token in its super-tile, and of the one before (`base_before`); the
    forward unit also whether a super-tile `begins` with the tile, the `half` of both super-tiles, where the next one
    begins (`end_column`, `end_row`), its size, and `sink`.
    """
    offset, shape = up_to(2**params.max_levels - 1), up_to(params.max_tokens)
    place = range(params.max_tokens + 2 * 2**params.max_levels)
    layout: dict[str, Any] = {"offset": offset, "mask": offset, "column": place, "column_before": place, "width": shape}
    if params.direction == "forward":
        layout["levels"] = up_to(params.max_levels)
    if params.axes == 2:
        layout |= {"row": place, "row_before": place, "height": shape, "two_d": 1}
    if params.places:
        layout |= {"base": params.place_width, "base_before": params.place_width}
        if params.direction == "forward":
            edge = range(2 * (params.max_tokens + 2**params.max_levels) + 1)
            layout |= {"sink": 1, "begins": 1, "half": 1, "half_before": 1, "end_column": edge,
                       "tile_width": tile_size(params)}
            if params.axes == 2:
                layout |= {"end_row": edge, "tile_height": tile_size(params)}
    return data.StructLayout(layout)
