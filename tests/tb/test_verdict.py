"""How `make demo` ends (tb/run/verdict.py)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stamp_hw.cli.main import main
from tb.run.verdict import NEXT, verdict

ROW = {"words": 1200, "mismatches": 0, "timed_beats": 300, "cycle_differences": 0, "event_differences": 0}


def left(folder: Path, rows: list[dict[str, Any]], exit_code: int = 0) -> Path:
    """A folder as the demo leaves it."""
    totals = {"a4": {"sqnr_db": 17.0, "cycles": 1000, "energy_pj": 50.0, "average_bits": 4.0},
              "first_n": {"sqnr_db": 17.2, "cycles": 1020, "energy_pj": 50.5, "average_bits": 4.125},
              "stamp": {"sqnr_db": 18.4, "cycles": 1031, "energy_pj": 52.0, "average_bits": 4.125}}
    (folder / "llama_small.json").write_text(json.dumps({"totals": totals, "layers": {"a": {}}}), "utf-8")
    totals = {**totals, "stamp": {**totals["stamp"], "sqnr_db": 20.2}}
    (folder / "smollm2.json").write_text(json.dumps({"totals": totals, "layers": {"a": {}, "b": {}}}), "utf-8")
    (folder / "verify.json").write_text(json.dumps({"exit_code": exit_code, "rows": rows}), "utf-8")
    (folder / "verilog").mkdir()
    (folder / "verilog" / "stamp_engine.v").touch()
    (folder / "sqnr.png").touch()
    return folder


def test_it_says_what_was_compared_three_figures_the_files_and_what_is_next(tmp_path: Path) -> None:
    text, code = verdict(left(tmp_path, [ROW, ROW]))
    assert code == 0 and "demo: all equal" in text
    for wanted in ("2,400 words", "0 mismatches", "600 beats", "+1.20 dB", "+3.00 dB", "SmolLM2", "2 layers",
                   "4.125 bits", "× 1.031", "× 1.040",
                   "1 pictures: sqnr.png", "1 Verilog modules", str(tmp_path), f"next: {NEXT}"):
        assert wanted in text, wanted


@pytest.mark.parametrize(("rows", "exit_code"), [([ROW, ROW | {"mismatches": 3}], 1), ([], 0), ([ROW], 3)])
def test_a_difference_or_nothing_compared_is_no_success(rows: list[dict[str, Any]], exit_code: int,
                                                        tmp_path: Path) -> None:
    text, code = verdict(left(tmp_path, rows, exit_code))
    assert code == 1 and "NOT EQUAL" in text


def test_the_command_that_comes_next_works(tmp_path: Path) -> None:
    words = NEXT.split()[1:]
    words[words.index("--out") + 1] = str(tmp_path / "verilog")
    assert main(words) == 0
