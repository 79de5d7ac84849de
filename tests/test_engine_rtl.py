"""The engine's RTL against golden model and cycle model, on small arrays; `make regress` runs many more layers."""

from __future__ import annotations

import pilot_alarm
import pytest
from amaranth.hdl import Const

from tb import tb_engine
from tb.faults import Fault
from tb.regression import fresh_seed, run_block

WORDS = 12_000  # output words of random layers a parameter set


@pytest.mark.rtl
@pytest.mark.parametrize("name", tb_engine.PARAMETER_SETS)
def test_rtl_equals_the_golden_model_in_values_cycles_and_events(name: str) -> None:
    result = run_block("engine", name, fresh_seed(), words=WORDS)
    assert result.words >= WORDS and result.timed_beats > 0


BROKEN = {
    "steps that come before the array can take them": ("engine_array.may_end", lambda gap, tile, out_free: Const(1)),
    "a queue of array tiles that is too short": ("engine_drain.tiles_in_array", lambda params: 1),
    "a queue of inverse jobs that is too short": ("engine_back.liftings_under_way", lambda params: 1),
    "a queue beside the scale unit that is too short": ("engine_front.tokens_in_scale", lambda params: 1),
}


@pytest.mark.rtl
@pytest.mark.parametrize("what", BROKEN)
def test_an_engine_that_is_broken_raises_its_alarm(what: str) -> None:
    seam, value = BROKEN[what]
    fault = Fault(name="broken", block="engine", why=what, patch=(f"rtl_gen.{seam}", value))
    run_block("engine", "2x2", fresh_seed(), fault=fault, bench=pilot_alarm, words=1)


@pytest.mark.rtl
def test_an_engine_that_is_not_broken_raises_no_alarm() -> None:
    with pytest.raises(AssertionError, match="no alarm in 40 jobs"):
        run_block("engine", "2x2", fresh_seed(), bench=pilot_alarm, words=1)
