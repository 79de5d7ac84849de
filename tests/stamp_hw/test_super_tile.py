"""The division of a job into super-tiles, row slots and array tiles (stamp_hw/engine/super_tile.py), against loops
over tokens and an exhaustive search."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from stamp_hw import haar, haar_slots
from stamp_hw.config import HwConfig, NpuConfig, ResolvedJob
from stamp_hw.engine import super_tile
from stamp_hw.engine.job import EngineJob
from stamp_hw.engine.params import EngineParams
from stamp_hw.engine.super_tile import SuperTile
from stamp_hw.errors import ConfigError
from tests.support.divisions import counts, fits, tiles_of


def job(tokens: int, levels: int, n_hi: int, grid: tuple[int, int] | None = None, n_sink: int = 0) -> ResolvedJob:
    return ResolvedJob(tokens=tokens, grid=grid, levels=levels, n_hi=n_hi, n_sink=n_sink)


def random_job(rng: np.random.Generator) -> ResolvedJob:
    """Ragged shapes in one and two dimensions, sinks, any levels and precision mix."""
    levels = int(rng.integers(0, 5))
    if rng.random() < 0.5:
        grid = (int(rng.integers(1, 13)), int(rng.integers(1, 13)))
        tokens, n_sink, levels = grid[0] * grid[1], 0, min(levels, 3)
    else:
        grid, tokens, n_sink = None, int(rng.integers(1, 150)), int(rng.choice([0, 0, 1, 5]))
    return job(tokens, levels, int(rng.choice([0, tokens, rng.integers(0, tokens + 1)])), grid, n_sink)


def random_cases(rng: np.random.Generator, count: int) -> list[tuple[ResolvedJob, HwConfig, int]]:
    """Jobs that fit, with buffers and limits from barely one Haar tile to everything."""
    found = []
    while len(found) < count:
        numbers = random_job(rng)
        hw = HwConfig(rows=int(rng.choice([1, 2, 3, 8])), act_slots=int(rng.choice([4, 20, 40, 64, 150, 600])))
        limit = int(rng.choice([1, 16, 50, 10**6, super_tile.token_limit(numbers, hw)]))
        if fits(numbers, hw, 10**6, 1, 1):
            found.append((numbers, hw, limit))
    return found


def largest(numbers: ResolvedJob, hw: HwConfig, limit: int) -> tuple[int, int]:
    """(tile rows, tiles of a row): every whole number of tile rows, then every part of one, the largest that fits; then
    the smallest that makes no more super-tiles, if that fits."""
    rows, columns, _ = tiles_of(numbers)
    candidates = [(down, columns) for down in range(rows, 0, -1)]
    candidates += [(1, across) for across in range(columns - 1, 0, -1)]
    most = next(shape for shape in candidates if fits(numbers, hw, limit, *shape))
    axis = 0 if most[1] == columns else 1
    whole = (rows, columns)[axis]
    even = min(size for size in range(1, most[axis] + 1) if math.ceil(whole / size) == math.ceil(whole / most[axis]))
    smaller = (even, columns) if axis == 0 else (1, even)
    return smaller if fits(numbers, hw, limit, *smaller) else most


def test_super_tiles_are_the_largest_rectangles_that_fit_and_hold_what_a_count_of_tokens_says(
        rng: np.random.Generator) -> None:
    for numbers, hw, limit in random_cases(rng, 40):
        down, across = largest(numbers, hw, limit)
        side = 1 << numbers.levels
        wanted = across * side, down * (side if numbers.grid else 1)
        assert super_tile.tile_size(numbers, hw, limit) == wanted
        parts = super_tile.split(numbers, hw, limit)
        found = [(part.n8, part.n4, part.tokens) for part in parts]
        assert found == [(part.n8, part.n4, part.tokens) for part in counts(numbers, down, across)]
        for part in parts:
            assert part.array_tiles == math.ceil((part.n8 + math.ceil(part.n4 / 2)) / hw.rows)


def test_super_tiles_cover_the_grid_in_raster_order_and_are_runs_of_haar_tiles(rng: np.random.Generator) -> None:
    for numbers, hw, limit in random_cases(rng, 40):
        parts = super_tile.split(numbers, hw, limit)
        height, width = numbers.grid or (1, numbers.tokens)
        size = 1 << haar_slots.chain_levels(numbers.levels, numbers.grid)
        order = haar_slots.positions(numbers.tokens, numbers.levels, numbers.grid)
        assert [(part.row, part.column) for part in parts] == sorted((part.row, part.column) for part in parts)
        after = 0
        for part in parts:
            assert part.first_tile == after
            after += part.haar_tiles
            inside = order[part.first_tile * size : after * size]
            rectangle = {row * width + column for row in range(part.row, part.row + part.height)
                         for column in range(part.column, part.column + part.width)}
            assert set(inside[inside >= 0].tolist()) == rectangle
            assert part.height == min(parts[0].height, height - part.row)
            assert part.width == min(parts[0].width, width - part.column)
        assert after * size == len(order)


def rows_by_hand(part: SuperTile, high: int, array_rows: int) -> tuple[list[list[int]], list[int]]:
    """(rows, the arrival that completes each array tile) of a super-tile, a token at a time; tokens below `high` take
    8 bits."""
    rows: list[list[int]] = []
    open_row = None
    done = {}
    for arrival, token in enumerate(part.order.tolist()):
        if token < high:
            rows.append([token, -1])
            done[len(rows) - 1] = arrival
        elif open_row is None:
            open_row = len(rows)
            rows.append([token, -1])
        else:
            rows[open_row][1] = token
            done[open_row] = arrival
            open_row = None
    last = len(part.order) - 1
    return rows, [max(done.get(row, last) for row in range(first, first + array_rows))
                  for first in range(0, len(rows), array_rows)]


def test_rows_are_handed_out_in_order_of_arrival_and_tiles_wait_for_their_last_token(rng: np.random.Generator) -> None:
    for numbers, hw, limit in random_cases(rng, 40):
        emitted = [coef for coef in haar_slots.forward(numbers.tokens, numbers.levels, numbers.grid).coef.tolist()
                   if coef >= 0]
        arrivals = [*range(numbers.n_sink), *(coef + numbers.n_sink for coef in emitted)]
        parts = super_tile.split(numbers, hw, limit)
        assert sorted(token for part in parts for token in part.order.tolist()) == sorted(arrivals)
        for part in parts:
            mine = set(part.order.tolist())
            assert part.order.tolist() == [token for token in arrivals if token in mine]
            rows, ready = rows_by_hand(part, numbers.n_sink + numbers.n_hi, hw.rows)
            assert part.rows.tolist() == rows and part.ready.tolist() == ready


def test_the_last_token_of_a_super_tile_is_the_low_pass_of_its_last_haar_tile(rng: np.random.Generator) -> None:
    for numbers, hw, limit in random_cases(rng, 40):
        tile = super_tile.haar_tile_of(numbers.tokens, numbers.levels, numbers.grid)
        low = haar.band_shapes(numbers.levels, numbers.grid or (1, numbers.tokens))[0]
        for part in super_tile.split(numbers, hw, limit):
            last = int(part.order[-1]) - numbers.n_sink
            assert last < low[0] * low[1] and tile[last] == part.first_tile + part.haar_tiles - 1


def test_a_small_case_is_the_one_written_down_by_hand() -> None:
    # Five tokens, one level, one sink; Haar tiles (0, 1), (2, 3), (4): coefficients s0 s1 s2 d0 d1 are 0…4, tokens
    # 1…5 behind the sink. Arrival of the lifting unit: d0 in slot 1, s0 in slot 2, d1, s1, s2. Three tokens at 8 bits.
    (part,) = super_tile.split(job(5, 1, 3, n_sink=1), HwConfig(rows=2, act_slots=5), 100)
    assert part.order.tolist() == [0, 4, 1, 5, 2, 3]
    assert part.rows.tolist() == [[0, -1], [4, 5], [1, -1], [2, -1], [3, -1]]
    # Rows 0 and 1 are complete with the second d, the others with s1; the last tile has but one row.
    assert part.ready.tolist() == [3, 4, 5] and (part.n8, part.n4) == (4, 2)
    # Four row slots are one too few: two super-tiles, of four tokens and of one.
    parts = super_tile.split(job(5, 1, 3, n_sink=1), HwConfig(rows=2, act_slots=4), 100)
    assert [(part.column, part.width, part.rows.tolist()) for part in parts] == [
        (0, 4, [[0, -1], [4, 5], [1, -1], [2, -1]]), (4, 1, [[3, -1]])]


def test_a_super_tile_shrinks_to_what_the_buffer_holds_and_a_haar_tile_that_does_not_fit_is_refused() -> None:
    numbers = job(512, 5, 16)
    assert [part.haar_tiles for part in super_tile.split(numbers, HwConfig(act_slots=512), 512)] == [16]
    # A Haar tile of 32 tokens, one of them at 8 bits: 33 half rows; seven of them are 231 half rows, 116 rows. Three
    # super-tiles it takes, evenly divided.
    assert [part.haar_tiles for part in super_tile.split(numbers, HwConfig(act_slots=116), 512)] == [6, 6, 4]
    assert [part.haar_tiles for part in super_tile.split(numbers, HwConfig(act_slots=17), 512)] == [1] * 16
    with pytest.raises(ConfigError, match="act_slots.*got 16; expected at least 17 row slots"):
        super_tile.split(numbers, HwConfig(act_slots=16), 512)
    # Five tokens in a Haar tile of 64 positions: places in the output buffer decide, with the sink 65.
    super_tile.split(job(5, 6, 0, n_sink=1), HwConfig(act_slots=33), 512)
    with pytest.raises(ConfigError, match="expected at least 33 row slots"):
        super_tile.split(job(5, 6, 0, n_sink=1), HwConfig(act_slots=32), 512)


def test_small_haar_tiles_share_a_super_tile_of_sixteen_array_tiles() -> None:
    hw = HwConfig(rows=8)
    assert super_tile.token_limit(job(512, 5, 16), hw) == 2 * 8 * 32
    assert super_tile.token_limit(job(512, 0, 0), hw) == super_tile.token_limit(job(512, 2, 0), hw) == 2 * 8 * 16
    assert super_tile.token_limit(job(64, 3, 0, (8, 8)), hw) == 2 * 8 * 64
    parts = super_tile.split(job(512, 0, 0), hw, super_tile.token_limit(job(512, 0, 0), hw))
    assert [part.array_tiles for part in parts] == [16, 16]


def test_a_size_in_place_of_the_limit_is_taken_iff_it_is_of_whole_haar_tiles_and_fits(rng: np.random.Generator) -> None:
    taken = refused = 0
    for numbers, hw, _ in random_cases(rng, 40):
        rows, columns, _ = tiles_of(numbers)
        side = 1 << numbers.levels
        high = side if numbers.grid else 1
        for down, across in {(rows, columns), (int(rng.integers(1, rows + 1)), columns),
                             (1, int(rng.integers(1, columns + 1)))}:
            size = across * side, down * high
            if fits(numbers, hw, 10**6, down, across):
                assert super_tile.tile_size(numbers, hw, size) == size
                parts = super_tile.split(numbers, hw, size)
                found = [(part.n8, part.n4, part.tokens) for part in parts]
                assert found == [(part.n8, part.n4, part.tokens) for part in counts(numbers, down, across)]
                taken += 1
            else:
                with pytest.raises(ConfigError, match=f"super-tile.*{size[0]}x{size[1]}; expected at most hw.act"):
                    super_tile.tile_size(numbers, hw, size)
                refused += 1
        bad = [(columns * side + side, high), (columns * side, rows * high + high), (0, high), (side, 0)]
        bad += [(side - 1, high)] * (side > 1) + [(side, 2 * high)] * (min(rows, columns) > 1)
        for size in bad:
            with pytest.raises(ConfigError, match=f"no super-tile.*got {size[0]}x{size[1]}; expected a mult"):
                super_tile.tile_size(numbers, hw, size)
    assert taken > 20 and refused > 5


def test_an_engines_registers_take_the_size_that_they_are_given() -> None:
    params = EngineParams.of(HwConfig(act_slots=64))
    for numbers, size in ((job(512, 3, 64), (72, 1)), (job(256, 1, 64, (16, 16)), (6, 2)),
                          (job(256, 1, 64, (16, 16)), (16, 6))):
        registers = EngineJob.of(numbers, k=64, n=8, params=params, limit=size)
        assert (registers.tile_width, registers.tile_height) == size


def test_a_long_job_is_divided_in_little_time_and_remembered_without_being_writable() -> None:
    super_tile._divide.cache_clear()
    super_tile._tile_size.cache_clear()
    hw = HwConfig(rows=32, act_slots=1056, max_tokens=16384)
    start = time.process_time()
    for tokens, grid in ((2048, None), (16384, (128, 128))):
        numbers = NpuConfig(hw=hw).resolve(tokens, grid)
        parts = super_tile.split(numbers, hw, super_tile.token_limit(numbers, hw))
    assert time.process_time() - start < 0.5  # 20 ms on an idle core
    assert super_tile.split(numbers, hw, super_tile.token_limit(numbers, hw)) is parts
    with pytest.raises(ValueError, match="read-only"):
        parts[0].order[0] = 1
