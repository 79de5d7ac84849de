"""The block Hadamard unit: its cycle model against counting by hand, its RTL against golden model and cycle model."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from rtl_gen.hadamard.unit import Hadamard, event_layout, job_layout
from rtl_gen.verilog.emit import verilog
from sim import hadamard as hadamard_sim
from sim.pipeline import always
from stamp_hw.errors import ConfigError
from stamp_hw.hadamard_params import HadamardJob, HadamardParams
from stamp_hw.hw_config import HwConfig
from tb import tb_hadamard
from tb.bench.patterns import listed
from tb.run.block import fresh_seed, run_block

WORDS = 60_000  # of each parameter set; `stamp-hw verify` compares a million in all
SIXTEEN = HadamardParams(lanes=16, width=16, block=64, max_beats=8)


def draw_jobs(rng: np.random.Generator) -> tuple[HadamardParams, list[HadamardJob]]:
    """Any unit and a few jobs for it."""
    params = HadamardParams(lanes=int(rng.choice([1, 2, 4, 8, 16, 32])), width=16, block=int(rng.choice([16, 64, 256])),
                            max_beats=256)
    most = tb_hadamard.most_channels(params)
    jobs = [params.job(tokens=int(rng.integers(1, 6)), k=int(rng.integers(1, min(most, 600) + 1)),
                       shift=None if rng.integers(3) == 0 else int(rng.integers(params.levels + 1)))
            for _ in range(int(rng.integers(1, 4)))]
    return params, jobs


@pytest.mark.rtl
@pytest.mark.parametrize("name", tb_hadamard.PARAMETER_SETS)
def test_rtl_equals_the_golden_model_in_values_cycles_and_events(name: str) -> None:
    run_block("hadamard", name, fresh_seed(), words=WORDS)


def test_without_stalls_the_closed_form_is_what_the_unit_steps_to(rng: np.random.Generator) -> None:
    for _ in range(200):
        params, jobs = draw_jobs(rng)
        assert hadamard_sim.timing(params, jobs).cycles == hadamard_sim.cycles(params, *jobs)


def test_a_block_of_four_beats_leaves_nine_cycles_behind_its_last_one() -> None:
    """Registers in cycle 0, beats in 1 to 8: two blocks, complete in 4 and 8."""
    timing = hadamard_sim.timing(SIXTEEN, [SIXTEEN.job(tokens=2, k=50, shift=4)])
    assert SIXTEEN.latency == 9 and timing.inputs.tolist() == list(range(1, 9))
    assert timing.outputs.tolist() == [13, 14, 15, 16, 17, 18, 19, 20]


def test_the_unit_fills_a_block_by_itself() -> None:
    """20 channels are two beats, and two more that nobody sends; the next token comes behind them."""
    timing = hadamard_sim.timing(SIXTEEN, [SIXTEEN.job(tokens=2, k=20, shift=4)])
    assert timing.inputs.tolist() == [1, 2, 5, 6] and timing.outputs.tolist() == list(range(13, 21))


def test_a_waiting_output_holds_every_register() -> None:
    """Ready in cycles 3, 7, 11, …: the first beat is there in 13, and 15 takes it; every fourth cycle a beat enters."""
    timing = hadamard_sim.timing(SIXTEEN, [SIXTEEN.job(tokens=8, k=64, shift=4)], always, listed([0, 0, 0, 1]))
    assert timing.outputs.tolist() == [15 + 4 * beat for beat in range(32)]
    assert timing.inputs.tolist()[:15] == [*range(1, 13), 15, 19, 23]


def test_a_job_that_is_off_is_not_there() -> None:
    timing = hadamard_sim.timing(SIXTEEN, [SIXTEEN.job(tokens=3, k=40, shift=None)], listed([1, 0]), listed([1, 1, 0]))
    assert timing.inputs.tolist() == timing.outputs.tolist() and len(timing.inputs) == 9


def test_stalls_only_ever_delay(rng: np.random.Generator) -> None:
    for _ in range(40):
        params, jobs = draw_jobs(rng)
        free = hadamard_sim.timing(params, jobs)
        valid, ready = (rng.random(101) < 0.6 for _ in range(2))
        valid[-1] = ready[-1] = True
        held = hadamard_sim.timing(params, jobs, lambda c, v=valid: bool(v[c % 101]),
                                   lambda c, r=ready: bool(r[c % 101]))
        for side in ("inputs", "outputs", "jobs"):
            assert (np.diff(getattr(held, side)) > 0).all()
            assert (getattr(held, side) >= getattr(free, side)).all()
        assert ready[held.outputs % 101].all()


def test_no_more_tokens_are_inside_than_the_parameters_say(rng: np.random.Generator) -> None:
    """Which is as many as the engine has places for what travels beside the unit."""
    most: dict[int, int] = {}
    for _ in range(200):
        params, jobs = draw_jobs(rng)
        jobs = [replace(job, tokens=40) for job in jobs if job.on][:1]
        if not jobs:
            continue
        job = jobs[0]
        asleep = listed([0] * int(rng.integers(1, 60)) + [1] * int(rng.integers(1, 4)))
        timing = hadamard_sim.timing(params, jobs, always, asleep if rng.integers(2) else always)
        came, gone = timing.inputs[job.in_beats - 1 :: job.in_beats], timing.outputs[job.beats - 1 :: job.beats]
        # counted when a beat is taken, so a token that leaves in the same cycle is still there
        inside = max(int(np.count_nonzero(came <= cycle) - np.count_nonzero(gone < cycle)) for cycle in came)
        assert inside <= params.tokens_inside
        if job.beats == params.block_beats:
            most[params.block_beats] = max(most.get(params.block_beats, 0), params.tokens_inside - inside)
    assert most and min(most.values()) <= 1, "the bound is near what there is"


def test_events_are_counted_by_beat(rng: np.random.Generator) -> None:
    for _ in range(30):
        params, jobs = draw_jobs(rng)
        beats = sum(job.tokens * job.beats for job in jobs if job.on)
        assert hadamard_sim.events(params, *jobs, saturated=3) == hadamard_sim.HadamardEvents(beats=beats, saturated=3)
    assert set(hadamard_sim.HadamardEvents.__dataclass_fields__) == {name for name, _ in event_layout(SIXTEEN)}
    assert set(HadamardJob.__dataclass_fields__) == {name for name, _ in job_layout(SIXTEEN)}


@pytest.mark.parametrize(("change", "where"), [
    ({"k": 0}, "HadamardJob.k"), ({"k": 129}, "HadamardJob.k"), ({"tokens": 0}, "HadamardJob.tokens"),
    ({"tokens": 1 << 17}, "HadamardJob.tokens"), ({"shift": 7}, "HadamardJob.shift"),
    ({"shift": -1}, "HadamardJob.shift"),
])
def test_a_job_that_the_unit_cannot_take_is_refused_by_name(change: dict[str, int], where: str) -> None:
    with pytest.raises(ConfigError) as error:
        SIXTEEN.job(**{"tokens": 2, "k": 16, "shift": 3, **change})
    assert error.value.where == where
    ragged = replace(SIXTEEN, max_beats=6)
    with pytest.raises(ConfigError, match="whole blocks do not fit"):
        ragged.job(tokens=1, k=65, shift=0)
    assert ragged.job(tokens=1, k=96, shift=None).beats == 6, "a job that is off needs no whole block"


@pytest.mark.parametrize(("change", "where"), [
    ({"lanes": 3}, "HadamardParams.lanes"), ({"block": 32}, "HadamardParams.block"),
    ({"width": 19}, "HadamardParams.width"), ({"max_beats": 0}, "HadamardParams.max_beats")])
def test_a_unit_that_cannot_be_is_refused_by_name(change: dict[str, int], where: str) -> None:
    with pytest.raises(ConfigError) as error:
        replace(SIXTEEN, **change)
    assert error.value.where == where


def test_parameters_come_from_the_one_configuration() -> None:
    params = HadamardParams.of(HwConfig(hadamard=64))
    assert (params.lanes, params.width, params.block, params.max_beats) == (16, 16, 64, 256)
    with pytest.raises(ConfigError, match=r"hw\.hadamard"):
        HadamardParams.of(HwConfig())
    for change, where in (({"hadamard": 32}, "hw.hadamard"), ({"hadamard": True}, "hw.hadamard"),
                          ({"hadamard": 64, "lanes": 12}, "hw.lanes")):
        with pytest.raises(ConfigError) as error:
            HwConfig(**change)
        assert error.value.where == where


def test_what_waits_between_beats_is_one_beat_less_than_a_block() -> None:
    """Levels of 4, 2 and 1 beats for a block of 8: two memories and a register, whatever the order of the levels."""
    files = verilog(Hadamard(HadamardParams(lanes=2, width=8, block=16, max_beats=8)), "stamp_hadamard")
    text = "".join(files.values())
    assert [int(last) + 1 for last in re.findall(r"reg \[\d+:0\] store \[0:(\d+)\];", text)] == [4, 2]
    assert "store" not in files["stamp_hadamard_beats2.v"] and len(files) == 4
