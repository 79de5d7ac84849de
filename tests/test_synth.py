"""Every block synthesizes for ECP5, and a PE is one multiplier."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from generate_cases import LINE, MODULES

from rtl_gen import synth
from stamp_hw.cli.main import main
from stamp_hw.errors import ToolError


@pytest.mark.rtl
def test_every_block_synthesizes_and_a_pe_is_one_multiplier(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "line.yaml"
    config.write_text("hw: {rows: 3, cols: 3, lanes: 2, rescale_lanes: 3, axes: 1, max_k: 50, max_tokens: 64,"
                      " max_levels: 3, mul_stages: 1, act_slots: 64}\n")
    assert main(["synth", "--config", str(config), "--json", str(tmp_path / "cells.json")]) == 0
    table = capsys.readouterr().out
    tops = json.loads((tmp_path / "cells.json").read_text())["tops"]
    assert set(tops) == set(MODULES) and all(module in table for module in MODULES)
    assert all(top["total"]["LUT4"] > 0 and top["total"]["TRELLIS_FF"] > 0 for top in tops.values())
    assert tops["stamp_mac"]["modules"]["stamp_pe"] == {
        "instances": 9, "cells": tops["stamp_mac"]["modules"]["stamp_pe"]["cells"]}
    assert tops["stamp_mac"]["modules"]["stamp_pe"]["cells"]["MULT18X18D"] == 1
    assert tops["stamp_mac"]["total"]["MULT18X18D"] == 9
    assert tops["stamp_scale"]["total"]["MULT18X18D"] == LINE.hw.lanes
    assert all("MULT18X18D" not in tops[name]["total"] for name in MODULES if "haar" in name)


@pytest.mark.parametrize("below", ["", "/below.json", "/far/below.json"])
def test_synth_refuses_a_target_at_a_folder_or_below_a_file_before_any_work(below: str, tmp_path: Path,
                                                                            monkeypatch: pytest.MonkeyPatch,
                                                                            capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(synth, "synthesize", lambda *_: pytest.fail("synthesized"))
    target = tmp_path / "target"
    if below:
        target.write_text("keep")
    else:
        target.mkdir()
    assert main(["synth", "--json", f"{target}{below}"]) == 2
    captured = capsys.readouterr()
    assert not captured.out and len(captured.err.splitlines()) == 1 and "target" in captured.err


@pytest.mark.rtl
def test_text_that_yosys_refuses_is_an_error_of_one_line() -> None:
    with pytest.raises(ToolError, match="synthesis failed"):
        synth.synthesize_files({"bad.v": "module bad(; endmodule\n"}, "bad")
