"""The help: of the program by groups, and of every command."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys

import pytest

from rtl_gen.tops import BLOCKS
from stamp_hw.cli.commands import COMMANDS, GROUPS
from stamp_hw.cli.main import main, parser
from tb.run.blocks import blocks
from tests.support.refusals import ROOT

NAMES = (*COMMANDS, "trace dump", "trace info")


def test_every_command_is_among_those_that_explain_themselves() -> None:
    listed = re.findall(r"^  ([a-z]+)  ", parser().format_help(), re.M)
    assert sorted(listed) == sorted(COMMANDS) and len(listed) == 21


@pytest.mark.parametrize("title", GROUPS)
def test_a_group_of_commands_has_an_example_of_one_of_them(title: str) -> None:
    words = shlex.split(GROUPS[title].example)
    assert words[0] == "stamp-hw" and words[1] in GROUPS[title].commands
    parser().parse_args(words[1:])
    assert all((ROOT / word).exists() for word in words if word.startswith(("models/", "configs/")))
    assert f"$ {GROUPS[title].example}\n" in parser().format_help()


def test_the_program_alone_prints_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([])
    assert stop.value.code == 0 and capsys.readouterr().out == parser().format_help()


@pytest.mark.parametrize("command", NAMES)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        parser().parse_args([*command.split(), "--help"])
    said = capsys.readouterr().out
    assert stop.value.code == 0 and said.startswith(f"usage: stamp-hw {command} ")
    assert len(said) > 100
    assert f"\n## `stamp-hw {command}`\n" in (ROOT / "docs/reference/commands.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", ["verify", "synth"])
def test_the_help_names_every_block(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args([command, "--help"])
    said = capsys.readouterr().out.rpartition("--block NAME")[2].partition("  --")[0]
    named = blocks() if command == "verify" else BLOCKS
    assert all(re.search(rf"\b{name}\b", said) for name in named)


def test_the_help_waits_for_no_command() -> None:
    code = ("import sys, stamp_hw.cli.main as program\ntry: program.main(['--help'])\nexcept SystemExit: pass\n"
            "print(*{'numpy', 'yaml', 'sim', 'tb', 'models', 'rtl_gen'} & set(sys.modules), file=sys.stderr)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "" and done.stdout.startswith("usage: stamp-hw ")
