"""The engine with a DMA: its bench, its register map, its ports."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtl_gen.axi.registers import ADDRESS_WIDTH, WORD_BYTES
from rtl_gen.dma.registers import HARMLESS, npu_errors, npu_registers
from rtl_gen.dma.top import Npu
from rtl_gen.verilog.emit import verilog
from stamp_hw.config import NpuConfig
from stamp_hw.dma.params import DmaParams
from stamp_hw.hw_config import BUS_WIDTHS
from tb import tb_dma
from tb.run.block import fresh_seed, run_block
from tests.support.netlist import combinational

BUILDS = {**tb_dma.PARAMETER_SETS,
          **{f"default{width}": DmaParams.of(NpuConfig().with_hw(bus_width=width).hw) for width in BUS_WIDTHS}}
FIRST = "wide512"


#: One bus in every run of the tests, the others in the long ones.
each_bus = pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.long] if name != FIRST else [])
                                            for name in tb_dma.PARAMETER_SETS])


@pytest.mark.rtl
@each_bus
def test_chains_of_layers_leave_the_memory_of_the_golden_model(name: str) -> None:
    run_block("dma", name, fresh_seed())


@pytest.mark.parametrize("name", BUILDS)
def test_the_register_map_has_no_overlap(name: str) -> None:
    table = npu_registers(BUILDS[name])
    offsets = [register.offset for register in table]
    assert offsets == sorted(set(offsets)) and offsets[-1] < 1 << ADDRESS_WIDTH
    assert all(offset % WORD_BYTES == 0 for offset in offsets)
    assert len({register.name for register in table}) == len(table)
    for register in table:
        bits = [bit for field in register.fields for bit in range(field.low, field.low + field.width)]
        assert len(bits) == len(set(bits)) and set(bits) <= set(range(32)), register.name
        assert register.description and all(field.description for field in register.fields)
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
