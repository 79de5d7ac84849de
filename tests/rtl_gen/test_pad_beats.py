"""`hw.pad_beats`: the streams of the AXI edge are a power of two of bytes wide, and nothing else of the design changes.
"""

from __future__ import annotations

import json

from rtl_gen.axi.registers import registers
from rtl_gen.verilog.declared import ports
from stamp_hw.engine.params import EngineParams
from tests.support.generate_cases import BUSSED, PADDED, SMALL, generated

EDGE = "stamp_engine_axi.v"


def test_every_stream_of_the_edge_is_a_power_of_two_of_bytes_wide() -> None:
    found = {port.name: port.width for port in ports(generated(PADDED)[EDGE])}
    widths = {name: found[f"{name}_tdata"] for name in ("s_axis_act", "s_axis_wgt", "s_axis_par", "m_axis_out")}
    assert widths == {"s_axis_act": 64, "s_axis_wgt": 32, "s_axis_par": 128, "m_axis_out": 32}
    assert found["m_axis_out_tkeep"] == 4
    plain = {port.name: port.width for port in ports(generated(SMALL)[EDGE])}
    assert plain["s_axis_act_tdata"] == 48 and set(found) == set(plain)


def test_the_manifest_and_the_header_say_what_is_padding() -> None:
    files = generated(PADDED)
    manifest = json.loads(files["manifest.json"])
    fields = manifest["blocks"]["stamp_engine_axi"]["streams"]["s_axis_act"]["fields"]
    assert [(item["name"], item["offset"], item["width"]) for item in fields] == [("x", 0, 16), ("reserved", 48, 16)]
    assert manifest["hw"]["pad_beats"] is True
    assert "pad_beats" not in json.loads(generated(SMALL)["manifest.json"])["hw"]
    assert "#define STAMP_ENGINE_PAD_BEATS_VALUE 0x1u" in files["stamp_engine.h"]
    assert "PAD_BEATS" not in {register.name for register in registers(EngineParams.of(SMALL.hw))}


def test_of_the_modules_only_those_of_the_edge_change() -> None:
    padded, plain = generated(PADDED), generated(SMALL)
    changed = {name for name in padded if name.endswith(".v") and padded[name] != plain[name]}
    assert EDGE in changed and all(name.startswith("stamp_engine_axi") for name in changed)


def test_beside_a_dma_the_engine_is_the_same_module() -> None:
    padded, plain = generated(BUSSED.with_hw(pad_beats=True)), generated(BUSSED)
    assert set(padded) == set(plain) and "stamp_npu.v" in plain
    assert all(padded[name] == plain[name] for name in plain if name.startswith("stamp_npu"))
    assert padded["stamp_engine.v"] == plain["stamp_engine.v"] and padded[EDGE] != plain[EDGE]
