"""Generated Verilog is clean under `-Wall`, but for waivers with a reason that are each needed; widths are explicit."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from rtl_gen.delivery import generate as generator
from rtl_gen.flow import lint
from rtl_gen.toolchain import verilator_env
from rtl_gen.verilog import operands as widths
from rtl_gen.verilog.waivers import WAIVERS, Waiver
from stamp_hw.config import NpuConfig
from stamp_hw.errors import ToolError
from tests.support.generate_cases import LINE, MODULES, SMALL, generated


@pytest.mark.rtl
def test_every_module_is_clean_under_wall_and_every_waiver_is_used() -> None:
    found: list[lint.Finding] = []
    for config in (SMALL, LINE, NpuConfig()):
        files = generated(config, blocks=True)
        for module, block in json.loads(files["manifest.json"])["blocks"].items():
            found += lint.findings_of({name: files[name] for name in block["files"]}, module)
    report = lint.judge(found)
    assert report.clean, str(report)
    assert {finding.rule for finding in report.findings} == {"UNUSEDSIGNAL", "WIDTHTRUNC", "CMPCONST"}


@pytest.mark.rtl
def test_lint_fails_on_a_new_warning_and_on_a_waiver_without_use() -> None:
    text = "module bad(input [3:0] a, output [7:0] b);\n  assign b = a;\nendmodule\n"
    found = lint.findings_of({"bad.v": text}, "bad")
    assert [(finding.rule, finding.module) for finding in found] == [("WIDTHEXPAND", "bad")]
    fitting = Waiver(rule="WIDTHEXPAND", module="bad", expression="8 bits", reason="a test")
    assert lint.judge(found, [fitting]).clean
    assert not lint.judge(found, []).clean
    for other in (Waiver(rule="WIDTHTRUNC", module="bad", expression="8 bits", reason="another rule"),
                  Waiver(rule="WIDTHEXPAND", module="ba", expression="8 bits", reason="another module"),
                  Waiver(rule="WIDTHEXPAND", module="bad", expression="9 bits", reason="another expression")):
        report = lint.judge(found, [fitting, other])
        assert not report.clean and report.unused == (other,) and not report.unmatched
        assert lint.judge(found, [other]).unmatched == found
    assert "unused waiver" in str(lint.judge([], [fitting]))


@pytest.mark.rtl
def test_text_that_verilator_cannot_read_is_no_finding_but_an_error() -> None:
    with pytest.raises(ToolError, match="cannot read"):
        lint.findings_of({"bad.v": "module bad(; endmodule\n"}, "bad")


@pytest.mark.rtl
@pytest.mark.parametrize("config", [SMALL, LINE], ids=["small", "line"])
def test_the_written_waivers_make_verilator_silent_and_are_needed(config: NpuConfig, tmp_path: Path) -> None:
    generator.write(tmp_path / "rtl", generated(config, blocks=True))
    for module in MODULES:
        silent = ["verilator", "--lint-only", "-Wall", "waivers.vlt", "-F", "files.f", "--top-module", module]
        done = subprocess.run(silent, cwd=tmp_path / "rtl", env=verilator_env(), capture_output=True, text=True,
                              check=False)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr[:2000]
    loud = [word for word in silent if word != "waivers.vlt"]
    done = subprocess.run(loud, cwd=tmp_path / "rtl", env=verilator_env(), capture_output=True, text=True, check=False)
    assert "UNUSEDSIGNAL" in done.stderr
    assert "lint_off" in (text := (tmp_path / "rtl/waivers.vlt").read_text())
    assert all(text.count(f"lint_off -rule {rule} -file") == sum(waiver.rule == rule for waiver in WAIVERS) > 0
               for rule in {waiver.rule for waiver in WAIVERS})


def test_each_waiver_says_why() -> None:
    assert all(len(waiver.reason) > 40 and waiver.rule.isupper() and waiver.expression for waiver in WAIVERS)


# --- explicit widths -------------------------------------------------------------------------------------------------

DESIGN = """module \\top
  wire width 8 signed input 0 \\a

  wire width 3 \\b

  wire width 12 $1

  cell $add $9
    parameter \\A_SIGNED {signed}
    parameter \\B_SIGNED {signed}
    parameter \\A_WIDTH 8
    parameter \\B_WIDTH {width}
    parameter \\Y_WIDTH 12
    connect \\A \\a [7:0]
    connect \\B {operand}
    connect \\Y $1
  end

  connect \\y $1 [{high}:0]

end
"""


@pytest.mark.parametrize(("signed", "operand", "width", "wide"), [
    (0, "\\b [2:0]", 3, "{ 5'00000 \\b [2:0] }"),
    (1, "\\b [2:0]", 3, "{ " + "\\b [2] " * 5 + "\\b [2:0] }"),
    (1, "\\b", 3, "{ " + "\\b [2] " * 5 + "\\b }"),
    (1, "3'101", 3, "8'11111101"),
    (0, "3'101", 3, "8'00000101"),
    (1, "{ \\b [1] 6'000000 }", 7, "{ \\b [1] { \\b [1] 6'000000 } }"),
    (1, "{ \\b 4'0000 }", 7, "{ \\b [2] { \\b 4'0000 } }"),
    (1, "{ 1'0 \\b [2:0] 3'000 }", 7, "{ 1'0 { 1'0 \\b [2:0] 3'000 } }"),
])
def test_the_narrower_operand_is_extended_in_the_text(signed: int, operand: str, width: int, wide: str) -> None:
    text = widths.explicit(DESIGN.format(signed=signed, operand=operand, width=width, high=11))
    assert f"    connect \\B {wide}\n" in text and "\\B_WIDTH 8\n" in text
    assert "\\Y_WIDTH 12\n" in text and "  wire width 12 $1\n" in text


def test_a_result_loses_the_bits_that_nobody_reads_but_no_operand_does() -> None:
    for high, width in ((11, 12), (9, 10), (7, 8), (2, 8)):
        text = widths.explicit(DESIGN.format(signed=1, operand="\\b [2:0]", width=3, high=high))
        assert f"\\Y_WIDTH {width}\n" in text and f"  wire width {width} $1\n" in text
