"""The engine's RTL against golden model and cycle model, on small arrays; `make regress` runs many more layers."""

from __future__ import annotations

import pytest
from amaranth.hdl import Const

from rtl_gen.tops import units
from stamp_hw.cli.main import main
from stamp_hw.config import HwConfig
from stamp_hw.engine.params import EngineParams
from tb import tb_engine
from tb.commands.deep import RANDOM_TESTS, TRACE_SET
from tb.run import block as regression
from tb.run.block import fresh_seed, run_block
from tb.run.corners import CORNERS
from tb.run.fault import Fault
from tests.support import pilot_alarm
from tests.support.refusals import TRACE

LONG = (TRACE_SET, "8x8", "two_blocks", "1x3", "3x6", "4x4", "2x3 blocks")  # whose builds and benches take longest
WORDS = 12_000  # output words of random layers a parameter set


@pytest.mark.rtl
@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.long] if name in LONG else [])
                                  for name in tb_engine.PARAMETER_SETS])
def test_rtl_equals_the_golden_model_in_values_cycles_and_events(name: str) -> None:
    # the largest array takes the random layers alone here; `stamp-hw verify` runs every test on it
    result = run_block("engine", name, fresh_seed(), words=WORDS, tests=RANDOM_TESTS if name == TRACE_SET else None)
    assert result.words >= WORDS and result.timed_beats > 0


@pytest.mark.long
@pytest.mark.rtl
def test_the_longest_tokens_of_a_sequence_fill_the_registers() -> None:
    """32,768 channels of nothing but the lowest and the highest codes, on a small array of one axis."""
    params = EngineParams.of(HwConfig(rows=1, cols=1, lanes=32, axes=1, max_levels=1, max_k=32768, max_tokens=2,
                                      act_slots=2))
    run_block("engine", "long", fresh_seed(), params=params, words=1, tests=["sums_and_products_fill_their_registers"])


BROKEN = {  # what, and the parameter set in which it shows
    "steps that come before the array can take them": ("engine.issue.may_end", lambda apart, out_free: Const(1),
                                                       "2x2"),
    "a queue beside the scale unit that is too short": ("engine.front.tokens_in_scale", lambda params: 1, "2x2"),
    "a queue beside the Hadamard unit that is too short": ("engine.front.sinks_inside", lambda params: 1, "two_blocks"),
}


@pytest.mark.rtl
@pytest.mark.parametrize("what", BROKEN)
def test_an_engine_that_is_broken_raises_its_alarm(what: str) -> None:
    seam, value, set_name = BROKEN[what]
    fault = Fault(name="broken", block="engine", why=what, patch=(f"rtl_gen.{seam}", value))
    run_block("engine", set_name, fresh_seed(), fault=fault, bench=pilot_alarm, words=1)


@pytest.mark.rtl
def test_an_engine_that_is_not_broken_raises_no_alarm() -> None:
    with pytest.raises(AssertionError, match="no alarm in 40 jobs"):
        run_block("engine", "2x2", fresh_seed(), bench=pilot_alarm, words=1)


@pytest.mark.rtl
@pytest.mark.parametrize("name", ["one of everything", "one row slot",
                                  pytest.param("no levels", marks=pytest.mark.long),
                                  pytest.param("more rows than row slots", marks=pytest.mark.long)])
def test_the_bench_fits_any_legal_hardware(name: str) -> None:
    """Every test but the longest one finds layers that the hardware takes, or says why there are none. `make regress`
    tries all corners."""
    tests = [test for test in regression.tests_of(tb_engine) if test != "thousands_of_column_tiles_are_counted"]
    params = EngineParams.of(CORNERS[name])
    result = run_block("engine", "corner", fresh_seed(), params=params, words=300, tests=tests)
    assert set(result.idle) == set(result.reasons)


@pytest.mark.rtl
@pytest.mark.parametrize("block", ["haar", "scale", "mac", "rescale"])
def test_the_benches_of_the_units_fit_the_smallest_hardware(block: str) -> None:
    hw = CORNERS["one of everything"]
    for unit in units(block, hw):
        run_block(block, "corner", fresh_seed(), params=unit.params(hw), words=300)


@pytest.mark.rtl
def test_a_trace_of_which_no_layer_runs_is_refused_by_layer_and_reason(
        capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAMP_TRACE", "")  # which the command sets, and nobody else shall see
    trace_test = "a_layer_of_the_trace_equals_the_golden_model"
    assert main(["verify", "--block", "engine", "--set", "2x2", "--test", trace_test, "--trace", str(TRACE)]) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1 and "nothing of the trace was compared: engine 2x2: layer model.layers.1" in said
    assert "at most hw.max_tokens = 90" in said
