"""The engine with a DMA: its bench, its register map, its ports."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rtl_gen.dma.registers import HARMLESS, npu_errors, npu_registers
from rtl_gen.dma.top import Npu
from rtl_gen.verilog.emit import verilog
from stamp_hw.config import NpuConfig
from stamp_hw.dma.params import DmaParams
from stamp_hw.hw_config import BUS_WIDTHS
from tb import tb_dma
from tb.dma import states
from tb.dma.draws import draw_params
from tb.run.block import fresh_seed, run_block
from tests.support.netlist import combinational
from tests.support.register_map import check_register_map

BUILDS = {**tb_dma.PARAMETER_SETS,
          **{f"default{width}": DmaParams.of(NpuConfig().with_hw(bus_width=width).hw) for width in BUS_WIDTHS}}
FIRST = "wide512"
DRAWN, CHAINS = 8, 64


#: One bus in every run of the tests, the others in the long ones.
each_bus = pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.long] if name != FIRST else [])
                                            for name in tb_dma.PARAMETER_SETS])


@pytest.mark.rtl
@each_bus
def test_chains_of_layers_leave_the_memory_of_the_golden_model(name: str) -> None:
    run_block("dma", name, fresh_seed())


@pytest.mark.long
@pytest.mark.rtl
@pytest.mark.parametrize("number", range(DRAWN))
def test_on_drawn_hardware_chains_take_the_cycles_of_the_model(number: int, rng: np.random.Generator) -> None:
    """Every burst of every stream and the interrupt, in at least CHAINS chains of one to four layers behind memories of
    any law."""
    params = draw_params(rng.spawn(number + 1)[number])
    print(params)  # noqa: T201 shown on failure
    result = run_block("dma", f"drawn{number}", fresh_seed(), params=params, words=25 * CHAINS * params.engine.cols,
                       tests=["a_chain_takes_the_cycles_of_the_model"])
    assert result.runs >= CHAINS and result.timed_beats and not result.cycle_differences


@pytest.mark.rtl
def test_a_flush_in_every_state_leaves_nothing_behind() -> None:
    assert run_block("dma", "states", fresh_seed(), bench=states).words


@pytest.mark.parametrize("name", BUILDS)
def test_the_register_map_has_no_overlap(name: str) -> None:
    table = npu_registers(BUILDS[name])
    check_register_map(table)
    (errors,) = (register for register in table if register.name == "ERROR")
    assert {field.name for field in errors.fields} == set(npu_errors(BUILDS[name])) > set(HARMLESS)


def test_a_register_has_the_same_offset_in_every_build() -> None:
    places: dict[str, int] = {}
    for params in BUILDS.values():
        for register in npu_registers(params):
            assert places.setdefault(register.name, register.offset) == register.offset, register.name


@pytest.mark.rtl
@each_bus
def test_no_combinational_path_leads_from_one_port_to_another(name: str, tmp_path: Path) -> None:
    reached = combinational(verilog(Npu(tb_dma.PARAMETER_SETS[name]), "stamp_dma"), "stamp_dma", tmp_path)
    assert {"m_axi_arvalid", "m_axi_wdata", "m_axi_awaddr", "s_axil_rdata", "irq"} < set(reached)
    assert not {port: inputs for port, inputs in reached.items() if inputs}
