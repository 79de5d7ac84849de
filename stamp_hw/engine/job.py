"""Job registers of the linear engine: what one layer's job is to the hardware (docs/contract.md §4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from stamp_hw import weight_groups
from stamp_hw.config import ResolvedJob
from stamp_hw.engine import super_tile
from stamp_hw.engine.params import EngineParams
from stamp_hw.engine.super_tile import Size
from stamp_hw.engine.wire import WeightFormat
from stamp_hw.errors import ConfigError
from stamp_hw.haar import Grid, band_shapes

LL, HL, LH, HH = range(4)  # bands as the registers number them; in 1-D the d of every level are HL
COLUMNS_WIDTH = 16  # bits of the number of column tiles
#: Registers that 1-D builds do not have.
TWO_D_ONLY = ("height", "two_d", "tile_height", "hi_row", "hi_band")
#: Registers that builds without packed weights do not have.
PACKED_ONLY = ("packed", "weight_group")
WEIGHT_GROUPS = (None, *weight_groups.SIZES)  # the place of a job's is its number in the register `weight_group`
BYTES = WeightFormat()
#: Registers of builds with a Hadamard unit.
HADAMARD_ONLY = ("hadamard", "hadamard_shift", "in_beats", "in_tail")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineJob:
    """Registers of one job, made by `of`.

    `width`, `height` of the grid in tokens (height 1 in 1-D), `two_d`, `levels`, `n_sink`, `symmetric`; `beats` of an
    input token, `tail` channels in its last beat; `columns` column tiles, `out_beats` beats of a token of the last
    column tile, `out_keep` valid lanes of its last beat; `tile_width`, `tile_height` tokens of a full super-tile, whole
    Haar tiles, either as wide as the grid or one Haar tile high.

    `hi_order`, `hi_band`, `hi_row`, `hi_column` name the first coefficient that takes 4 bits. A coefficient's key is
    (order, band, row, column), order 0 for the low pass and levels − level + 1 for the bands of `level`; it takes 8
    bits iff its key is smaller. Where all do, `hi_order` is levels + 1.

    `blocks`, in hardware that has them: a scale a block of channels. `packed`: 4-bit weights, two in a byte;
    `weight_group` the place of their group's size in WEIGHT_GROUPS. With a Hadamard unit `beats` and `tail` are a
    token's behind it, `in_beats` and `in_tail` those on the wire; `hadamard`: it transforms, and shifts right by
    `hadamard_shift`.
    """

    width: int
    height: int
    two_d: bool
    levels: int
    n_sink: int
    symmetric: bool
    beats: int
    tail: int
    columns: int
    out_beats: int
    out_keep: int
    tile_width: int
    tile_height: int
    hi_order: int
    hi_band: int
    hi_row: int
    hi_column: int
    hadamard: bool
    hadamard_shift: int
    in_beats: int
    in_tail: int
    blocks: bool = False
    packed: bool = False
    weight_group: int = 0

    @classmethod
    def of(cls, job: ResolvedJob, *, k: int, n: int, params: EngineParams, symmetric: bool = False,
           limit: int | Size | None = None, group: int | None = None, weights: WeightFormat = BYTES,
           shift: int | None = None) -> EngineJob:
        """Registers of a layer of `k` input and `n` output channels.

        Parameters
        ----------
        limit : tokens of a super-tile, or its (width, height); None takes the job's own (`super_tile.token_limit`)
        group : input channels that share an activation scale, the hardware's block where that is less than the
            array's steps
        weights : how they travel
        shift : of the Hadamard unit, None where it is off or not there

        Raises
        ------
        ConfigError : a job beyond the hardware, or blocks that it does not have
        """
        height, width = job.grid or (1, job.tokens)
        two_d = job.grid is not None
        unit = params.rotation
        if shift is not None and (unit is None or not 0 <= shift <= unit.levels):
            raise ConfigError("no Hadamard unit" if unit is None else "impossible value", where="job.hadamard",
                              got=shift, expected="off" if unit is None else f"0…{unit.levels}")
        in_beats = -(-k // params.lanes)
        in_tail = k - (in_beats - 1) * params.lanes
        k = k if unit is None or shift is None else unit.channels(k)
        blocks = group is not None and group < k
        if blocks and group != params.block:
            raise ConfigError("the engine has no such blocks", where="job.group", got=group,
                              expected="null" if params.block is None else f"null or {params.block}")
        chain = job.levels * (2 if two_d else 1)
        for name, value, low, high in (
            ("job.k", k, 1, params.max_k), ("job.n", n, 1, (2**COLUMNS_WIDTH - 1) * params.cols),
            ("job.tokens", job.tokens, 1, params.max_tokens), ("job.n_sink", job.n_sink, 0, params.max_tokens - 1),
            ("job.levels (in 2-D twice)", chain, 0, params.max_levels), ("axes of job.grid", 1 + two_d, 1, params.axes),
        ):
            if not low <= value <= high:
                raise ConfigError("impossible value", where=name, got=value, expected=f"{low}…{high}")
        if two_d and job.n_sink:
            raise ConfigError("impossible value", where="job.n_sink", got=job.n_sink, expected="0 for a 2-D grid")
        limit = super_tile.token_limit(job, params) if limit is None else limit
        tile_width, tile_height = super_tile.tile_size(job, params, limit)
        columns = -(-n // params.cols)
        left = n - (columns - 1) * params.cols  # channels of the last column tile
        out_beats = -(-left // params.rescale_lanes)
        beats = -(-k // params.lanes)
        order, band, row, column = first_low(job)
        return cls(
            width=width, height=height, two_d=two_d, levels=job.levels, n_sink=job.n_sink, symmetric=symmetric,
            beats=beats, tail=k - (beats - 1) * params.lanes, columns=columns, out_beats=out_beats,
            out_keep=left - (out_beats - 1) * params.rescale_lanes, tile_width=tile_width, tile_height=tile_height,
            hi_order=order, hi_band=band, hi_row=row, hi_column=column, hadamard=shift is not None,
            hadamard_shift=shift or 0, in_beats=in_beats, in_tail=in_tail, blocks=blocks, packed=weights.packed,
            weight_group=WEIGHT_GROUPS.index(weights.group),
        )

    @classmethod
    def of_registers(cls, registers: Mapping[str, int]) -> EngineJob:
        """Of what `registers` gave: what a build does not have is at rest."""
        absent = {"height": 1, "tile_height": 1, "hi_band": HL, "in_beats": registers["beats"],
                  "in_tail": registers["tail"]}
        values: dict[str, Any] = {}
        for field in fields(cls):
            value = registers.get(field.name, absent.get(field.name, 0))
            values[field.name] = bool(value) if field.type == "bool" else value
        return cls(**values)

    def registers(self, params: EngineParams) -> dict[str, int]:
        """Name → value of the registers that this build has."""
        return {field.name: int(getattr(self, field.name)) for field in fields(self)
                if (params.axes == 2 or field.name not in TWO_D_ONLY)
                and (params.hadamard is not None or field.name not in HADAMARD_ONLY)
                and (params.block or field.name != "blocks")
                and (params.packed_weights or field.name not in PACKED_ONLY)}

    def channels(self, params: EngineParams) -> tuple[int, int]:
        """(K, N), where a Hadamard unit is on K'."""
        return ((self.beats - 1) * params.lanes + self.tail,
                (self.columns - 1) * params.cols + (self.out_beats - 1) * params.rescale_lanes + self.out_keep)

    def in_channels(self, params: EngineParams) -> int:
        """K on the wire."""
        return (self.in_beats - 1) * params.lanes + self.in_tail

    @property
    def weights(self) -> WeightFormat:
        """How they travel."""
        return WeightFormat(self.packed, WEIGHT_GROUPS[self.weight_group])

    @property
    def grid(self) -> Grid | None:
        """(H, W), or None for a sequence."""
        return (self.height, self.width) if self.two_d else None

    @property
    def resolved(self) -> ResolvedJob:
        """The numbers that the registers were made from."""
        tokens = self.width * self.height
        n_hi = tokens
        if self.hi_order <= self.levels:
            shapes = band_shapes(self.levels, (self.height, self.width))
            place = 0 if self.hi_order == 0 else 3 * (self.hi_order - 1) + self.hi_band
            before = sum(rows * columns for rows, columns in shapes[:place])
            n_hi = before + self.hi_row * shapes[place][1] + self.hi_column
        return ResolvedJob(tokens=tokens, grid=self.grid, levels=self.levels, n_hi=n_hi, n_sink=self.n_sink)


def first_low(job: ResolvedJob) -> tuple[int, int, int, int]:
    """(order, band, row, column) of the coefficient with index n_hi, the first that takes 4 bits."""
    index = job.n_hi
    for place, (rows, columns) in enumerate(band_shapes(job.levels, job.grid or (1, job.tokens))):
        if index < rows * columns:
            order, band = (0, LL) if place == 0 else ((place - 1) // 3 + 1, (place - 1) % 3 + HL)
            return order, band, index // columns, index % columns
        index -= rows * columns
    return job.levels + 1, LL, 0, 0
