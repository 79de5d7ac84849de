"""What the engine promises of its throughput, on random shapes; the cycles are those of the RTL."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sim.studies import throughput
from sim.studies.throughput import Point, share
from stamp_hw.cli.main import main
from stamp_hw.errors import ConfigError


def draw(rng: np.random.Generator) -> Point:
    """A shape for which the array is to be full, as few column tiles as that takes among them."""
    while True:
        rows, cols = (int(size) for size in rng.choice([2, 4, 8, 16, 32], 2))
        lanes = int(rng.choice([rows, 2 * rows, 4 * rows, 8]))
        point = Point(rows=rows, cols=cols, lanes=lanes, tokens=2 * rows * int(rng.integers(1, 41)),
                      k=int(rng.integers(1024, 4097)), n=cols * (-(-2 * rows // lanes) + int(rng.integers(6))),
                      levels=int(rng.integers(0, 7)))
        if point.steady:
            return point


def test_the_array_is_full_in_steady_state(rng: np.random.Generator) -> None:
    for _ in range(150):
        point = draw(rng)
        try:
            assert point.cycles().utilization >= 0.99, point
        except ConfigError:
            assert point.levels == 6 and point.rows == 2, point  # a Haar tile that no buffer of this array holds


@pytest.mark.parametrize(("lanes", "k", "full"), [(64, 1152, True), (64, 1153, False), (128, 1024, False)])
def test_the_array_is_not_full_where_tokens_come_more_slowly_than_it_takes_them(lanes: int, k: int, full: bool) -> None:
    """One column tile: a beat more a token than it has channels for, or fewer beats than a division takes cycles."""
    point = Point(rows=32, cols=32, lanes=lanes, tokens=2048, k=k, n=32, levels=2)
    assert point.steady == full == (point.cycles().utilization >= 0.99)


def test_four_bits_take_half_the_cycles_of_eight() -> None:
    for size in (4, 8, 16, 32):
        layer = {"rows": size, "cols": size, "lanes": 2 * size, "tokens": 1024, "k": 2048, "n": 32 * size, "levels": 0}
        steady = [cycles.total - cycles.first_fill - cycles.tail
                  for cycles in (Point(**layer, n_hi=n_hi).cycles() for n_hi in (1024, 0))]
        assert steady[0] >= 1.99 * steady[1]


def test_the_transform_hides_under_the_array() -> None:
    """2048 tokens x 4096 x 4096 on 32 x 32 with 64 lanes."""
    point = dict(throughput.points())["transform's share"]
    assert (point.tokens, point.k, point.n, point.rows, point.cols, point.lanes) == (2048, 4096, 4096, 32, 32, 64)
    assert 0 < share(point.cycles()) <= 0.001


def test_the_table_names_every_promise(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["throughput", "--json", str(tmp_path / "throughput.json")]) == 0
    printed = capsys.readouterr().out
    for wanted in ("utilization", "INT4 over INT8", "transform's share"):
        assert wanted in printed
    assert all(point.steady for _, point in throughput.points())
    figures = json.loads((tmp_path / "throughput.json").read_text("utf-8"))["transform's share"]
    assert figures["share"] == share(dict(throughput.points())["transform's share"].cycles())
