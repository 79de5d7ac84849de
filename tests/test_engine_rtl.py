"""The engine's RTL against golden model and cycle model, on small arrays; `make regress` runs many more layers."""

from __future__ import annotations

import pytest

from tb import tb_engine
from tb.regression import fresh_seed, run_block

WORDS = 12_000  # output words of random layers a parameter set


@pytest.mark.rtl
@pytest.mark.parametrize("name", tb_engine.PARAMETER_SETS)
def test_rtl_equals_the_golden_model_in_values_cycles_and_events(name: str) -> None:
    result = run_block("engine", name, fresh_seed(), words=WORDS)
    assert result.words >= WORDS and result.timed_beats > 0
