"""Generated Verilog is clean under `-Wall`, but for waivers with a reason that are each needed."""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from rtl_gen.delivery import generate as generator
from rtl_gen.flow import lint
from rtl_gen.toolchain import verilator_env
from rtl_gen.verilog.waivers import WAIVERS, Waiver
from stamp_hw.config import NpuConfig
from stamp_hw.errors import ToolError
from tests.support.generate_cases import BLOCKED, BUSSED, LINE, MODULES, ROTATED, SMALL, generated


@pytest.mark.rtl
def test_every_module_is_clean_under_wall_and_every_waiver_is_used() -> None:
    found: list[lint.Finding] = []
    for config in (SMALL, LINE, BLOCKED, ROTATED.with_hw(dsp="ecp5"), NpuConfig(), BUSSED):
        files = generated(config, blocks=config is not BUSSED)
        for module, block in json.loads(files["manifest.json"])["blocks"].items():
            found += lint.findings_of({name: files[name] for name in block["files"]}, module)
    report = lint.judge(found)
    assert report.clean, str(report)
    assert {finding.rule for finding in report.findings} == {"UNUSEDSIGNAL", "WIDTHTRUNC", "PINCONNECTEMPTY"}


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
def test_the_written_waivers_are_all_of_them_and_are_needed(tmp_path: Path) -> None:
    """That they make Verilator silent, and an older one as well, is in test_foreign_tools.py."""
    generator.write(tmp_path / "rtl", generated(SMALL, blocks=True))
    loud = ["verilator", "--lint-only", "-Wall", "-F", "files.f", "--top-module", MODULES[-1]]
    done = subprocess.run(loud, cwd=tmp_path / "rtl", env=verilator_env(), capture_output=True, text=True, check=False)
    assert "UNUSEDSIGNAL" in done.stderr
    text = (tmp_path / "rtl/waivers.vlt").read_text()
    written = Counter(re.findall(r"^lint_off -rule (\w+) -file", text, re.MULTILINE))
    # Verilator 5.006 knows WIDTHTRUNC as a part of WIDTH, which later ones take as well
    assert written == Counter(waiver.rule.replace("WIDTHTRUNC", "WIDTH") for waiver in WAIVERS)


def test_each_waiver_says_why() -> None:
    assert all(len(waiver.reason) > 40 and waiver.rule.isupper() and waiver.expression for waiver in WAIVERS)
