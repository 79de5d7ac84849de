"""What crosses the edge of the engine and the borders between its stages (docs/contract.md §4)."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Value, signed
from amaranth.lib import data

from rtl_gen import combine, rescale
from rtl_gen.haar import common as haar_common
from rtl_gen.haar import finish as haar_finish
from rtl_gen.haar.layouts import tile_size
from rtl_gen.hadamard import unit as hadamard
from rtl_gen.lib.bits import up_to
from rtl_gen.mac import array as mac
from rtl_gen.scale import unit as scale
from stamp_hw.engine.job import WEIGHT_GROUPS
from stamp_hw.engine.params import BIAS_WIDTH, MANT_WIDTH, PARAMETER_SETS, SHIFT_WIDTH, SINK_WIDTH, EngineParams
from stamp_hw.params import CODE_WIDTH, OUT_WIDTH

#: Sticky bits of `error`, the first in bit 0; builds without packed weights lack the last.
ERRORS = ("illegal_job", "overflow", "framing", "internal", "weights")
#: Those behind which the streams may hold beats that no job will take: while one stands, the engine takes no job.
REFUSING = ("illegal_job", "overflow")


def errors_of(params: EngineParams) -> tuple[str, ...]:
    """Those of a build."""
    return ERRORS if params.packed_weights else ERRORS[:-1]


def key_layout(params: EngineParams) -> data.StructLayout:
    """Place of a coefficient in the order of importance, compared as one number: `order` 0 for the low pass, then the
    levels from the coarsest on; its band, row and column (docs/contract.md §3.2)."""
    size = up_to(params.max_tokens)
    layout: dict[str, Any] = {"column": size}
    if params.axes == 2:
        layout |= {"row": size, "band": 2}
    return data.StructLayout(layout | {"order": up_to(params.max_levels + 1)})


def job_layout(params: EngineParams) -> data.StructLayout:
    """Registers of a job, the fields of `stamp_hw.engine.job.EngineJob`; without `height`, `two_d`, `tile_height`,
    `hi_row` and `hi_band` in 1-D builds, without `blocks`, without `packed` and `weight_group`, without `hadamard`,
    `hadamard_shift`, `in_beats` and `in_tail` in hardware that does not have these."""
    size = up_to(params.max_tokens)
    layout: dict[str, Any] = {
        "width": size, "levels": up_to(params.max_levels), "n_sink": size, "symmetric": 1,
        "beats": up_to(params.max_beats), "tail": up_to(params.lanes),
        "columns": 16, "out_beats": up_to(params.chunks), "out_keep": up_to(params.rescale_lanes),
        "tile_width": tile_size(params.haar), "hi_order": up_to(params.max_levels + 1), "hi_column": size,
    }
    if params.block:
        layout["blocks"] = 1
    if params.axes == 2:
        layout |= {"height": size, "two_d": 1, "tile_height": tile_size(params.haar), "hi_row": size, "hi_band": 2}
    if params.packed_weights:
        layout |= {"packed": 1, "weight_group": range(len(WEIGHT_GROUPS))}
    if params.rotation is not None:
        layout |= {"hadamard": 1, "hadamard_shift": up_to(params.rotation.levels), "in_beats": up_to(params.max_beats),
                   "in_tail": up_to(params.lanes)}
    return data.StructLayout(layout)


def steps_before_last(job: data.View, params: EngineParams) -> Value:
    """K − 2 of a job's K steps a tile. Times `lanes` by shifts: a product with a constant may take multipliers from an
    FPGA."""
    beats = job.beats - 1
    whole = sum(beats << bit for bit in range(params.lanes.bit_length()) if params.lanes >> bit & 1)
    return whole + job.tail - 2


def input_layout(params: EngineParams) -> data.StructLayout:
    """One beat of a token: `lanes` values; `sink_shift`, e of a sink, on its last beat; `last` on that beat."""
    return data.StructLayout({"x": data.ArrayLayout(signed(params.in_width), params.lanes), "sink_shift": SINK_WIDTH,
                              "last": 1})


def weight_layout(params: EngineParams) -> data.StructLayout:
    """One k-step: a weight for each column; INT4 sign-extended. Packed, a beat: two nibbles or (u, z) for each."""
    return data.StructLayout({"wgt": data.ArrayLayout(signed(CODE_WIDTH), params.cols)})


def factor_layout(params: EngineParams) -> data.StructLayout:
    """What the rescale unit takes of an output channel: table 0 is the min-max or 8-bit one, table 1 the 4-bit one."""
    return data.StructLayout({"wsum": signed(params.rescale.wsum_width), "mant0": MANT_WIDTH, "shift0": SHIFT_WIDTH,
                              "mant1": MANT_WIDTH, "shift1": SHIFT_WIDTH})


def parameter_layout(params: EngineParams) -> data.StructLayout:
    """One output channel: `factor_layout` and its `bias`."""
    return data.StructLayout({**factor_layout(params).members, "bias": signed(BIAS_WIDTH)})


def output_layout(params: EngineParams) -> data.StructLayout:
    """One beat of a token of a column tile: `keep` marks the lanes below N; `last` of the token, `end` of the job."""
    return data.StructLayout({"y": data.ArrayLayout(signed(OUT_WIDTH), params.rescale_lanes),
                              "keep": data.ArrayLayout(1, params.rescale_lanes), "last": 1, "end": 1})


def event_layout(params: EngineParams) -> data.StructLayout:
    """The events of all blocks, prefixed by the unit's name."""
    units = {"haar": haar_common.event_layout(), "scale": scale.event_layout(params.scale),
             "mac": mac.event_layout(params.mac), "rescale": rescale.event_layout(params.rescale),
             "inverse": haar_common.event_layout(), "finish": haar_finish.event_layout(params.finish)}
    if params.block:
        units["combine"] = combine.event_layout()
    if params.rotation is not None:
        units["hadamard"] = hadamard.event_layout(params.rotation)
    return data.StructLayout({f"{unit}_{name}": shape for unit, layout in units.items()
                              for name, shape in layout.members.items()})


def code_layout(params: EngineParams) -> data.StructLayout:
    """A beat of quantized codes on its way to the activation buffer, with what its token's last beat decides: `place`
    in the super-tile of that `half`, which `closes` with it, `ends` the job, exponent of a sink. With blocks the codes
    are unsigned, and less `zero` what they stand for; a block's scale comes with its last beat (`group_ends`)."""
    blocks: dict[str, Any] = {"zero": CODE_WIDTH, "group_ends": 1} if params.block else {}
    return data.StructLayout({
        "codes": data.ArrayLayout(signed(CODE_WIDTH), params.lanes), "lo": signed(params.scale.width),
        "span": params.scale.width, "hi": 1, "last": 1, "place": params.haar.place_width, "half": 1, "closes": 1,
        "ends": 1, "sink_shift": SINK_WIDTH, **blocks,
    })


def half_layout(params: EngineParams) -> data.StructLayout:
    """State of one half of the activation buffer.

    `full` array tiles whose rows are all there; `closed` once its super-tile is complete, `ends` the job with it; then
    `last` tile and `rows` in it, and (`odd`) the row whose second 4-bit token is missing: `odd_row` of `odd_tile`.
    """
    tile, row = up_to(params.act_tiles), up_to(params.rows)
    return data.StructLayout({"full": tile, "closed": 1, "ends": 1, "last": tile, "rows": row, "odd": 1,
                              "odd_tile": tile, "odd_row": row})


def tile_layout(params: EngineParams) -> data.StructLayout:
    """An array tile on its way through the MAC array: `tile` of `half`, its `rows` and `odd_row` as in `half_layout`,
    the parameter `set`, `symmetric`; whether the pass, the super-tile ends with it."""
    return data.StructLayout({"half": 1, "tile": up_to(params.act_tiles), "rows": up_to(params.rows), "odd": 1,
                              "odd_row": up_to(params.rows), "set": range(PARAMETER_SETS), "symmetric": 1,
                              "pass_ends": 1, "super_tile_ends": 1})


def block_layout(params: EngineParams) -> data.StructLayout:
    """A block of an array tile on its way through the MAC array: the tile, the block's `group` of channels, whether it
    is the tile's `first`, its `last`, and whether the job has scales of `blocks` or one a token."""
    return data.StructLayout({**tile_layout(params).members, "group": up_to(params.max_blocks - 1), "first": 1,
                              "last": 1, "blocks": 1})


def word_layout(params: EngineParams) -> data.StructLayout:
    """A beat of output coefficients for one half of the output buffer; `valid` where the token exists, `ends` with the
    pass."""
    rescale = params.rescale
    return data.StructLayout({
        "z": data.ArrayLayout(signed(rescale.z_width), params.rescale_lanes), "valid": 1, "ends": 1, "half": 1,
        "place": params.haar.place_width, "chunk": up_to(params.chunks - 1),
    })


def lifting_layout(params: EngineParams) -> data.StructLayout:
    """A job of the inverse unit: parameter `set`, its last column tile with `keep` lanes in a token's last beat, of the
    `sinks`, the engine's job `ends` with it."""
    return data.StructLayout({"set": range(PARAMETER_SETS), "last_column": 1, "keep": up_to(params.rescale_lanes),
                              "sinks": 1, "ends": 1})
