"""Two small multipliers a PE (`hw.multiplier: split`): exact, small in standard cells, packed hardware as ever."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from amaranth.hdl import Module, Signal, signed
from amaranth.sim import Simulator

from rtl_gen.asic import gating, libraries, library, pe
from rtl_gen.asic.energy import Wires
from rtl_gen.asic.mapping import map_files
from rtl_gen.delivery.generate import unit_files
from rtl_gen.mac.element import element
from rtl_gen.mac.split import product
from rtl_gen.tops import units
from rtl_gen.verilog.emit import verilog
from stamp_hw.cli.main import main
from stamp_hw.config import HwConfig, NpuConfig
from stamp_hw.errors import ConfigError
from stamp_hw.hw_config import PACKED, SPLIT
from stamp_hw.params import CODE_WIDTH, MacParams

SMALL = HwConfig(rows=2, cols=2, lanes=2, max_k=64, max_tokens=32, act_slots=8, bus_width=64)


@pytest.mark.parametrize("bits", [4, 5])
def test_rows_of_single_bits_make_every_product(bits: int) -> None:
    m = Module()
    code, wgt = Signal(signed(bits)), Signal(signed(CODE_WIDTH))
    found = Signal(signed(bits + CODE_WIDTH))
    m.d.comb += found.eq(product(code, wgt))

    async def every(ctx) -> None:  # type: ignore[no-untyped-def]
        for left in range(-1 << bits - 1, 1 << bits - 1):
            ctx.set(code, left)
            for right in range(-128, 128):
                ctx.set(wgt, right)
                assert ctx.get(found) == left * right

    simulator = Simulator(m)
    simulator.add_testbench(every)
    simulator.run()


@pytest.mark.parametrize("blocks", [False, True])
@pytest.mark.parametrize("max_k", [1, 7, 15, 64, 1000])
def test_sums_of_a_split_pe_are_as_wide_as_their_largest_needs(blocks: bool, max_k: int) -> None:
    params = MacParams(rows=1, cols=1, lanes=1, acc_width=32, max_k=max_k, mul_stages=1, blocks=blocks,
                       multiplier=SPLIT)
    codes = range(-255, 256) if blocks else range(-128, 128)
    pairs = range(-15, 16) if blocks else range(-8, 8)
    factors = [{*pairs, *(code & 15 for code in codes)}, {*pairs, *(code >> 4 for code in codes)}]
    for width, own in zip(params.sum_widths, factors, strict=True):
        sums = [max_k * factor * wgt for factor in own for wgt in (-128, 127)]
        assert min(sums) >= -1 << width - 1 and max(sums) < 1 << width - 1
        assert min(sums) < -1 << width - 2 or max(sums) >= 1 << width - 2


def test_packed_hardware_says_nothing_of_its_multiplier() -> None:
    packed = NpuConfig(hw=SMALL)
    assert "multiplier" not in packed.to_dict()["hw"]
    assert NpuConfig.from_dict({"hw": {**packed.to_dict()["hw"], "multiplier": PACKED}}) == packed
    for unit in units(None, SMALL):
        assert not any("multiplier=" in text or "'multiplier'" in text for text in unit_files(unit, packed).values())


def test_split_hardware_is_read_back_and_says_so_in_every_module_of_its_array() -> None:
    config = NpuConfig(hw=replace(SMALL, multiplier=SPLIT))
    assert NpuConfig.from_dict(config.to_dict()) == config
    for unit in units("mac", config.hw):
        assert all("multiplier=split" in text for text in unit_files(unit, config).values())


@pytest.mark.parametrize(("given", "told"), [
    (["multiplier=booth"], "hw.multiplier: impossible value; got 'booth'; expected packed or split"),
    (["multiplier=3"], "hw.multiplier: impossible value; got 3; expected packed or split"),
    (["multiplier=split", "dsp=ecp5"], "hw.multiplier: impossible value; got 'split'; expected packed with dsp = ecp5, "
                                       "whose slice is one multiplier"),
])
def test_a_multiplier_that_there_is_not_is_refused(given: list[str], told: str, capsys: pytest.CaptureFixture[str]
                                                   ) -> None:
    options = [word for each in given for word in ("--hw", each)]
    assert main(["simulate", "--shape", "8x8x8", *options]) == 2
    assert capsys.readouterr().err == f"stamp-hw: {told}\n"


@pytest.mark.rtl
@pytest.mark.parametrize("hw", [HwConfig(), HwConfig(block=64)], ids=["plain", "blocks"])
def test_a_split_pe_takes_at_most_085_of_the_packed_ones_area(hw: HwConfig) -> None:
    """In the invented cells; docs/adr/0026-split-multiplier.md has the figures of real ones."""
    cells = library.load(libraries.find("five").path, libraries.find("five").slew)
    area = {}
    for kind in (PACKED, SPLIT):
        files = verilog(element(MacParams.of(replace(hw, multiplier=kind))), "stamp_pe")
        counts = map_files(files, "stamp_pe", cells).counts()
        area[kind] = sum(cells.cells[name].area * count for name, count in counts.items())
    assert area[SPLIT] <= 0.85 * area[PACKED]


@pytest.mark.long
@pytest.mark.rtl
def test_gated_clocks_rest_with_a_split_pe_and_its_products_take_less() -> None:
    """In the invented cells, whose gates do what the golden model does, clock gates included."""
    cells, wires = library.load(libraries.find("five").path, libraries.find("five").slew), Wires(ff=1.0)
    params = MacParams.of(HwConfig())
    found = {(kind, gated): gating.figures(replace(params, multiplier=kind), cells, wires, gated=gated)
             for kind in (PACKED, SPLIT) for gated in (False, True)}
    for kind in (PACKED, SPLIT):
        free, gated = found[kind, False], found[kind, True]
        assert gated.area_um2 < free.area_um2 and all(gated.pj[phase] < free.pj[phase] for phase in pe.STEPS)
    assert found[SPLIT, True].pj[pe.IDLE] < 0.25 * found[PACKED, True].pj[pe.IDLE]
    assert found[SPLIT, False].pj[pe.FOUR] < 0.7 * found[PACKED, False].pj[pe.FOUR]


def test_a_library_without_a_clock_gate_is_refused(tmp_path: Path) -> None:
    text = libraries.find("five").path.read_text("utf-8").replace("latch_posedge", "latch_negedge")
    path = tmp_path / "none.lib"
    path.write_text(text, "utf-8")
    with pytest.raises(ConfigError, match=r"none.lib: a library that lacks a cell; expected a clock gate with a latch"):
        gating.clock_gate(library.load(path, 0.05))


def test_what_is_no_hardware_ends_the_command_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        gating.main(["--liberty", "five", "--hw", "rows=0"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == "stamp-hw: hw.rows: impossible value; got 0; expected an integer in 1…256\n"


@pytest.mark.long
@pytest.mark.rtl
def test_the_figures_of_the_decision_are_those_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    if not libraries.known()["freepdk45"].path.is_file():
        pytest.skip(libraries.known()["freepdk45"].install)
    gating.main([])
    page = (Path(__file__).parents[2] / "docs/adr/0026-split-multiplier.md").read_text("utf-8")
    for row in capsys.readouterr().out.splitlines()[2:]:
        assert "| " + " | ".join(row.split()) + " |" in page
