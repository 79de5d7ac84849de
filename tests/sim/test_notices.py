"""What `simulate` warns of: what matters, a line a kind, the worst layer named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim.mapping.precision import Precision
from sim.studies import notices, tables
from tests.support.simulate_cases import document, write_one

LIMIT = 1000.0


def figures(*found: notices.Notice | None) -> dict[str, Any]:
    return {"warnings": [notice.to_dict() for notice in found if notice is not None]}


def test_a_line_a_kind_names_the_worst_layer_and_hundreds_of_layers_stay_a_few_lines() -> None:
    layers = {f"layer{index}": {scheme: figures(
        notices.saturated("y_saturated", "outputs (y)", 10 + index, 10_000),
        notices.headroom(999 - index, LIMIT, 32767) if index < 3 else None) for scheme in ("a4", "stamp")}
        for index in range(300)}
    layers["worst"] = {"a4": figures(notices.saturated("y_saturated", "outputs (y)", 9_000, 10_000)),
                       "stamp": figures(notices.saturated("x_saturated", "inputs (x)", 1, 10_000, 400.0))}
    assert notices.lines(layers) == [
        "* 301 layers saturate outputs (y), the worst worst (a4): 9000 of 10000 outputs (y) saturate (90 %)",
        "* 3 layers leave the 8-bit tokens too few codes, the worst layer2 (a4): median token's absmax uses 997 of "
        "32767: below 1000 the 8-bit tokens lose accuracy",
        "* worst (stamp): 1 of 10000 inputs (x) saturate (0.01 %, up to 400 times the largest code)"]


@pytest.mark.parametrize(("count", "beyond", "warned"), [
    (0, 1.0, False), (1, 1.0, False), (4, 1.0, False), (5, 1.0, True), (1, 2.0, False), (1, 2.1, True)])
def test_next_to_nothing_is_no_warning_and_one_lost_outlier_is(count: int, beyond: float, warned: bool) -> None:
    assert (notices.saturated("x_saturated", "inputs (x)", count, 49_152, beyond) is not None) == warned


@pytest.mark.parametrize(("factor", "warned"), [(1.001, False), (3.0, True)])
def test_one_saturated_value_is_counted_and_warned_of_only_where_it_is_lost(factor: float, warned: bool, tmp_path: Path
                                                                            ) -> None:
    x = np.random.default_rng(3).uniform(-1, 1, (256, 192))
    x[5, 7] = factor
    trace = write_one(tmp_path / "t", x, origin={"calibration": "static: 2 sequences"}, s_x=1 / 32767, s_y=1.0)
    found = document(tmp_path, trace, "--schemes", "a4")
    layer = found["layers"]["one"]["a4"]
    assert layer["saturated"]["x"] == 1
    assert [notice["kind"] for notice in layer["warnings"]] == (["x_saturated"] if warned else [])
    assert found["totals"]["a4"]["warnings"] == int(warned) and ("\none*" in tables.render(found)) == warned


def test_every_kind_of_warning_has_a_line_for_several_layers() -> None:
    of_jobs = [(kind, 0.0, f"{kind} = 1") for kind in ("levels", "n_hi")]
    made = [notices.headroom(1, LIMIT, 32767), *notices.of_job(of_jobs),
            *(notices.saturated(f"{name}_saturated", name, 1, 1) for name in "xyzh"),
            notices.rows(Precision(n_hi=2, array_tiles=2, fewer=0, fewer_tiles=1, as_many=64), 64)]
    assert {notice.kind for notice in made if notice} == set(notices.KINDS)
    assert all(0 <= notice.severity <= 1 for notice in made if notice)


@pytest.mark.parametrize(("n_hi", "tiles", "fewer", "fewer_tiles", "tokens", "warned"), [
    (2, 2, 0, 1, 64, True), (4, 2, 0, 1, 64, True), (5, 2, 0, 1, 64, False), (8, 8, 7, 7, 128, True),
    (9, 9, 8, 8, 144, False), (64, 2, 0, 1, 64, False), (0, 1, None, None, 64, False)])
def test_tiles_are_warned_of_where_one_token_in_sixteen_at_most_costs_an_eighth_of_them(
        n_hi: int, tiles: int, fewer: int | None, fewer_tiles: int | None, tokens: int, warned: bool) -> None:
    found = notices.rows(Precision(n_hi=n_hi, array_tiles=tiles, fewer=fewer, fewer_tiles=fewer_tiles, as_many=n_hi),
                         tokens)
    assert (found is not None) == warned
