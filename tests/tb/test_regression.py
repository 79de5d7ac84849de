"""What pytest, `stamp-hw verify` and `make faults` share: the benches on shipped hardware and on seeded mistakes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rtl_gen.tops import BLOCKS, units
from stamp_hw.config import NpuConfig
from tb.faults import blocks, table
from tb.formal.table import PROPERTIES
from tb.run.block import bench_module, catch, elaborate, fresh_seed, run_block
from tb.run.fault import Fault

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "default.yaml"
# `stamp-hw verify faults` seeds all of them; these take a build each.
SOME_FAULTS = {
    "hadamard": ("signs_of_the_first_pair", "place_read_late", "counts_survive_reset"),
    "haar": ("drop_floor_shift", "inverse_ignores_ready", "skip_reset"),
    "scale": ("drop_half", "ring_one_short", "skip_a_reset", "four_bits_beyond_qmax"),
    "mac": ("drop_the_borrow", "swap_the_nibbles", "forget_the_queue", "skip_reset", "forget_the_zero"),
    "combine": ("forget_the_first_block", "read_the_other_bank", "skip_reset"),
    "rescale": ("drop_rounding", "ignore_ready", "skip_reset"),
    "engine": ("start_early", "one_table", "total"),
    "axi": ("overwrite_a_waiting_beat", "keep_one_byte"),
    "dma": ("ask_without_room", "keep_half_a_burst"),
}


def chosen() -> list[Fault]:
    return [fault for block, names in SOME_FAULTS.items() for fault in table(block) if fault.name in names]


@pytest.mark.rtl
@pytest.mark.parametrize("fault", chosen(), ids=lambda fault: f"{fault.block}.{fault.name}")
def test_the_regression_catches_a_seeded_fault_at_its_block(fault: Fault) -> None:
    catch(fault, fresh_seed())


@pytest.mark.rtl
def test_a_fault_that_edits_the_text_finds_it() -> None:
    texts: dict[tuple[str, str], dict[str, str]] = {}
    for fault in (fault for block in blocks() for fault in table(block) if fault.edit is not None):
        bench = bench_module(fault.block)
        name = fault.set_name or next(iter(bench.PARAMETER_SETS))
        if (fault.block, name) not in texts:
            texts[fault.block, name] = elaborate(bench, bench.PARAMETER_SETS[name], f"stamp_{fault.block}")[0]
        text = texts[fault.block, name]
        assert fault.edited(text) != text, fault.name  # raises ValueError where there is nothing to edit


@pytest.mark.parametrize("fault", [fault for block in blocks() for fault in table(block)]
                         + [prop.bug for prop in PROPERTIES], ids=lambda fault: f"{fault.block}.{fault.name}")
def test_what_a_fault_replaces_is_there_and_of_the_generator(fault: Fault) -> None:
    assert fault.patch is None or fault.patch[0].startswith("rtl_gen.")
    with fault.apply():  # raises where there is nothing of that name
        pass


def test_every_block_has_at_least_three_faults_of_different_names() -> None:
    assert set(blocks()) == set(BLOCKS) == set(SOME_FAULTS)
    assert len(chosen()) == sum(map(len, SOME_FAULTS.values()))
    for block in blocks():
        names = [fault.name for fault in table(block)]
        assert len(names) == len(set(names)) >= 3


@pytest.mark.rtl
@pytest.mark.parametrize(("block", "module"), [
    pytest.param(block, unit.module, marks=[pytest.mark.long] if block in ("axi", "dma") else [])
    for block in BLOCKS for unit in units(block)])
def test_the_default_hardware_equals_the_golden_model(block: str, module: str) -> None:
    """The widths, depths and accumulators that users get; the benches' own sets are smaller."""
    unit = next(unit for unit in units(block) if unit.module == module)
    hw = NpuConfig.load(CONFIG).hw
    params = unit.params(hw if unit.is_built(hw) else replace(hw, **{str(unit.key): 64}))
    # The largest jobs of the engine take minutes here; `stamp-hw verify --config configs/default.yaml` runs them.
    tests = ("a_layer_of_the_trace_equals_the_golden_model",) if block == "engine" else None
    result = run_block(block, module.removeprefix("stamp_"), fresh_seed(), params=params, words=10_000, tests=tests)
    assert result.words >= 10_000
    assert result.timed_beats > 0 or block in ("axi", "dma")  # whose cycles are those of the engine inside
