"""The ECP5's multiplier with its own registers (`hw.dsp: ecp5`): the same products and cycles, fewer flip-flops."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rtl_gen.delivery.generate import generate
from rtl_gen.flow.synth import run_yosys
from rtl_gen.lib.registered_product import Product, ProductParams
from rtl_gen.mac import ecp5
from rtl_gen.mac.multiplier import MODULE, Multiplier
from rtl_gen.mac.pe import Pe
from rtl_gen.verilog.emit import verilog
from stamp_hw.cli.main import main
from stamp_hw.config import HwConfig, NpuConfig
from stamp_hw.params import MacParams
from tb import tb_mac
from tb.formal.solver import yosys
from tb.run.block import bench_module, fresh_seed, run_block
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
    return of_files(folder, verilog(Multiplier(replace(PARAMS, mul_stages=mul_stages)), "gold")["gold.v"],
                    slice_text.replace(f"module {MODULE}", "module gate"), MITER.format(cycles=mul_stages + 2))


def of_files(folder: Path, gold: str, gate: str, script: str) -> str:
    for name, text in (("gold", gold), ("gate", gate), ("model", ecp5.model())):
        (folder / f"{name}.v").write_text(text)
    return yosys(script, folder)


def compared_product(folder: Path, params: ProductParams, slice_text: str) -> str:
    """The same of a product, once its registers have moved as often as there are; then they may move or not."""
    moves = " ".join(f"-set-at {cycle} in_enable 1" for cycle in range(1, params.stages + 1))
    script = MITER.replace("-verify", f"-verify -prove-skip {params.stages} {moves}").format(cycles=params.stages + 3)
    return of_files(folder, verilog(Product(params), "gold")["gold.v"],
                    slice_text.replace(f"module {params.module}", "module gate"), script)


#: Products of the hardware's widths, and of every way to put registers into a slice.
PRODUCTS = [*(ProductParams(a_bits=17, b_bits=17, signed=False, stages=stages) for stages in (1, 2, 3, 4)),
            ProductParams(a_bits=18, b_bits=17, signed=True, stages=1),
            ProductParams(a_bits=2, b_bits=18, signed=True, stages=2)]


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


@pytest.mark.rtl
@pytest.mark.parametrize("params", PRODUCTS, ids=lambda params: params.module)
def test_a_product_s_slice_is_proved_to_give_it_in_the_same_cycle(params: ProductParams, tmp_path: Path) -> None:
    assert "ERROR" not in compared_product(tmp_path, params, ecp5.product(params))


@pytest.mark.rtl
@pytest.mark.parametrize("mistake", [
    "SIGNEDA(1'b1)|SIGNEDA(1'b0)", "A17(a_i[1])|A17(1'b0)", "P3(slice[3])|P4(slice[3])", "CE0(enable)|CE0(1'b1)",
    'REG_PIPELINE_CLK("CLK0")|REG_PIPELINE_CLK("NONE")'])
def test_a_mistake_in_a_product_s_connection_breaks_the_proof(mistake: str, tmp_path: Path) -> None:
    right, wrong = mistake.split("|")
    text = ecp5.product(PRODUCTS[-1])
    assert right in text
    assert "ERROR" in compared_product(tmp_path, PRODUCTS[-1], text.replace(right, wrong))


def with_slices(files: Files) -> Files:
    """Hardware as it is synthesized, with the slice's model."""
    found = ecp5.slices(files, HwConfig(dsp=ecp5.DSP, mul_stages=PARAMS.mul_stages))
    assert found
    return {**files, **found, f"{ecp5.PRIMITIVE}.v": ecp5.model()}


@pytest.mark.rtl
def test_an_array_of_slices_equals_the_golden_model() -> None:
    fault = Fault(name="slices", block="mac", why="none: the slice in place of the text", edit=with_slices)
    run_block("mac", SLICE, fresh_seed(), params=PARAMS, words=2000, fault=fault)


@pytest.mark.rtl
@pytest.mark.parametrize(("block", "name"), [("scale", "lanes4"), ("rescale", "one")])
def test_a_unit_with_products_of_slices_equals_the_golden_model(block: str, name: str) -> None:
    params = replace(bench_module(block).PARAMETER_SETS[name], dsp=ecp5.DSP)
    fault = Fault(name="slices", block=block, why="none: the slice in place of the text", edit=with_slices)
    run_block(block, f"{name} slices", fresh_seed(), params=params, words=2000, fault=fault)


def test_the_folder_has_the_slice_and_its_model_and_is_else_the_same() -> None:
    plain = generate(LINE)
    found = generate(NpuConfig.from_dict({**LINE.to_dict(), "hw": {**LINE.to_dict()["hw"], "dsp": "ecp5"}}))
    products = {name for name in found if ProductParams.named(name.removesuffix(".v"))}
    own = {f"{MODULE}.v", *products}
    assert products and set(found) - set(plain) == {*own, *(f"ecp5/{name}" for name in own), "ecp5/MULT18X18D.v"}
    body = {name: text.partition("\n\n")[2] for name, text in found.items()}
    different = {name for name in plain if name.endswith(".v") and body[name] != plain[name].partition("\n\n")[2]}
    assert different == {"stamp_pe.v", "stamp_engine_front_scale.v"}  # one register: the rescale unit's are whole
    assert MODULE in found["stamp_pe.v"] and " * " not in found["stamp_pe.v"] and " * " in found[f"{MODULE}.v"]
    assert not any("MULT18X18D" in text for name, text in found.items() if not name.startswith(("ecp5/", "manifest")))


def test_a_slice_that_is_not_known_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--shape", "8x8x8", "--hw", "dsp=dsp48"]) == 2
    assert capsys.readouterr().err == "stamp-hw: hw.dsp: impossible value; got 'dsp48'; expected null or ecp5\n"


@pytest.mark.rtl
@pytest.mark.parametrize(("family", "primitive", "packed"), [("xc7", "DSP48E1", True), ("xcup", "DSP48E2", False)])
def test_yosys_packs_a_pes_registers_into_the_slice_of_xc7_but_not_of_xcup(
        tmp_path: Path, family: str, primitive: str, packed: bool) -> None:
    """What docs/generate.md says of Xilinx parts; with a Yosys that packs both, the page has to say so."""
    params = MacParams.of(NpuConfig.load(Path("configs/fpga.yaml")).hw)
    run_yosys(tmp_path, verilog(Pe(params), "stamp_pe"), "stamp_pe",
              f"synth_xilinx -family {family} -flatten -top stamp_pe; write_json netlist.json")
    cells = json.loads((tmp_path / "netlist.json").read_text())["modules"]["stamp_pe"]["cells"].values()
    (slices,) = (cell["parameters"] for cell in cells if cell["type"] == primitive)
    assert {name: int(slices[name], 2) for name in ("AREG", "BREG", "MREG", "PREG")} == dict.fromkeys(
        ("AREG", "BREG", "MREG", "PREG"), int(packed))


@pytest.mark.long
@pytest.mark.rtl
def test_a_pe_with_a_slice_is_faster_and_smaller_by_the_product_registers(tmp_path: Path) -> None:
    rates, registers = {}, {}
    for dsp in ("null", "ecp5"):
        path = tmp_path / f"{dsp}.json"
        assert main(["place", "--config", "configs/fpga.yaml", "--block", "pe", "--hw", f"dsp={dsp}", "--hw",
                     "freq_hz=2e8", "--json", str(path)]) == 0
        found = json.loads(path.read_text())
        assert found["block"] == "pe" and found["cells"]["MULT18X18D"]["used"] == 1
        rates[dsp], registers[dsp] = found["fmax_mhz"]["best"], found["cells"]["TRELLIS_FF"]["used"]
    params = MacParams.of(NpuConfig.load(Path("configs/fpga.yaml")).hw)
    assert registers["null"] - registers["ecp5"] == 24 * min(params.mul_stages, ecp5.INSIDE)
    assert rates["ecp5"] > 1.1 * rates["null"]
