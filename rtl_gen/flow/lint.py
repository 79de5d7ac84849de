"""Lint of the generated Verilog: `verilator --lint-only -Wall` on every top, and waivers that must each be used.

A warning that no waiver matches fails, and so does a waiver that matches no warning: a waiver that has outlived its
reason would hide the next mistake.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rtl_gen.toolchain import verilator_env
from rtl_gen.verilog.waivers import WAIVERS, Waiver
from stamp_hw.errors import ToolError

_WARNING = re.compile(r"^%(?:Warning|Error)-(\w+): (\S+?)\.v:\d+:\d+: (.*)$")
_ERROR = re.compile(r"^%Error(?!-\w+:|: Exiting due to)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One warning: Verilator's rule, the module it is in, and the message without its place in the file."""

    rule: str
    module: str
    message: str

    def __str__(self) -> str:
        return f"{self.rule} in {self.module}: {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`findings` of all tops, those that no waiver covers, and the waivers that cover nothing."""

    findings: tuple[Finding, ...]
    unmatched: tuple[Finding, ...]
    unused: tuple[Waiver, ...]

    @property
    def clean(self) -> bool:
        return not self.unmatched and not self.unused

    def __str__(self) -> str:
        return "\n".join([*(f"not waived: {finding}" for finding in self.unmatched),
                          *(f"unused waiver: {waiver}" for waiver in self.unused)]) or "clean"


def findings_of(files: Mapping[str, str], top: str) -> tuple[Finding, ...]:
    """Warnings of one top module, `files` (name → Verilog, one file a module) being all it needs.

    Raises ToolError when Verilator is missing or cannot read the text at all.
    """
    env = verilator_env()
    with tempfile.TemporaryDirectory(prefix="stamp-lint-") as folder:
        for name, text in files.items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
        done = subprocess.run(
            ["verilator", "--lint-only", "-Wall", "--timescale", "1ns/1ps", "--top-module", top, *files],
            cwd=folder, env=env, capture_output=True, text=True, check=False)
    lines = done.stderr.splitlines()
    broken = [line for line in lines if _ERROR.match(line)]
    if broken:
        raise ToolError("Verilator cannot read the generated text", where=top, got=broken[0])
    found = [Finding(rule=match[1], module=match[2], message=match[3]) for match in map(_WARNING.match, lines) if match]
    if done.returncode and not found:
        raise ToolError("Verilator failed", where=top, got=" ".join(lines[:2]) or f"exit code {done.returncode}")
    return tuple(found)


def judge(findings: Sequence[Finding], waivers: Sequence[Waiver] = WAIVERS) -> Report:
    """Hold the findings of all tops together against the waivers."""
    used = {waiver for waiver in waivers if any(waiver.covers(*_parts(finding)) for finding in findings)}
    return Report(
        findings=tuple(findings),
        unmatched=tuple(finding for finding in findings if not any(waiver.covers(*_parts(finding)) for waiver in used)),
        unused=tuple(waiver for waiver in waivers if waiver not in used))


def _parts(finding: Finding) -> tuple[str, str, str]:
    return finding.rule, finding.module, finding.message
