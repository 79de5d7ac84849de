"""AXI top of the engine: register map, ports, and layers through cocotbext-axi's masters, sources and sinks."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from rtl_gen.axi.registers import job_register, registers
from rtl_gen.axi.stream import activation_data, parameter_data
from rtl_gen.axi.top import EngineAxi
from rtl_gen.verilog.emit import verilog
from stamp_hw.config import NpuConfig
from stamp_hw.engine.job import HADAMARD_ONLY, PACKED_ONLY, TWO_D_ONLY, EngineJob
from stamp_hw.engine.params import EngineParams
from stamp_hw.engine.wire import PARAMETER_BYTES
from tb import tb_axi
from tb.axi import cases as axi_cases
from tb.run import block
from tb.run.block import fresh_seed, run_block
from tb.run.corners import CORNERS
from tests.support.netlist import combinational
from tests.support.register_map import check_register_map

DEFAULT = EngineParams.of(NpuConfig().hw)
LARGEST = EngineParams.of(NpuConfig().with_hw(max_k=16384, max_tokens=65536, rows=256, cols=256, lanes=256,
                                              act_slots=65536).hw)
LONGEST = EngineParams.of(NpuConfig().with_hw(max_k=32768, axes=1, lanes=1).hw)
BUILDS = {**tb_axi.PARAMETER_SETS, "default": DEFAULT, "largest": LARGEST, "longest": LONGEST}


@pytest.mark.long
@pytest.mark.rtl
@pytest.mark.parametrize("name", tb_axi.PARAMETER_SETS)
def test_registers_and_layers_through_axi_are_right(name: str) -> None:
    run_block("axi", name, fresh_seed())


def test_a_layer_that_no_hardware_takes_is_not_drawn_for_ever(rng: np.random.Generator) -> None:
    params = tb_axi.PARAMETER_SETS["line"]
    with pytest.raises(AssertionError, match=f"no layer of {params.max_tokens + 1} tokens in"):
        axi_cases.draw(params, rng, tokens=params.max_tokens + 1)


@pytest.mark.parametrize("name", BUILDS)
def test_the_register_map_has_no_overlap_and_every_job_register(name: str) -> None:
    params = BUILDS[name]
    table = registers(params)
    check_register_map(table)
    absent = {*(() if params.axes == 2 else TWO_D_ONLY), *(() if params.block else ("blocks",)),
              *(() if params.packed_weights else PACKED_ONLY), *(() if params.hadamard else HADAMARD_ONLY)}
    wanted = {job_register(item.name) for item in fields(EngineJob) if item.name not in absent}
    assert {register.name for register in table if register.name.startswith("JOB_")} == wanted


def test_a_register_has_the_same_offset_in_every_build() -> None:
    places: dict[str, int] = {}
    for params in BUILDS.values():
        for register in registers(params):
            assert places.setdefault(register.name, register.offset) == register.offset, register.name


def test_parameters_are_sixteen_bytes_of_naturally_aligned_fields() -> None:
    layout = parameter_data()
    assert layout.size == 8 * PARAMETER_BYTES
    for name, field in layout:
        assert field.width in (8, 16, 32) and field.offset % field.width == 0, name


@pytest.mark.rtl
@pytest.mark.parametrize("name", tb_axi.PARAMETER_SETS)
def test_no_combinational_path_leads_from_one_port_to_another(name: str, tmp_path: Path) -> None:
    reached = combinational(verilog(EngineAxi(tb_axi.PARAMETER_SETS[name]), "stamp_axi"), "stamp_axi", tmp_path)
    assert {"s_axis_act_tready", "m_axis_out_tvalid", "s_axil_rdata", "irq"} < set(reached)
    assert not {port: inputs for port, inputs in reached.items() if inputs}


@pytest.mark.rtl
def test_beats_that_are_padded_to_a_power_of_two_of_bytes_carry_what_the_others_do() -> None:
    """Of 6, 3 and 6 bytes of values, in 8, 4 and 8; what pads the inputs is anything, and no result's TKEEP has it."""
    hw = replace(CORNERS["tiles larger than the longest sequence"], lanes=3, cols=3, rescale_lanes=3, pad_beats=True)
    layout = activation_data(EngineParams.of(hw))
    assert layout.size == 64 and layout["reserved"].offset == 48
    tests = ["layers_of_random_shapes_are_right_under_pauses_on_every_channel",
             "tlast_ends_a_job_or_each_token_of_a_column_tile", "after_a_flush_at_any_moment_the_next_job_is_right",
             "a_super_tile_beyond_the_buffers_sets_overflow_and_the_next_job_is_right"]
    result = run_block("axi", "padded", fresh_seed(), params=EngineParams.of(hw), words=300, tests=tests)
    assert result.words > 300 and not result.mismatches


@pytest.mark.rtl
@pytest.mark.parametrize("name", [pytest.param("one of everything", marks=pytest.mark.long), "one row slot"])
def test_the_bench_fits_any_legal_hardware(name: str) -> None:
    """But for the tests of registers, which are the same in all builds."""
    tests = [test for test, what in vars(tb_axi).items() if test in block.tests_of(tb_axi)
             and what.func.__module__ != "tb.axi.registers"]
    result = run_block("axi", "corner", fresh_seed(), params=EngineParams.of(CORNERS[name]), words=300, tests=tests)
    assert set(result.idle) == set(result.reasons)
