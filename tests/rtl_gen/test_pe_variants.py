"""PEs that are priced and not delivered: their gates do what NumPy does, and the last step is the PE that is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rtl_gen.asic import gating, libraries, library, pe, pe_variants, steps
from rtl_gen.asic.energy import Wires
from rtl_gen.asic.mapping import map_files
from rtl_gen.asic.pe_variants import Form, VariantPe
from rtl_gen.mac.element import element
from rtl_gen.verilog.emit import verilog
from stamp_hw.hw_config import SPLIT, HwConfig
from stamp_hw.params import MacParams
from tests.support.asic_cases import five

WIRES = Wires(ff=1.0)
MAX_K = 64


def extremes(steps_: int = 256) -> pe.Operands:
    """Codes and weights of both ends of their range among random ones."""
    rng = np.random.default_rng(26)
    return pe.Operands(codes8=rng.choice(np.array([-128, 127, -1, 0, 15, -113]), steps_),
                       codes4=rng.choice(np.array([-8, 7, -1, 0]), (steps_, 2)),
                       weights=rng.choice(np.array([-128, 127, -1, 55]), steps_))


@pytest.mark.rtl
@pytest.mark.parametrize(("bits", "phase"), [(8, pe.EIGHT), (4, pe.FOUR)])
def test_a_pe_of_one_precision_sums_every_code_of_it(bits: int, phase: int) -> None:
    form = pe_variants.of_bits(bits, MAX_K)
    bench = pe_variants.bench(form, (phase,), extremes(), 32)
    found = gating.priced(VariantPe(form), bench, five(), WIRES, gated=False)
    assert set(found.pj) == {phase, pe.IDLE} and found.pj[phase] > found.pj[pe.IDLE] > 0 and found.flip_flops > 40


@pytest.mark.parametrize("bits", [4, 8])
def test_sums_of_a_pe_of_one_precision_are_as_wide_as_their_largest_needs(bits: int) -> None:
    most = MAX_K * (1 << bits - 1) * 128
    for width in pe_variants.of_bits(bits, MAX_K).sums:
        assert 1 << width - 2 <= most < 1 << width - 1


@pytest.mark.rtl
@pytest.mark.parametrize("hw", [HwConfig(), HwConfig(block=64)], ids=["plain", "blocks"])
def test_the_last_step_is_the_pe_that_is_delivered(hw: HwConfig) -> None:
    params = MacParams.of(hw)
    last: Form = list(steps.forms(params).values())[-1]
    area = []
    for component in (VariantPe(last), element(replace(params, multiplier=SPLIT))):
        netlist = map_files(verilog(component, pe.MODULE), pe.MODULE, five())
        area.append(sum(five().cells[kind].area * count for kind, count in netlist.counts().items()))
    assert area[0] == pytest.approx(area[1], rel=0.005)  # names alone differ; ABC goes by them


@pytest.mark.long
@pytest.mark.rtl
def test_each_step_but_the_enables_makes_a_pe_smaller_or_its_products_cheaper() -> None:
    cells = library.load(libraries.find("five").path, libraries.find("five").slew)
    found = list(steps.steps(MacParams.of(HwConfig()), cells, WIRES))
    assert [name for name, _ in found] == ["packed", *steps.forms(MacParams.of(HwConfig())), "gated clocks"]
    for (_, before), (name, after) in zip(found, found[1:], strict=False):
        assert after.pj[pe.FOUR] < before.pj[pe.FOUR] or name == "enables by valid", name


@pytest.mark.long
@pytest.mark.rtl
def test_the_steps_of_the_decision_are_those_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    if not libraries.known()["freepdk45"].path.is_file():
        pytest.skip(libraries.known()["freepdk45"].install)
    steps.main([])
    page = (Path(__file__).parents[2] / "docs/adr/0026-split-multiplier.md").read_text("utf-8")
    for row in capsys.readouterr().out.splitlines()[2:]:
        name, figures = row[:25].strip(), row[25:].split()
        assert f"| {' | '.join([name, *figures])} |" in page


def test_what_is_no_hardware_ends_the_steps_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        steps.main(["--liberty", "five", "--hw", "rows=0"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == "stamp-hw: hw.rows: impossible value; got 0; expected an integer in 1…256\n"
