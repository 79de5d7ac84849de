"""`stamp-hw characterize` from the command line to its files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stamp_hw.cli.main import main
from tests.support.refusals import refused

SMALL = [word for value in ("rows=2", "cols=2", "lanes=2", "acc_width=24", "max_k=64", "mul_stages=1", "max_tokens=64",
                            "act_slots=64", "axes=1", "max_levels=3", "in_width=8") for word in ("--hw", value)]
COMMAND = ["characterize", "--liberty", "five", "--block", "finish", *SMALL]


@pytest.mark.rtl
def test_a_block_is_printed_and_written_with_area_clock_and_leakage(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "asic.json"
    assert main([*COMMAND, "--json", str(path)]) == 0
    found = json.loads(path.read_text(encoding="utf-8"))
    block = found["blocks"]["finish"]
    assert {"area_um2", "clock_mhz", "leakage_uw", "idle_pj", "busy_pj", "energy_pj"} <= set(block)
    assert block["clock_mhz"] == pytest.approx(1e6 / block["path_ps"]) and block["leakage_uw"] > 0
    assert found["engine"]["area_um2"] == block["area_um2"] * block["count"] > 0
    assert "five" in found["library"]
    out = capsys.readouterr().out
    assert "finish" in out and f"{block['area_um2']:.0f}" in out and "finish.add" in out


def test_what_is_refused_leaves_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "asic.json"
    assert "--wire" in refused([*COMMAND, "--json", str(path), "--wire", "-1"], capsys)
    assert list(tmp_path.iterdir()) == []
