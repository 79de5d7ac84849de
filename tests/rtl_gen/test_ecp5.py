"""The ECP5's multiplier with its own registers (`hw.dsp: ecp5`): the same products and cycles, fewer flip-flops."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rtl_gen.delivery.generate import generate
from rtl_gen.mac import ecp5
from rtl_gen.mac.multiplier import MODULE, Multiplier
from rtl_gen.verilog.emit import verilog
from stamp_hw.cli.main import main
from stamp_hw.config import NpuConfig
from stamp_hw.params import MacParams
from tb import tb_mac
from tb.formal.solver import yosys
from tb.run.block import fresh_seed, run_block
from tb.run.fault import Fault, Files
from tests.support.generate_cases import LINE

#: Both modules side by side: whatever their registers hold at first, they agree once these have been filled.
MITER = ("read_verilog gold.v gate.v model.v; hierarchy; proc; flatten; "
         "miter -equiv -flatten -make_outputs gold gate m; hierarchy -top m; opt_clean; wreduce; "
         "opt -full -share_all; sat -verify -prove trigger 0 -seq {cycles} m")
#: Mistakes in the slice's connections that a proof must notice, and from how many product registers on.
MISTAKES = {"SIGNEDB(1'b1)|SIGNEDB(1'b0)": 1, "A17(operand_i[16])|A17(1'b0)": 1, "P3(slice[3])|P4(slice[3])": 1,
            'REG_PIPELINE_CLK("CLK0")|REG_PIPELINE_CLK("NONE")': 2, 'REG_OUTPUT_CLK("CLK0")|REG_OUTPUT_CLK("NONE")': 1}
SLICE = "3x5 slices"
PARAMS = replace(tb_mac.PARAMETER_SETS["odd"], dsp=ecp5.DSP)


def compared(folder: Path, mul_stages: int, slice_text: str) -> str:
    """What Yosys says of the module that is simulated and the one with the slice; "ERROR" is in it if they differ."""
    params = replace(PARAMS, mul_stages=mul_stages)
    (folder / "gold.v").write_text(verilog(Multiplier(params), "gold")["gold.v"])
    (folder / "gate.v").write_text(slice_text.replace(f"module {MODULE}", "module gate"))
    (folder / "model.v").write_text(ecp5.model())
    return yosys(MITER.format(cycles=mul_stages + 2), folder)


@pytest.mark.rtl
@pytest.mark.parametrize("mul_stages", [1, 2, 3, 4])
def test_the_slice_is_proved_to_give_the_same_product_in_the_same_cycle(mul_stages: int, tmp_path: Path) -> None:
    assert "ERROR" not in compared(tmp_path, mul_stages, ecp5.multiplier(mul_stages))


@pytest.mark.rtl
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_connection_breaks_the_proof(mistake: str, tmp_path: Path) -> None:
    right, wrong = mistake.split("|")
    text = ecp5.multiplier(MISTAKES[mistake])
    assert right in text
    assert "ERROR" in compared(tmp_path, MISTAKES[mistake], text.replace(right, wrong))


def with_slices(files: Files) -> Files:
    """The array as it is synthesized, with the slice's model."""
    assert f"{MODULE}.v" in files
    return {**files, f"{MODULE}.v": ecp5.multiplier(PARAMS.mul_stages), f"{ecp5.PRIMITIVE}.v": ecp5.model()}


@pytest.mark.rtl
def test_an_array_of_slices_equals_the_golden_model() -> None:
    fault = Fault(name="slices", block="mac", why="none: the slice in place of the text", edit=with_slices)
    run_block("mac", SLICE, fresh_seed(), params=PARAMS, words=2000, fault=fault)


def test_the_folder_has_the_slice_and_its_model_and_is_else_the_same() -> None:
    plain = generate(LINE)
    found = generate(NpuConfig.from_dict({**LINE.to_dict(), "hw": {**LINE.to_dict()["hw"], "dsp": "ecp5"}}))
    assert set(found) - set(plain) == {f"{MODULE}.v", f"ecp5/{MODULE}.v", "ecp5/MULT18X18D.v"}
    body = {name: text.partition("\n\n")[2] for name, text in found.items()}
    different = {name for name in plain if name.endswith(".v") and body[name] != plain[name].partition("\n\n")[2]}
    assert different == {"stamp_pe.v"}
    assert MODULE in found["stamp_pe.v"] and " * " not in found["stamp_pe.v"] and " * " in found[f"{MODULE}.v"]
    assert not any("MULT18X18D" in text for name, text in found.items() if not name.startswith(("ecp5/", "manifest")))


def test_a_slice_that_is_not_known_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--shape", "8x8x8", "--hw", "dsp=dsp48"]) == 2
    assert capsys.readouterr().err == "stamp-hw: hw.dsp: impossible value; got 'dsp48'; expected null or ecp5\n"


@pytest.mark.long
@pytest.mark.rtl
def test_a_pe_with_a_slice_is_faster_and_smaller_by_the_product_registers(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rates, registers = {}, {}
    for dsp in ("null", "ecp5"):
        path = tmp_path / f"{dsp}.json"
        assert main(["place", "--config", "configs/fpga.yaml", "--block", "pe", "--hw", f"dsp={dsp}", "--hw",
                     "freq_hz=2e8", "--json", str(path)]) == 0
        found = json.loads(path.read_text())
        assert found["block"] == "pe" and found["cells"]["MULT18X18D"]["used"] == 1
        rates[dsp], registers[dsp] = found["fmax_mhz"]["best"], found["cells"]["TRELLIS_FF"]["used"]
    params = MacParams.of(NpuConfig.load(Path("configs/fpga.yaml")).hw)
    assert registers["null"] - registers["ecp5"] == 24 * params.mul_stages
    assert rates["ecp5"] > 1.1 * rates["null"]
    assert "slowest path multiplier.multiplier to " in capsys.readouterr().out
