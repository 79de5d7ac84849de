"""Prices that follow values: fitted on some layers, held to others that they have not seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rtl_gen.asic import follow, layer_beats, layers, libraries, library, pe
from rtl_gen.asic.characterize import characterize, following
from rtl_gen.asic.energy import Wires
from rtl_gen.asic.follow import Sample
from rtl_gen.asic.parts import parts
from stamp_hw.config import NpuConfig
from stamp_hw.errors import ConfigError
from stamp_hw.params import MacParams
from tests.rtl_gen.test_asic import SMALL
from tests.support.asic_cases import five
from tests.support.refusals import TRACE, refused

SMALL_LAYERS = SMALL.with_hw(max_k=256, in_width=16, axes=2)
FREEPDK = libraries.known()["freepdk45"]


def sample(rng: np.random.Generator, **prices: float) -> Sample:
    measures = {name: float(rng.uniform(1, 9)) for name in prices if name != follow.BASE}
    each = prices[follow.BASE] + sum(prices[name] * value for name, value in measures.items())
    return Sample(pj=10 * each, rest_pj=50.0, mean_pj=7.0, beats=10, measures=measures)


def test_prices_that_made_the_samples_are_found(rng: np.random.Generator) -> None:
    prices = {"base": 2.0, "in": 0.5, "out": 0.25}
    found = follow.fit([sample(rng, **prices) for _ in range(8)])
    assert found == pytest.approx(prices)


def test_no_price_is_below_zero(rng: np.random.Generator) -> None:
    found = follow.fit([sample(rng, base=9.0, up=0.5, down=-0.4) for _ in range(12)])
    assert "down" not in found and found["up"] > 0 and follow.BASE in found
    still = replace(sample(rng, base=3.0, never=0.0), measures={"never": 0.0})
    assert follow.fit([still] * 4) == pytest.approx({"base": 3.0})


def test_what_is_unseen_moves_no_price(rng: np.random.Generator) -> None:
    prices = {"base": 2.0, "in": 0.5}
    samples = {f"made {n}": [sample(rng, **prices)] for n in range(5)} | {"trace": [sample(rng, base=90.0)]}
    samples["trace"] = [replace(samples["trace"][0], measures={"in": 4.0})]
    assert following(samples, {"trace"}) == pytest.approx(prices)
    assert following(samples, ())["base"] != pytest.approx(2.0)
    assert following({"trace": samples["trace"]}, {"trace"}) == {}


def test_an_error_is_what_is_charged_over_what_was_taken() -> None:
    one = Sample(pj=30.0, rest_pj=70.0, mean_pj=40.0, beats=10, measures={"in": 2.0})
    found = follow.error("layer", [one], {"base": 1.0, "in": 0.5})
    assert (found.total_pj, found.mean, found.following) == pytest.approx((100.0, 0.10, -0.10))
    both = follow.error("layer", [one, replace(one, pj=130.0, rest_pj=170.0, mean_pj=130.0)], {"base": 3.0})
    assert (both.total_pj, both.mean, both.following) == pytest.approx((400.0, 0.025, -0.25))


def test_made_layers_are_the_same_everywhere_and_others_are_none_of_them() -> None:
    fitted, again = (layers.made(layers.FITTED, SMALL_LAYERS, layers.SEED) for _ in range(2))
    others = layers.made(layers.OTHERS, SMALL_LAYERS, layers.OTHER_SEED)
    assert len(fitted) == len(layers.FITTED) and len(others) == len(layers.OTHERS) and not set(fitted) & set(others)
    assert all((fitted[name].layer.x == again[name].layer.x).all() for name in fitted)
    sizes = {one.layer.x.shape for one in fitted.values()}
    assert not sizes & {one.layer.x.shape for one in others.values()}


def test_layers_of_a_trace_are_cut_and_those_of_hardware_without_room_are_refused() -> None:
    found = layers.traced(TRACE, SMALL_LAYERS)
    assert len(found) == layers.A_TRACE and all(len(one.layer.x) == layers.TOKENS for one in found.values())
    assert {len(one.layer.weight) for one in found.values()} == {2 * SMALL_LAYERS.hw.cols}
    with pytest.raises(ConfigError, match="no layer for the gates"):
        layers.traced(TRACE, NpuConfig.from_dict({"hw": {"rows": 1, "cols": 1, "act_slots": 1}}))


@pytest.mark.rtl
def test_a_unit_is_held_to_layers_that_its_prices_have_not_seen() -> None:
    """`finish` in five cells: what its gates take is charged within 5 % by values, and worse by mean prices."""
    fitted = layers.made(layers.FITTED, SMALL_LAYERS, layers.SEED)
    unseen = layers.made(layers.OTHERS, SMALL_LAYERS, layers.OTHER_SEED) | layers.traced(TRACE, SMALL_LAYERS)
    (part,) = parts(SMALL_LAYERS, "finish", layers=fitted | unseen)
    found = characterize(part, five(), Wires(ff=2.0), tuple(unseen))
    assert {one.run for one in found.errors} == set(unseen)
    worst, worst_mean = (max(abs(getattr(one, name)) for one in found.errors) for name in ("following", "mean"))
    assert worst < 0.05 < worst_mean
    assert found.to_dict()["energy_error"] == worst


@pytest.mark.rtl
@pytest.mark.parametrize(("block", "random"), [("finish", True), ("pe", True), ("finish", False)])
def test_mean_prices_come_to_what_made_layers_took(block: str, random: bool) -> None:
    """All of them together, charged by events alone; a PE has a price of each kind of step. Not so where the bench is
    no random one, whose prices stand."""
    fitted = layers.made(layers.FITTED[:3], SMALL_LAYERS, layers.SEED)
    again = {f"{name} again": run for name, run in fitted.items()}
    (part,) = parts(SMALL_LAYERS, block, layers=fitted | again)
    found = characterize(replace(part, random=random), five(), Wires(ff=2.0), tuple(again)).errors
    assert {one.run for one in found} == set(again) & set(part.layers)
    off = sum(one.total_pj * one.mean for one in found) / sum(one.total_pj for one in found)
    assert (abs(off) < 1e-9) == random and max(abs(one.mean) for one in found) > 1e-3


@pytest.mark.rtl
@pytest.mark.skipif(not FREEPDK.path.is_file(), reason="needs freepdk45 (pip install 'stamp-hw[asic]')")
def test_a_pe_of_45_nm_is_held_to_traces() -> None:
    cells = library.load(FREEPDK.path, FREEPDK.slew)
    unseen = layers.traced(TRACE, SMALL_LAYERS)
    (part,) = parts(SMALL_LAYERS, "pe", layers=layers.made(layers.FITTED, SMALL_LAYERS, layers.SEED) | unseen)
    found = characterize(part, cells, Wires(ff=FREEPDK.wire_ff), tuple(unseen))
    assert max(abs(one.following) for one in found.errors) < 0.05
    assert set(found.follows_pj) == {"base", "operand", "weight", "product"}


def test_a_pe_gets_a_row_slot_and_a_channel_behind_the_other() -> None:
    (run,) = layers.made(layers.FITTED[3:4], SMALL_LAYERS, layers.SEED).values()
    k = run.layer.x.shape[1]
    found = pe.of_passage(run, 2 * k)
    assert found is not None and found.weights4 is not None
    rows = run.part.rows
    eight = rows[run.result.quantized.bits[rows[:, 0]] == 8][0, 0]
    four = rows[run.result.quantized.bits[rows[:, 0]] == 4][0]
    assert (found.codes8[:k] == run.result.quantized.codes[eight]).all()
    assert (found.codes4[:k] == run.result.quantized.codes[four].T).all()
    assert (found.weights[:k] == run.result.weights.codes[0]).all()
    measures = found.measures(MacParams.of(SMALL_LAYERS.hw), pe.FOUR)
    assert set(measures) == {"operand", "weight", "product"}


def test_beats_are_those_of_the_streams() -> None:
    (run,) = layers.made(layers.OTHERS[:1], SMALL_LAYERS, layers.OTHER_SEED).values()
    hw = SMALL_LAYERS.hw
    fed = {name: make(run).inputs for name, make in layer_beats.OF_PART.items()}
    assert layer_beats.count(run, "lifting") == len(fed["lifting"]["i"]["x"])
    assert layer_beats.count(run, "scale") == len(fed["scale"]["i"]["values"])
    assert layer_beats.count(run, "array") == layer_beats.count(run, "control") == len(fed["array"]["i"]["act"])
    assert layer_beats.count(run, "rescale") == len(fed["rescale"]["i"]["acc"]) * hw.drain_lanes
    assert layer_beats.count(run, "inverse") == layer_beats.count(run, "finish") // hw.drain_lanes
    assert layer_beats.count(run, "finish") == len(fed["finish"]["i"]["v"]) * hw.drain_lanes
    pes = layer_beats.count(run, "pe8") + layer_beats.count(run, "pe4")
    assert pes == layer_beats.count(run, "array") * hw.rows * hw.cols


def test_a_check_without_a_trace_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "no.safetensors"
    said = refused(["characterize", "--liberty", "five", "--block", "pe", "--check", str(missing)], capsys)
    assert str(missing) in said
