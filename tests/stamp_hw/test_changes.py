"""Bits that change on the wires of each block, against Python integers and cases that are known by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from stamp_hw.config import NpuConfig
from stamp_hw.engine import changes, linear
from stamp_hw.engine.changes import Passage
from stamp_hw.engine.params import EngineParams
from stamp_hw.layer import Layer
from stamp_hw.params import MacParams, RescaleParams

CONFIG = NpuConfig.from_dict({"hw": {"rows": 4, "cols": 4, "lanes": 4, "max_k": 128, "max_tokens": 256,
                                     "act_slots": 256}})
UNITS = ("lifting", "scale", "pe8", "pe4", "array", "rescale", "inverse", "finish", "control")


def layer(rng: np.random.Generator, tokens: int = 20, k: int = 22, n: int = 6, grid: tuple[int, int] | None = None
          ) -> Layer:
    return Layer("layer", rng.standard_normal((tokens, k)).astype(np.float32),
                 rng.standard_normal((n, k)).astype(np.float32), rng.standard_normal(n).astype(np.float32), grid=grid)


def bits(value: int, width: int) -> int:
    return (value & (1 << width) - 1).bit_count()


def counted(rows: np.ndarray, width: int) -> float:
    """A mean a beat, a bit at a time."""
    words = [[int(value) for value in row] for row in rows]
    return sum(bits(a ^ b, width) for before, now in zip(words, words[1:], strict=False)
               for a, b in zip(before, now, strict=True)) / len(words)


@pytest.mark.parametrize("width", [5, 16, 64])
def test_bits_that_change_are_counted_one_by_one(rng: np.random.Generator, width: int) -> None:
    values = rng.integers(-(1 << width - 1), (1 << width - 1) - 1, (17, 3), endpoint=True)
    assert changes.changed(values, width) == counted(values, width)
    assert changes.changed(values[:1], width) == 0


@pytest.mark.parametrize("grid", [None, (4, 5)])
def test_lifting_and_scale_count_what_travels(rng: np.random.Generator, grid: tuple[int, int] | None) -> None:
    """Without levels a coefficient is its token's code, in order. A token of 6 beats stays for the engine's pace."""
    run = Passage.of(layer(rng, grid=grid), CONFIG.with_job(levels=0))
    codes, _, _ = linear.quantize_input(run.layer.x, run.result.s_x, 0, 16)
    fed = np.pad(codes, ((0, 0), (0, 2))).reshape(-1, 4)
    found = changes.of_layer(run, "lifting")
    assert found["in"] == counted(fed, 16) and found["out"] == counted(fed, 18)
    pace = EngineParams.of(CONFIG.hw).scale.recip_width
    assert pace > 6 and (found["cycles"], found["paired"], found["cross"]) == (pace / 6, 0.0, 0.0)
    found = changes.of_layer(run, "scale")
    assert (found["in"], found["groups"]) == (counted(fed, 18), 20 / len(fed))
    sent = np.pad(run.result.quantized.codes, ((0, 0), (0, 2))).reshape(-1, 4)
    assert found["out"] == counted(sent, 8)


def test_partial_products_of_the_scale_unit_are_counted_row_by_row(rng: np.random.Generator) -> None:
    """A bit of c − lo that turns, under a reciprocal of so many ones, turns so many partial products."""
    run = Passage.of(layer(rng), CONFIG)
    quantized, order, total, last = run.result.quantized, run.part.order, 0, [0] * 4
    for number, token in enumerate(order):
        span, lo, qmax = (int(values[token]) for values in (quantized.span[:, 0], quantized.lo[:, 0], quantized.qmax))
        shift = 18 - span.bit_length()
        recip = ((qmax << 26) + (span << shift >> 1)) // (span << shift)
        codes = [int(value) - lo << shift for value in run.result.coefficients[token]] + [0, 0]
        for beat in range(6):
            now = codes[4 * beat : 4 * beat + 4]
            if number or beat:
                total += recip.bit_count() * sum(bits(a ^ b, 18) for a, b in zip(last, now, strict=True))
            last = now
    assert changes.of_layer(run, "scale")["partial"] == pytest.approx(total / (6 * len(order)))


def test_every_second_token_of_one_level_has_a_butterfly(rng: np.random.Generator) -> None:
    found = changes.of_layer(Passage.of(layer(rng), CONFIG.with_job(levels=1)), "lifting")
    pace = EngineParams.of(CONFIG.hw).scale.recip_width
    assert found["paired"] == 0.5 and found["slots"] == pytest.approx(found["cycles"] / pace, rel=0.2)


def test_a_pe_sees_operand_weight_and_product(rng: np.random.Generator) -> None:
    """Packed as one number; split as two nibbles and two products."""
    low, high, weight = rng.integers(-8, 8, 40), rng.integers(-8, 8, 40), rng.integers(-128, 128, 40)
    params = MacParams.of(CONFIG.hw)
    packed = np.array([(int(h) * 4096 + int(a),) for a, h in zip(low, high, strict=True)])
    found = changes.of_steps(params, 4, low, high, weight)
    assert found == {"operand": counted(packed, 17), "weight": counted(weight[:, None], 8),
                     "product": counted(packed * weight[:, None], 24)}
    code = rng.integers(-128, 128, 40)
    split = changes.of_steps(replace(params, multiplier="split"), 8, code, np.zeros_like(code), weight)
    parts = np.stack([code & 15, code >> 4], axis=1)
    assert split["operand"] == counted(parts, 5) and split["product"] == counted(parts * weight[:, None], 13)


@pytest.mark.parametrize(("tokens", "n", "n_hi"), [(16, 8, 4), (20, 6, 5), (11, 3, 3), (11, 3, 0)])
def test_pes_without_a_token_or_a_channel_see_zeros(rng: np.random.Generator, tokens: int, n: int, n_hi: int) -> None:
    """Mean over every PE of every array tile, one at a time: whole tiles, and such with empty rows and columns."""
    run = Passage.of(layer(rng, tokens=tokens, n=n), CONFIG.with_job(n_hi=n_hi, levels=1))
    params, of_bits = MacParams.of(CONFIG.hw), {8: [], 4: []}  # type: ignore[var-annotated]
    for codes, pair, weights in changes.tiles(run):
        for row, is_pair in zip(codes, pair, strict=True):
            of_bits[4 if is_pair else 8] += [
                changes.of_steps(params, 4 if is_pair else 8, row[0], row[1], weight) for weight in weights]
    for precision, found in of_bits.items():
        mean = {name: sum(one[name] for one in found) / len(found) for name in ("operand", "weight", "product")}
        assert changes.of_layer(run, f"pe{precision}") == pytest.approx(mean)


def test_what_stands_still_changes_nothing(rng: np.random.Generator) -> None:
    """Tokens that are all alike: where the low pass has 8 bits, every pair is of nothing, whatever the weights."""
    one = layer(rng)
    run = Passage.of(replace(one, x=np.repeat(one.x[:1], 20, axis=0)), CONFIG.with_job(levels=2, n_hi=5))
    found = changes.of_layer(run, "pe4")
    assert found["operand"] == 0 and found["weight"] > 2
    assert changes.of_layer(run, "pe8")["operand"] > 2


def test_a_rescaled_sum_is_the_golden_models(rng: np.random.Generator) -> None:
    """acc + mid·wsum, a column tile behind the other, tokens in the order of the rows."""
    run = Passage.of(layer(rng), CONFIG)
    assert set(changes.of_layer(run, "rescale")) == {"sum", "total", "wsum"}
    wsum = run.result.weights.codes.sum(axis=1)
    tokens = run.sent()
    mid = np.where(run.result.quantized.bits[tokens] == 8, 128, 8)[:, None]
    sums = np.pad(run.result.acc[tokens] + mid * wsum, ((0, 0), (0, 2)))
    each = np.concatenate([sums[:, column : column + 4].reshape(-1, 1) for column in (0, 4)])
    width = RescaleParams.of(CONFIG.hw).sum_width
    assert changes.of_layer(run, "rescale")["sum"] == pytest.approx(counted(each, width))


def test_a_scale_a_block_is_not_followed(rng: np.random.Generator) -> None:
    config = CONFIG.with_hw(block=16).with_job(group=16)
    run = Passage.of(layer(rng, k=48), config)
    assert all(changes.of_layer(run, unit) == {} for unit in UNITS)
    assert changes.of_layer(Passage.of(layer(rng), CONFIG), "hadamard") == {}


def test_a_layer_of_several_super_tiles_and_outliers_is_measured_on_its_first(rng: np.random.Generator) -> None:
    one = layer(rng, tokens=200)
    run = Passage.of(replace(one, outliers=(0, 9)), CONFIG.with_job(levels=2))
    assert len(run.part.order) < 200 and run.outliers == 2
    assert all(value >= 0 for unit in UNITS for value in changes.of_layer(run, unit).values())
    assert changes.of_layer(run, "inverse")["in"] > 0


def test_a_layer_without_pairs_has_no_measure_of_them(rng: np.random.Generator) -> None:
    run = Passage.of(layer(rng), CONFIG.with_job(n_hi=20))
    assert changes.of_layer(run, "pe4") == {} and changes.of_layer(run, "pe8")["operand"] > 0
