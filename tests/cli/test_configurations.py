"""Configurations on the command line: files, values of --hw and --job, and those that cannot be."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from stamp_hw.cli.commands import COMMANDS
from stamp_hw.cli.main import main, parser
from tests.support.refusals import ROOT, TRACE, files, refused

CONFIGS = {
    "unknown key": ("hw: {colour: red}", "hw.colour"), "levels above 8": ("job: {levels: 9}", "job.levels"),
    "negative levels": ("job: {levels: -1}", "job.levels"), "not a mapping": ("[1]", "npu.yaml"),
    "too small for the trace": ("hw: {max_k: 8}", "max_k"), "no such energy set": ("hw: {technology: none}", "none"),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_configuration_that_cannot_be_is_refused(name: str, tmp_path: Path,
                                                   capsys: pytest.CaptureFixture[str]) -> None:
    text, where = CONFIGS[name]
    path = tmp_path / "npu.yaml"
    path.write_text(text)
    line = refused(["simulate", str(TRACE), "--config", str(path), "--json", str(tmp_path / "a.json")], capsys)
    assert where in line
    assert files(tmp_path) == {"npu.yaml"}


CONFIGURED = [  # every command that takes a configuration
    f"simulate {TRACE}", f"ablate {TRACE}", f"widths {TRACE}", f"tune {TRACE} --out OUT", f"program {TRACE} --out OUT",
    "compare smollm2-135m", "chain --shape 8x8x8 --hw bus_width=128",
    "timeline --shape 8x8x8 --out OUT", "eval --model x --text t", "generate --out OUT",
    "verify --block mac", "synth", "board ulx3s --out OUT", "characterize --liberty five --out OUT",
    f"place --config {ROOT / 'configs' / 'fpga.yaml'}"]


@pytest.mark.parametrize("command", CONFIGURED, ids=lambda command: command.split()[0])
@pytest.mark.parametrize(("words", "where"), [
    ("--hw colour=red", "hw.colour"), ("--hw rows", "--hw"), ("--hw rows=[", "--hw rows"),
    ("--hw rows=none", "hw.rows"),
    ("--job colour=red", "job.colour"), ("--job n_hi", "--job"), ("--job =3", "--job: not a value"),
    ("--job n_hi=[", "--job n_hi"), ("--job levels=9", "job.levels"),
    ("--job levels=2 --job levels=3", "--job levels: given twice; got levels=3"),
    ("--hw rows=2 --hw cols=4 --hw rows=4", "--hw rows: given twice; got rows=4; expected each value once"),
    ("--hw hadamard=48", "hw.hadamard"), ("--job hadamard=9", "job.hadamard"),
    ("--hw n_hi=32", "--hw n_hi=32: n_hi is a value of the job; expected --job n_hi=32"),
    ("--job rows=32", "--job rows=32: rows is a value of the hardware; expected --hw rows=32")])
def test_every_command_takes_values_of_hardware_and_job(command: str, words: str, where: str, tmp_path: Path,
                                                        capsys: pytest.CaptureFixture[str]) -> None:
    arguments = command.replace("OUT", str(tmp_path / "out")).split()
    assert where in refused([*arguments, *words.split()], capsys)
    assert files(tmp_path) == set()


def test_every_command_with_a_configuration_is_among_them(capsys: pytest.CaptureFixture[str]) -> None:
    for command in COMMANDS:
        with pytest.raises(SystemExit):
            parser().parse_args([*command.split(), "--help"])
        said = capsys.readouterr().out
        among = command in [words.split()[0] for words in CONFIGURED]
        assert ("--config YAML" in said) == ("--hw KEY=VALUE" in said) == ("--job KEY=VALUE" in said) == among, command


def test_values_of_the_job_are_those_of_the_configuration_and_a_kind_keeps_its_own(toy: Path, tmp_path: Path) -> None:
    both, one = tmp_path / "both.yaml", tmp_path / "one.yaml"
    kind = json.loads(run_info(toy))["layers"][0]["kind"]
    kinds = f"kinds: {{{kind}: {{levels: 1}}}}"
    both.write_text(f"{{job: {{levels: 2, n_hi: 3}}, {kinds}}}")
    one.write_text(f"{{job: {{n_hi: 4}}, {kinds}}}")
    for name, options in (("a", ["--config", str(both)]),
                          ("b", ["--config", str(one), "--job", "levels=2", "--job", "n_hi=3"])):
        assert main(["simulate", str(toy), "--schemes", "stamp", *options, "--json", str(tmp_path / name)]) == 0
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    layers = json.loads((tmp_path / "b").read_text())["layers"].values()
    assert {(layer["stamp"]["kind"] == kind, layer["stamp"]["levels"], layer["stamp"]["n_hi"])
            for layer in layers if layer["stamp"]["transform"]} >= {(True, 1, 3)}


def run_info(path: Path) -> str:
    """The trace's own description, JSON."""
    raw = path.read_bytes()
    return str(json.loads(raw[8 : 8 + struct.unpack("<Q", raw[:8])[0]])["__metadata__"]["stamp"])


def test_values_of_the_hardware_are_those_of_the_configuration(toy: Path, tmp_path: Path) -> None:
    both, one = tmp_path / "both.yaml", tmp_path / "one.yaml"
    both.write_text("{hw: {rows: 4, cols: 16}, job: {levels: 2}}")
    one.write_text("{hw: {rows: 4}, job: {levels: 2}}")
    for name, options in (("a", ["--config", str(both)]), ("b", ["--config", str(one), "--hw", "cols=16"])):
        assert main(["simulate", str(toy), "--schemes", "stamp", *options, "--json", str(tmp_path / name)]) == 0
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    hw = json.loads((tmp_path / "a").read_text())["config"]["hw"]
    assert (hw["rows"], hw["cols"], hw["rescale_lanes"]) == (4, 16, 2)  # the last follows from the columns


@pytest.mark.parametrize("value", ["!!bool x", "!!timestamp x", "!!int x", "!!float x", "!!int [1]", "! x", "!own {}",
                                   "{!!bool x: 1}", "[!!int x]", "&a !!bool x"])
def test_a_tag_in_yaml_is_refused(value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, energy = tmp_path / "npu.yaml", tmp_path / "energy.yaml"
    config.write_text(f"hw:\n  rows: {value}\n")
    energy.write_text(f"name: {value}\n")
    for arguments, where in ((["simulate", str(TRACE), "--config", str(config)], f"{config}, line 2"),
                             (["simulate", str(TRACE), "--energy-set", str(energy)], f"{energy}, line 1"),
                             (["synth", "--hw", f"rows={value}"], "--hw rows, line 1")):
        line = refused(arguments, capsys)
        assert where in line and "explicit tag; got " in line


@pytest.mark.parametrize("command", ["simulate", "generate", "synth"])
def test_a_missing_configuration_and_a_folder_are_refused(command: str, tmp_path: Path,
                                                          capsys: pytest.CaptureFixture[str]) -> None:
    start = {"simulate": ["simulate", str(TRACE)], "generate": ["generate", "--out", str(tmp_path / "v")],
             "synth": ["synth"]}[command]
    for path in (tmp_path / "missing.yaml", tmp_path):
        assert str(path) in refused([*start, "--config", str(path)], capsys)
    assert files(tmp_path) == set()
