"""Bad input ends in one clear line, exit code 2, no traceback, and nothing half-written."""

from __future__ import annotations

import fcntl
import json
import os
import pickle
import pty
import re
import shlex
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rtl_gen.tops import BLOCKS
from stamp_hw.cli.commands import COMMANDS, GROUPS
from stamp_hw.cli.common import progress_line
from stamp_hw.cli.main import main, parser
from tb.run.blocks import blocks

ROOT = Path(__file__).resolve().parents[2]
TRACE = ROOT / "models" / "traces" / "llama_small.safetensors"


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that must be refused; returns its one line."""
    assert main(arguments) == 2
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("stamp-hw: "), captured.err
    assert "Traceback" not in captured.err
    return lines[0]


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def copy_of_trace(path: Path, change: Callable[[dict, bytearray], None]) -> Path:
    """A copy of the shipped trace whose header and data went through `change`."""
    raw = TRACE.read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    header, data = json.loads(raw[8 : 8 + size]), bytearray(raw[8 + size :])
    change(header, data)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def first_input(header: dict) -> tuple[int, int, str]:
    """(begin, end, dtype) of the first layer's activations in the data part."""
    stamp = json.loads(header["__metadata__"]["stamp"])
    tensor = header[stamp["layers"][0]["input"]]
    return (*tensor["data_offsets"], tensor["dtype"])


def truncated(folder: Path) -> Path:
    (folder / "t").write_bytes(TRACE.read_bytes()[:-1000])
    return folder / "t"


def empty(folder: Path) -> Path:
    (folder / "t").write_bytes(b"")
    return folder / "t"


def huge_header(folder: Path) -> Path:
    (folder / "t").write_bytes(struct.pack("<Q", 1 << 60) + b"{}")
    return folder / "t"


def text_file(folder: Path) -> Path:
    (folder / "t").write_text("not a trace at all, only words " * 50)
    return folder / "t"


def pickled(folder: Path) -> Path:
    (folder / "t").write_bytes(pickle.dumps({"a": 1}))
    return folder / "t"


def nan_inside(folder: Path) -> Path:
    def change(header: dict, data: bytearray) -> None:
        begin, _, dtype = first_input(header)
        nan = np.array(np.nan, "<f4").tobytes()
        data[begin : begin + 4] = nan if dtype == "F32" else (nan[2:] * 2 if dtype == "BF16" else b"\x00\x7e" * 2)
    return copy_of_trace(folder / "t", change)


def overlapping(folder: Path) -> Path:
    def change(header: dict, _: bytearray) -> None:
        names = [name for name in header if name != "__metadata__"]
        header[names[1]]["data_offsets"] = header[names[0]]["data_offsets"]
    return copy_of_trace(folder / "t", change)


def wrong_shape(folder: Path) -> Path:
    def change(header: dict, _: bytearray) -> None:
        name = next(name for name in header if name != "__metadata__")
        header[name]["shape"] = [3, 5]
    return copy_of_trace(folder / "t", change)


def no_metadata(folder: Path) -> Path:
    return copy_of_trace(folder / "t", lambda header, _: header.pop("__metadata__") and None)


HOSTILE = [truncated, empty, huge_header, text_file, pickled, nan_inside, overlapping, wrong_shape, no_metadata,
           lambda folder: folder / "missing.safetensors", lambda folder: folder]


@pytest.mark.parametrize("make", HOSTILE, ids=lambda make: make.__name__)
def test_a_hostile_trace_is_refused_and_nothing_is_written(make: Callable[[Path], Path], tmp_path: Path,
                                                           capsys: pytest.CaptureFixture[str]) -> None:
    inputs, out = tmp_path / "in", tmp_path / "out"
    inputs.mkdir()
    out.mkdir()
    path = make(inputs)
    line = refused(["simulate", str(path), "--json", str(out / "a.json"), "--csv", str(out / "a.csv"),
                    "--plots", str(out / "plots")], capsys)
    assert str(path) in line
    assert not {name for name in files(out) if (out / name).is_file()}
    if make is not nan_inside:  # `info` reads what the trace says of itself; it also looks at the values
        assert str(path) in refused(["trace", "info", str(path)], capsys)


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
    "eval --model x --text t", "generate --out OUT", "verify --block mac", "synth",
    f"place --config {ROOT / 'configs' / 'fpga.yaml'}"]


@pytest.mark.parametrize("command", CONFIGURED, ids=lambda command: command.split()[0])
@pytest.mark.parametrize(("words", "where"), [
    ("--hw colour=red", "hw.colour"), ("--hw rows", "--hw"), ("--hw rows=[", "--hw rows"),
    ("--hw rows=none", "hw.rows"),
    ("--job colour=red", "job.colour"), ("--job n_hi", "--job"), ("--job =3", "--job: not a value"),
    ("--job n_hi=[", "--job n_hi"), ("--job levels=9", "job.levels"),
    ("--job levels=2 --job levels=3", "--job levels: given twice; got levels=3"),
    ("--hw rows=2 --hw cols=4 --hw rows=4", "--hw rows: given twice; got rows=4; expected each value once"),
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


ONCE = {  # options that may be repeated; a repeat of any other is refused
    "--hw", "--job", "--shape", "--fit", "--test", "--seed", "--waves", "--vectors", "--help", "--verbose"}


@pytest.mark.parametrize("command", [word for word in (
    "simulate", "ablate", "widths", "tune", "trace dump", "eval", "generate", "program", "synth", "place", "verify")])
def test_no_option_silently_forgets_an_earlier_one(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args([*command.split(), "--help"])
    options = set(re.findall(r"^  (--[a-z-]+) ", capsys.readouterr().out, re.M))
    repeatable = ONCE - ({"--seed"} if command != "place" else set()) - ({"--fit"} if command == "tune" else set())
    values = {"--dtype": "float32", "--device": "cpu", "--rotate": "hadamard", "--levels": "1"}
    checked = 0
    for option in options - repeatable:
        with pytest.raises(SystemExit) as stop:
            parser().parse_args([*command.split(), *[option, values.get(option, "1")] * 2])
        said = capsys.readouterr().err
        assert stop.value.code == 2 and f"argument {option}: given twice" in said and len(said.splitlines()) == 1
        checked += 1
    assert checked >= 2


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


@pytest.mark.parametrize("arguments", [
    ["simulate", str(TRACE), "--json", "FILE/below.json"], ["simulate", str(TRACE), "--csv", "FILE/below.csv"],
    ["simulate", str(TRACE), "--plots", "FILE/below"], ["generate", "--out", "FILE/below"],
    ["generate", "--out", "FILE"], ["simulate", str(TRACE), "--json", "FOLDER"],
    ["trace", "dump", "--model", "models/llama_small", "--text", "README.md", "--out", "FILE/below.safetensors"],
], ids=lambda arguments: " ".join(arguments[:2] + arguments[-2:]).replace(str(ROOT), ""))
def test_an_output_that_cannot_be_written_is_refused(arguments: list[str], tmp_path: Path,
                                                     capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "FILE").write_text("a regular file")
    (tmp_path / "FOLDER").mkdir()
    if arguments[0] == "trace":
        pytest.importorskip("torch")
    placed = [item.replace("FILE", str(tmp_path / "FILE")).replace("FOLDER", str(tmp_path / "FOLDER"))
              if item.startswith(("FILE", "FOLDER")) else item for item in arguments]
    assert str(tmp_path) in refused(placed, capsys)
    assert files(tmp_path) == {"FILE", "FOLDER"} and (tmp_path / "FILE").read_text() == "a regular file"


OVER = [  # a command, IN and OUT the same file, or OUT in the folder IN
    *(f"simulate {source} --{kind} OUT" for kind in ("json", "csv")
      for source in ("IN", f"{TRACE} --config IN", f"{TRACE} --energy-set IN")),
    *(f"ablate {source} --{kind} OUT" for kind in ("json", "csv")
      for source in ("IN", f"{TRACE} --config IN", f"{TRACE} --fit IN")),
    *(f"widths {source} --{kind} OUT" for kind in ("json", "plot") for source in ("IN", f"{TRACE} --config IN")),
    *(f"tune {source} --out OUT" for source in ("IN", f"{TRACE} --config IN", f"{TRACE} --fit IN")),
    *(f"program {source}" for source in ("IN --out OUT", f"{TRACE} --config IN --out OUT",
                                         "IN --out OTHER --header OUT", f"{TRACE} --config IN --out OTHER --header OUT",
                                         "IN --out OTHER --data FOLDER")),
    *(f"eval --json OUT --model {rest}" for rest in (
        "x --text IN", "x --prompts IN", "x --text t --config IN", "x --text t --calibration IN",
        "x --text t --weights IN", "FOLDER --text t")),
    *(f"trace dump --out OUT --model {rest}" for rest in ("x --text IN", "x --prompts IN", "FOLDER --text t")),
    *(f"trace dump --out STEM --model {rest}" for rest in ("x --text IN", "x --prompts IN")),
    "synth --config IN --json OUT", "place --config IN --json OUT", "generate --config IN --out OUT",
    "generate --config IN --out FOLDER",
]


@pytest.mark.parametrize("command", OVER, ids=lambda command: command.replace(str(TRACE), "TRACE"))
@pytest.mark.parametrize("link", [False, True], ids=["itself", "link"])
def test_an_output_never_replaces_an_input(command: str, link: bool, tmp_path: Path,
                                           capsys: pytest.CaptureFixture[str]) -> None:
    if command.startswith(("eval", "trace dump")):
        pytest.importorskip("torch")
    source = tmp_path / "folder" / "in.partial"
    source.parent.mkdir()
    content = b"" if "--config IN" in command else b"held by the user"  # an empty configuration is one
    if "--energy-set IN" in command:
        content = (ROOT / "sim" / "cost" / "energy_sets" / "horowitz45.yaml").read_bytes()
    source.write_bytes(content)
    out = source
    if link:
        out = tmp_path / "link.partial"
        out.symlink_to(source)
    places = {"IN": source, "OUT": out, "OTHER": tmp_path / "other", "FOLDER": source.parent,
              "STEM": source.with_suffix(""), "t": __file__}
    line = refused([str(places.get(word, word)) for word in command.split()], capsys)
    assert "in the way" in line or command.startswith("generate")
    assert source.read_bytes() == content
    assert files(tmp_path) == {"folder", "folder/in.partial"} | ({"link.partial"} if link else set())


@pytest.mark.parametrize(("arguments", "option"), [
    ("simulate ''", "TRACE"), (f"simulate {TRACE} --json ''", "--json"), ("generate --out ''", "--out"),
    (f"simulate {TRACE} --config ''", "--config"), ("eval --model '' --text t", "--model"),
    ("trace dump --model '' --text t --out o", "--model"), ("trace info ''", "FILE")])
def test_an_empty_name_is_not_the_current_folder(arguments: str, option: str, capsys: pytest.CaptureFixture[str]
                                                 ) -> None:
    with pytest.raises(SystemExit) as stop:
        parser().parse_args(shlex.split(arguments))
    said = capsys.readouterr().err
    assert stop.value.code == 2 and len(said.splitlines()) == 1
    assert option in said and "is expected, not an empty text" in said


@pytest.mark.parametrize("arguments", [["simulate", str(TRACE), "--layers", "nothing_like_it"],
                                       ["simulate", str(TRACE), "--layers", "("],
                                       ["simulate", str(TRACE), "--schemes", "a5"],
                                       ["verify", "--block", "alu"], ["synth", "--block", "alu"]],
                         ids=lambda arguments: " ".join(arguments[-2:]))
def test_a_name_that_does_not_exist_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert arguments[-1] in refused(arguments, capsys)


def test_the_program_itself_prints_one_line_and_exits_with_two(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "stamp_hw", "simulate", str(tmp_path / "missing")],
                          capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and "missing" in done.stderr


@pytest.mark.parametrize("arguments", [[], ["simulat"], ["simulate"], ["simulate", "x", "--seed", "a"], ["trace"]],
                         ids=lambda arguments: " ".join(["stamp-hw", *arguments]))
def test_wrong_arguments_are_one_line_as_well(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        parser().parse_args(arguments)
    said = capsys.readouterr().err
    assert stop.value.code == 2 and len(said.splitlines()) == 1
    assert "--help" in said and all(word in said for word in arguments[:1])


@pytest.mark.parametrize(("arguments", "command"), [
    (["simulate", "T", "a\nb\x1b[2J\u2028"], "stamp-hw simulate"), (["a\nb"], "stamp-hw"),
    (["simulate", "T", "--colour"], "stamp-hw simulate"), (["trace", "info", "T", "--colour"], "stamp-hw trace info"),
    (["simulate", "T", "--seed", "\n"], "stamp-hw simulate"), (["simulate", "T", "x" * 100_000], "stamp-hw simulate"),
    (["trace", "\x1b[2J"], "stamp-hw trace")], ids=lambda value: ascii(value)[:40])
def test_a_wrong_argument_is_shown_printable_and_with_its_commands_help(
        arguments: list[str], command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        parser().parse_args(arguments)
    said = capsys.readouterr().err
    assert stop.value.code == 2 and said.endswith(f"see {command} --help\n") and said.startswith(f"{command}: ")
    assert said[:-1].isprintable() and len(said) < 600


NAMES = (*COMMANDS, "trace dump", "trace info")


def test_every_command_is_among_those_that_explain_themselves() -> None:
    listed = re.findall(r"^  ([a-z]+)  ", parser().format_help(), re.M)
    assert sorted(listed) == sorted(COMMANDS) and len(listed) == 14


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


@pytest.mark.parametrize(("words", "near"), [
    (["simulat", "T"], "simulate"), (["verfy"], "verify"), (["trace", "inof"], "info"),
    (["simulate", "T", "--jsn", "F"], "--json"), (["eval", "--model", "m", "--text", "t", "--device", "gpu"], "cpu"),
    (["eval", "--model", "m", "--text", "t", "--sequenzes=3"], "--sequences"), (["xyz"], None),
    (["verify", "fromal"], "formal")])
def test_a_word_that_is_nearly_right_is_asked_about(words: list[str], near: str | None,
                                                    capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words)
    said = capsys.readouterr().err
    assert stop.value.code == 2 and said.count("\n") == 1
    assert (f"; did you mean {near}?; see stamp-hw " in said) if near else ("did you mean" not in said)


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


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    done = subprocess.run(f"{sys.executable} -m stamp_hw trace info {TRACE} | head -1", shell=True, text=True,
                          capture_output=True, check=False)
    assert "Traceback" not in done.stderr and "Error" not in done.stderr


PROGRAM = f"{sys.executable} -m stamp_hw"


@pytest.mark.parametrize("arguments", ["--help", "simulate --help", f"trace info {TRACE}"])
def test_a_stream_that_cannot_show_a_character_shows_another(arguments: str) -> None:
    done = subprocess.run(f"PYTHONIOENCODING=ascii {PROGRAM} {arguments}", shell=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"") and len(done.stdout) > 100


@pytest.mark.parametrize(("stream", "arguments", "unbuffered"), [
    (">&-", "--help", ""), (">&-", f"trace info {TRACE}", ""), ("> /dev/full", "--help", ""),
    ("> /dev/full", f"trace info {TRACE}", ""), ("> /dev/full", f"trace info {TRACE}", "1")])
def test_output_that_cannot_be_written_is_one_line_and_exit_code_two(stream: str, arguments: str,
                                                                     unbuffered: str) -> None:
    done = subprocess.run(f"PYTHONUNBUFFERED={unbuffered} {PROGRAM} {arguments} {stream}", shell=True,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1 and "standard output" in done.stderr


@pytest.mark.parametrize("where", ["/dev/stdout", "/dev/stderr", "out", "err", "link"])
def test_a_stream_that_is_a_file_is_not_replaced(where: str, tmp_path: Path, toy: Path) -> None:
    (tmp_path / "link").symlink_to("out")
    done = subprocess.run(f"{PROGRAM} simulate {toy} --schemes a4 --json {where} >> out 2>> err", shell=True,
                          check=False, cwd=tmp_path)
    said = (tmp_path / "err").read_text()
    assert done.returncode == 2 and (tmp_path / "out").read_text() == ""
    assert len(said.splitlines()) == 1 and f"{where}: cannot write file; got the open standard " in said


def test_a_closed_standard_error_changes_nothing() -> None:
    done = subprocess.run(f"{PROGRAM} trace info {TRACE} 2>&-", shell=True, capture_output=True, check=False)
    assert done.returncode == 0 and len(done.stdout) > 100


def test_an_interrupt_while_modules_load_is_one_line(monkeypatch: pytest.MonkeyPatch,
                                                     capsys: pytest.CaptureFixture[str]) -> None:
    class Interrupted:
        def find_spec(self, name: str, *_: object) -> None:
            if name.startswith("stamp_hw.cli."):
                raise KeyboardInterrupt

    for name in [name for name in sys.modules if name.startswith("stamp_hw.cli.") and not name.endswith(".main")]:
        monkeypatch.delitem(sys.modules, name)
        monkeypatch.delattr(f"stamp_hw.cli.{name.rpartition('.')[2]}", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Interrupted(), *sys.meta_path])
    assert main(["doctor"]) == 130
    assert capsys.readouterr().err == "stamp-hw: interrupted\n"


def test_the_program_loads_nothing_heavy_before_it_can_be_interrupted() -> None:
    code = "import sys, stamp_hw.cli.main; print(*{'numpy', 'yaml', 'argparse', 'logging'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_help_waits_for_no_command() -> None:
    code = ("import sys, stamp_hw.cli.main as program\ntry: program.main(['--help'])\nexcept SystemExit: pass\n"
            "print(*{'numpy', 'yaml', 'sim', 'tb', 'models', 'rtl_gen'} & set(sys.modules), file=sys.stderr)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "" and done.stdout.startswith("usage: stamp-hw ")


@pytest.mark.parametrize(("columns", "shown"), [(20, 19), (0, 79)])
def test_the_progress_line_fits_the_terminal(columns: int, shown: int, monkeypatch: pytest.MonkeyPatch) -> None:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
    with os.fdopen(slave, "w") as terminal, os.fdopen(master, "rb", buffering=0) as screen:
        monkeypatch.setattr(sys, "stderr", terminal)
        progress_line()("layer\n" + "x" * 300)
        assert screen.read(1000) == b"\r\x1b[Klayer\\n" + b"x" * (shown - 7)
