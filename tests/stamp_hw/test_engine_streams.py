"""Job registers and streams of the engine (stamp_hw/engine/job.py, engine_streams.py): whoever has nothing but these
beats, and works in scalar integers, must come to the beats of `o`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from stamp_hw import haar
from stamp_hw.config import HwConfig, NpuConfig, ResolvedJob
from stamp_hw.engine import streams as engine_streams
from stamp_hw.engine.job import TWO_D_ONLY, EngineJob
from stamp_hw.engine.linear import run_linear
from stamp_hw.engine.params import EngineParams
from stamp_hw.engine.wire_layer import WireLayer
from stamp_hw.errors import ConfigError
from tests.support import reference, reference_lifting
from tests.support.compared import LAYERS, compared


def random_case(rng: np.random.Generator) -> tuple[WireLayer, NpuConfig, int | None]:
    """A small layer of any kind, hardware that it fits, and a limit for its super-tiles."""
    cols = int(rng.choice([1, 2, 4, 6]))
    divisors = [lanes for lanes in range(1, cols + 1) if cols % lanes == 0]
    hw = HwConfig(rows=int(rng.choice([1, 2, 3])), cols=cols, rescale_lanes=int(rng.choice(divisors)),
                  lanes=int(rng.choice([1, 3, 4])), axes=int(rng.choice([1, 2])), max_levels=4, max_k=70,
                  max_tokens=64, act_slots=int(rng.choice([24, 40])), packed_weights=bool(rng.integers(2)))
    grid, n_sink = None, int(rng.choice([0, 0, 1, 3]))
    tokens = int(rng.integers(1, 25))
    if hw.axes == 2 and rng.random() < 0.7:
        grid, n_sink = (int(rng.integers(1, 8)), int(rng.integers(1, 8))), 0
        tokens = grid[0] * grid[1]
    k, n = int(rng.integers(1, 17 if rng.integers(3) else 71)), int(rng.integers(1, 15))
    x = rng.normal(0, 1, (tokens + n_sink, k)).astype(np.float32)
    x[:n_sink] *= rng.choice([1, 30, 4000])
    bias = rng.normal(0, 3, n).astype(np.float32) if rng.random() < 0.7 else None
    layer = WireLayer("drawn", x, rng.normal(0, 1, (n, k)).astype(np.float32), bias, grid=grid, n_sink=n_sink)
    config = NpuConfig(hw=hw).with_job(
        levels=int(rng.integers(0, 3 if grid else 5)), n_hi=int(rng.choice([0, tokens, rng.integers(0, tokens + 1)])),
        scale_mode=str(rng.choice(["minmax", "symmetric"])),
        **rng.choice([{"weight_bits": 8}] * 4 + [{"weight_group": group} for group in (None, 32, 64, 128)]))
    return layer, config, int(rng.choice([1, 7, 100])) if rng.random() < 0.6 else None


def rectangles(job: EngineJob) -> Iterator[tuple[int, int, int, int]]:
    """(row, column, height, width) of every super-tile, in order."""
    for row in range(0, job.height, job.tile_height):
        for column in range(0, job.width, job.tile_width):
            yield row, column, min(job.tile_height, job.height - row), min(job.tile_width, job.width - column)


def tokens_of(job: EngineJob, row: int, column: int, height: int, width: int) -> list[int]:
    """Raster indices of a rectangle's tokens in job order: Haar tiles in raster order, Morton order inside."""
    side = 1 << job.levels
    if not job.two_d:
        return list(range(column, column + width))
    found = []
    for top in range(row, row + height, side):
        for left in range(column, column + width, side):
            for morton in range(side * side):
                x = sum((morton >> 2 * bit & 1) << bit for bit in range(job.levels))
                y = sum((morton >> 2 * bit + 1 & 1) << bit for bit in range(job.levels))
                if top + y < row + height and left + x < column + width:
                    found.append((top + y) * job.width + left + x)
    return found


def keys(job: EngineJob) -> list[tuple[int, int, int, int]]:
    """(order, band, row, column) of every coefficient, in coefficient order."""
    height, width, bands = job.height, job.width, []
    for level in range(1, job.levels + 1):
        low_h, low_w = math.ceil(height / 2), math.ceil(width / 2)
        sizes = ((low_h, width // 2), (height // 2, low_w), (height // 2, width // 2))
        bands[:0] = [(job.levels - level + 1, band, *size) for band, size in enumerate(sizes, 1)]
        height, width = low_h, low_w
    return [(order, band, row, column) for order, band, rows, columns in [(0, 0, height, width), *bands]
            for row in range(rows) for column in range(columns)]


class Reader:
    """Takes the beats of a stream one by one."""

    def __init__(self, beats: dict[str, np.ndarray]) -> None:
        self.beats, self.at = beats, 0
        self.length = len(next(iter(beats.values())))
        assert all(len(values) == self.length for values in beats.values())

    def take(self) -> dict[str, list[int] | int]:
        beat = {field: values[self.at].tolist() for field, values in self.beats.items()}
        self.at += 1
        return beat

    def done(self) -> bool:
        return self.at == self.length


def weight_steps(w: Reader, k: int, job: EngineJob) -> list[list[int]]:
    """The k-steps of a pass, unpacked byte by byte."""
    if not job.packed:
        return [w.take()["wgt"] for _ in range(k)]
    size, steps = {0: k, 1: 32, 2: 64, 3: 128}[job.weight_group], []
    for start in range(0, k, size):
        pairs = [byte % 256 for byte in w.take()["wgt"]] if job.weight_group else None
        left = min(size, k - start)
        while left > 0:
            beat = [byte % 256 for byte in w.take()["wgt"]]
            for nibbles in ([byte % 16 for byte in beat], [byte // 16 for byte in beat])[:left]:
                steps.append([q - 8 for q in nibbles] if pairs is None else
                             [(pair // 16 + 1) * (q - pair % 16) for q, pair in zip(nibbles, pairs, strict=True)])
            left -= 2
    assert all(-128 <= weight <= 127 for step in steps for weight in step)
    return steps


def engine_by_hand(hw: HwConfig, job: EngineJob, streams: dict[str, dict[str, np.ndarray]]) -> list[tuple]:
    """(y, keep, last, end) of every beat of `o`, from the registers and the beats of `i`, `w` and `p` alone."""
    i, w, p = (Reader(streams[name]) for name in "iwp")
    k = (job.beats - 1) * hw.lanes + job.tail
    chunks = hw.cols // hw.drain_lanes

    def token() -> tuple[list[int], int]:
        values, shift = [], 0
        for beat in range(job.beats):
            taken = i.take()
            assert taken["last"] == (beat == job.beats - 1)
            values, shift = values + taken["x"], taken["sink_shift"]
        return values[:k], shift

    sinks = [token() for _ in range(job.n_sink)]
    tokens = {index: token() for place in rectangles(job) for index in tokens_of(job, *place)}
    assert i.done() and not any(shift for _, shift in tokens.values())
    body = [tokens[index][0] for index in range(job.width * job.height)]
    lifted = reference_lifting.forward(body, job.levels, job.grid)
    first_low = (job.hi_order, job.hi_band, job.hi_row, job.hi_column)
    bits = [8] * job.n_sink + [8 if key < first_low else 4 for key in keys(job)]
    rows = [values for values, _ in sinks] + lifted
    shifts = [shift for _, shift in sinks] + [0] * len(lifted)
    groups = [reference.quantize_group(row, b, job.symmetric, hw.coef_width, hw.recip_frac)
              for row, b in zip(rows, bits, strict=True)]

    def column_tile() -> list[list[int]]:
        """y[token][column] of the column tile whose weights and parameters come next."""
        steps = weight_steps(w, k, job)
        words = [p.take() for _ in range(hw.cols)]
        out = []
        for column, word in enumerate(words):
            weights = [step[column] for step in steps]
            assert word["wsum"] == sum(weights)
            z = []
            for group, b, e in zip(groups, bits, shifts, strict=True):
                t = reference.t_value(group.codes, [group], weights, k, job.symmetric, e)
                table = "1" if job.symmetric and b == 4 else "0"
                assert job.symmetric or word["mant1"] == word["shift1"] == 0
                mant, shift = word["mant" + table], word["shift" + table]
                z.append([reference.rescale(t, mant, shift) if mant else 0])
            v = z[: job.n_sink] + reference_lifting.inverse(z[job.n_sink :], job.levels, job.grid)
            out.append([reference.output(value[0], word["bias"], hw.z_frac) for value in v])
        return [list(row) for row in zip(*out, strict=True)]

    n = (job.columns - 1) * hw.cols + (job.out_beats - 1) * hw.drain_lanes + job.out_keep
    beats = []
    for number, place in enumerate(rectangles(job)):
        order = [*range(job.n_sink if number == 0 else 0), *(job.n_sink + index for index in tokens_of(job, *place))]
        for column in range(job.columns):
            y = column_tile()
            each = chunks if column + 1 < job.columns else job.out_beats
            for index in order:
                for chunk in range(each):
                    lanes = range(chunk * hw.drain_lanes, (chunk + 1) * hw.drain_lanes)
                    keep = [int(column * hw.cols + lane < n) for lane in lanes]
                    beats.append(([y[index][lane] for lane in lanes], keep, int(chunk == each - 1), 0))
    assert w.done() and p.done()
    beats[-1] = (*beats[-1][:3], 1)
    return beats


def test_the_streams_alone_lead_to_the_output_in_scalar_integers(rng: np.random.Generator) -> None:
    for _ in range(40):
        layer, config, limit = random_case(rng)
        result = run_linear(layer, config)
        streams = engine_streams.streams(layer, config, result, limit)
        job = engine_streams.make_job(layer, config, result, limit)
        found = zip(*(streams["o"][name].tolist() for name in ("y", "keep", "last", "end")), strict=True)
        assert list(found) == engine_by_hand(config.hw, job, streams)
        compared(LAYERS)


def test_words_come_back_from_the_beats_that_were_made_of_them(rng: np.random.Generator) -> None:
    for _ in range(40):
        layer, config, limit = random_case(rng)
        result = run_linear(layer, config)
        job, params = engine_streams.make_job(layer, config, result, limit), EngineParams.of(config.hw)
        beats = engine_streams.output_beats(params, job, result)
        words = engine_streams.words_of(params, job, beats["y"])
        assert words.dtype == np.int16 and np.array_equal(words, result.sent)


def rebuilt(job: EngineJob, hw: HwConfig, o: dict[str, np.ndarray], channels: int) -> np.ndarray:
    """y[tokens, N] from the beats of `o`; every value must come once."""
    y = np.full((job.n_sink + job.width * job.height, channels), 1 << 20)
    beat = 0
    for number, place in enumerate(rectangles(job)):
        order = [*range(job.n_sink if number == 0 else 0), *(job.n_sink + index for index in tokens_of(job, *place))]
        for column in range(job.columns):
            for token in order:
                channel = column * hw.cols
                ends = 0
                while not ends:
                    for lane in np.flatnonzero(o["keep"][beat]):
                        assert y[token, channel + lane] == 1 << 20
                        y[token, channel + lane] = o["y"][beat][lane]
                    channel, ends, beat = channel + hw.drain_lanes, o["last"][beat], beat + 1
    assert beat == len(o["last"]) and o["end"].tolist() == [0] * (beat - 1) + [1]
    return y


def layer_of(rng: np.random.Generator, tokens: int, k: int, n: int, **more: object) -> WireLayer:
    return WireLayer("layer", rng.normal(0, 1, (tokens, k)).astype(np.float32),
                 rng.normal(0, 1, (n, k)).astype(np.float32), rng.normal(0, 1, n).astype(np.float32), **more)


def test_y_and_x_come_back_from_the_beats_of_a_larger_layer(rng: np.random.Generator) -> None:
    for grid, n_sink, limit in ((None, 2, None), ((19, 27), 0, None), ((19, 27), 0, 100)):
        tokens = 300 if grid is None else grid[0] * grid[1]
        layer = layer_of(rng, tokens + n_sink, 50, 37, grid=grid, n_sink=n_sink)
        config = NpuConfig(hw=HwConfig(rows=4, rescale_lanes=2, act_slots=200))
        result = run_linear(layer, config)
        streams = engine_streams.streams(layer, config, result, limit)
        job = engine_streams.make_job(layer, config, result, limit)
        assert (rebuilt(job, config.hw, streams["o"], 37) == result.y).all()
        order = [job.n_sink + index for place in rectangles(job) for index in tokens_of(job, *place)]
        x = np.empty((tokens, 50), np.int64)
        x[np.array(order) - n_sink] = streams["i"]["x"].reshape(tokens + n_sink, -1)[n_sink:, :50]
        assert (haar.forward(x, result.job.levels, grid) == result.coefficients[n_sink:]).all()


def test_beats_are_as_many_as_counted_by_hand(rng: np.random.Generator) -> None:
    # 41 tokens of 10 channels on 4 lanes: 3 beats each. Haar tiles of 4 tokens, 3 of them a super-tile (limit 12), so
    # four super-tiles of 12, 12, 12 and 4 tokens behind one sink. 13 outputs on 6 columns: 3 column tiles; 2 lanes: 3
    # beats a token in two of them, one in the last.
    hw = HwConfig(rows=2, cols=6, lanes=4, rescale_lanes=2, act_slots=50)
    config = NpuConfig(hw=hw).with_job(levels=2, n_hi=5)
    layer = layer_of(rng, 41, 10, 13, n_sink=1)
    result = run_linear(layer, config)
    streams = engine_streams.streams(layer, config, result, limit=12)
    lengths = {name: len(next(iter(beats.values()))) for name, beats in streams.items()}
    assert lengths == {"job": 1, "i": 41 * 3, "w": 4 * 3 * 10, "p": 4 * 3 * 6, "o": 41 * (3 + 3 + 1)}
    assert streams["job"]["out_keep"].tolist() == [1] and streams["i"]["x"].shape == (123, 4)
    # The first output tokens of super-tile 0: the sink, then its 12; each super-tile brings the same weights again.
    assert (streams["w"]["wgt"][:30] == streams["w"]["wgt"][30:60]).all()
    assert streams["o"]["keep"][-1].tolist() == [1, 0]


def test_symmetric_jobs_have_a_table_for_each_precision(rng: np.random.Generator) -> None:
    layer = layer_of(rng, 20, 8, 8)
    for mode, expected in (("minmax", False), ("symmetric", True)):
        config = NpuConfig().with_job(scale_mode=mode)
        streams = engine_streams.streams(layer, config, run_linear(layer, config))
        assert streams["p"]["mant1"].any() == streams["p"]["shift1"].any() == expected
        assert streams["job"]["symmetric"].tolist() == [expected]


def resolved(tokens: int, levels: int, n_hi: int, grid: tuple[int, int] | None = None, n_sink: int = 0) -> ResolvedJob:
    return ResolvedJob(tokens=tokens, grid=grid, levels=levels, n_hi=n_hi, n_sink=n_sink)


def test_registers_name_the_same_coefficients_as_the_precision_map(rng: np.random.Generator) -> None:
    params = EngineParams.of(HwConfig(act_slots=2000))
    for _ in range(200):
        grid = (int(rng.integers(1, 12)), int(rng.integers(1, 12))) if rng.random() < 0.5 else None
        tokens = grid[0] * grid[1] if grid else int(rng.integers(1, 100))
        job = resolved(tokens, int(rng.integers(0, 4)), int(rng.integers(0, tokens + 1)), grid)
        k, n = int(rng.integers(1, 4097)), int(rng.integers(1, 500))
        registers = EngineJob.of(job, k=k, n=n, params=params)
        first = (registers.hi_order, registers.hi_band, registers.hi_row, registers.hi_column)
        assert [key < first for key in keys(registers)] == [index < job.n_hi for index in range(tokens)]
        assert registers.resolved == job and registers.channels(params) == (k, n)


def test_builds_for_sequences_have_no_registers_of_a_second_axis() -> None:
    one, two = (EngineParams.of(HwConfig(axes=axes)) for axes in (1, 2))
    job = EngineJob.of(resolved(50, 3, 4), k=40, n=9, params=one)
    assert set(job.registers(two)) - set(job.registers(one)) == set(TWO_D_ONLY)
    assert (job.height, job.two_d, job.tile_height, job.hi_row) == (1, False, 1, 0)


@pytest.mark.parametrize(("change", "said"), [
    ({"k": 4097}, "job.k"), ({"k": 0}, "job.k"), ({"n": 0}, "job.n"), ({"n": 8 * 65536}, "job.n"),
    ({"job": resolved(5000, 0, 0)}, "job.tokens"), ({"job": resolved(50, 9, 0)}, "job.levels"),
    ({"job": resolved(64, 5, 0, (8, 8))}, "job.levels"), ({"job": resolved(64, 1, 0, (8, 8), 1)}, "job.n_sink"),
    ({"job": resolved(50, 1, 0, n_sink=5000)}, "job.n_sink"), ({"group": 16}, "job.group"),
    ({"job": resolved(4000, 8, 4000)}, None),
    ({"job": resolved(4096, 8, 0), "params": EngineParams.of(HwConfig(act_slots=127))}, "act_slots"),
    ({"job": resolved(64, 1, 0, (8, 8)), "params": EngineParams.of(HwConfig(axes=1))}, "axes"),
])
def test_a_job_beyond_the_engine_is_refused_by_name(change: dict, said: str | None) -> None:
    arguments = {"job": resolved(64, 2, 3), "k": 64, "n": 8, "params": EngineParams.of(HwConfig())} | change
    job = arguments.pop("job")
    if said is None:
        EngineJob.of(job, **arguments)
        return
    with pytest.raises(ConfigError, match=said):
        EngineJob.of(job, **arguments)


def test_a_group_that_is_the_whole_token_is_no_group(rng: np.random.Generator) -> None:
    config = NpuConfig()
    plain, grouped = config.with_job(n_hi=3), config.with_job(n_hi=3, group=64)
    layer = layer_of(rng, 20, 8, 8)
    jobs = [engine_streams.make_job(layer, one, run_linear(layer, one)) for one in (plain, grouped)]
    assert jobs[0] == jobs[1] and replace(jobs[0], levels=1) != jobs[0]
    with pytest.raises(ConfigError, match="no blocks"):
        run_linear(layer, config.with_job(group=4))
    with pytest.raises(ConfigError, match="no such blocks"):
        engine_streams.make_job(layer, config.with_job(group=4), run_linear(layer, config))
